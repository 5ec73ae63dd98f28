//! Memory of the caller that a run writes what is fetched to.

use base::{DType, Layout, Memory, Result, Shape, Tensor, TensorMut, Value, bail, ensure};
use op::SlotTensor;
use smallvec::SmallVec;

use crate::Target;
use crate::plan::Plan;

/// Where a run leaves a fetched value: in memory of the caller, without a copy where that can be, or in a memory of its own on a device.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The memory of the caller, if it gives some.
    tensor: Option<Tensor>,
    memory: Memory,
    /// Whether the value must end there, even if that takes a copy.
    binding: bool,
}

impl Destination {
    /// The memory of `tensor`, which is overwritten.
    ///
    /// # Safety
    /// The memory may be written to. While a run has it, nobody else writes there, and nobody reads there but as a feed of that run.
    ///
    /// # Errors
    /// `InvalidArgument` when the tensor is not dense, or of strings.
    pub unsafe fn new(tensor: Tensor) -> Result<Self> {
        let dense = tensor.layout().is_dense(tensor.shape()) && tensor.dtype() != DType::String;
        ensure!(dense, InvalidArgument, "a result cannot be written to {tensor:?}: it must be dense, and of numbers");
        Ok(Self { memory: tensor.memory(), tensor: Some(tensor), binding: true })
    }

    /// The memory of `tensor`, which is overwritten if the value happens to fit it, and left alone else.
    ///
    /// # Safety
    /// As for [`new`](Self::new).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub unsafe fn reuse(tensor: Tensor) -> Result<Self> {
        // SAFETY: the caller vouches for the same.
        Ok(Self { binding: false, ..unsafe { Self::new(tensor)? } })
    }

    /// Memory of the run's own in `memory`.
    pub fn in_memory(memory: Memory) -> Self {
        Self { tensor: None, memory, binding: false }
    }

    /// The tensor whose memory it is, if the caller gave some.
    pub fn tensor(&self) -> Option<&Tensor> {
        self.tensor.as_ref()
    }

    /// The memory that the value ends in.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The tensor that the value must end in, even if that takes a copy.
    pub fn bound(&self) -> Option<&Tensor> {
        self.tensor.as_ref().filter(|_| self.binding)
    }

    /// Whether it shares memory with `other`.
    pub(crate) fn overlaps(&self, other: &Tensor) -> bool {
        let Some(tensor) = &self.tensor else { return false };
        let start = tensor.address() as usize;
        let buffer = other.buffer();
        let (from, len) = (buffer.address() as usize, buffer.len());
        other.memory() == self.memory && start < from.saturating_add(len) && from < start.saturating_add(bytes_of(tensor))
    }

    /// Whether it is the memory of `other`, all of it, for the same type and shape.
    fn is_over(&self, other: &Tensor) -> bool {
        let same = |t: &Tensor| t.address() == other.address() && t.dtype() == other.dtype() && t.shape() == other.shape();
        other.memory() == self.memory && other.layout().is_dense(other.shape()) && self.tensor.as_ref().is_some_and(same)
    }

    /// The memory for a dense tensor that takes exactly all of it, aligned for its type; `None` for any other.
    pub(crate) fn place(&self, dtype: DType, shape: &Shape, layout: &Layout) -> Option<SlotTensor> {
        let tensor = self.tensor.as_ref()?;
        let bytes = Shape::checked_len(shape).and_then(|n| dtype.bytes_of(n))?;
        let aligned = (tensor.address() as usize).is_multiple_of(dtype.size().unwrap_or(1).min(8));
        let fits = bytes == bytes_of(tensor) && layout.is_dense(shape) && aligned;
        let owner = Some((tensor.buffer().clone(), tensor.offset()));
        let (memory, address) = (self.memory, tensor.address().cast_mut());
        fits.then(|| SlotTensor { dtype, shape: shape.clone(), layout: Layout::Dense, memory, address, owner })
    }

    /// Makes it hold `value`, which may lie there already, and lets `value` be over its memory.
    ///
    /// # Errors
    /// `InvalidArgument` when type or shape are not those of the memory.
    pub(crate) fn take(&self, value: &mut Value, target: &Target) -> Result<()> {
        let Some(own) = self.bound() else { return target.bring(value, self.memory) };
        let Value::Tensor(tensor) = &*value else { bail!(InvalidArgument, "{} cannot be written to a tensor", value.ty()) };
        let (given, wanted) = (tensor.shape(), own.shape());
        ensure!(given == wanted, InvalidArgument, "OrtValue shape verification failed. Current shape:{given} Requested shape:{wanted}");
        let (given, wanted) = (tensor.dtype(), own.dtype());
        ensure!(given == wanted, InvalidArgument, "Unexpected output data type. Actual: (tensor({wanted})) , expected: (tensor({given}))");
        if tensor.address() == own.address() && tensor.memory() == self.memory {
            return Ok(());
        }
        if !tensor.is_empty() {
            let (shape, address) = (own.shape(), own.address().cast_mut());
            // SAFETY: `new` demands that nobody else touches the memory; a value that shared it with a feed was made elsewhere.
            let to = unsafe { TensorMut::new(wanted, shape, &Layout::Dense, self.memory, address) };
            if tensor.memory().is_host() && self.memory.is_host() {
                base::copy::copy(tensor.as_ref(), to)?;
            } else {
                target.copy(tensor.as_ref(), to)?;
            }
        }
        *value = Value::Tensor(own.clone());
        Ok(())
    }
}

fn bytes_of(tensor: &Tensor) -> usize {
    tensor.dtype().bytes_of(tensor.len()).unwrap_or(0)
}

/// For each fetch that has a destination of its own, the slot whose buffer can be that memory.
#[derive(Default)]
pub(crate) struct Homes(SmallVec<[(u32, usize); 4]>);

impl Homes {
    /// Finds the fetches whose values can be made in their destinations. Memory that other destinations share is written only when
    /// everything has run, and so is that of feeds, each with its slot, but for the one that a fetch may be written over.
    pub(crate) fn new(plan: &Plan, destinations: &[Option<&Destination>], feeds: &[(u32, &Tensor)]) -> Self {
        let mut homes = SmallVec::new();
        for (i, destination) in destinations.iter().enumerate() {
            let root = plan.fetches.get(i).and_then(|fetch| plan.root(*fetch));
            let (Some(destination), Some(root)) = (destination, root) else { continue };
            let others = destinations.iter().enumerate().filter(|(j, _)| *j != i).filter_map(|(_, d)| *d);
            let replaces = |slot: u32, t: &Tensor| plan.replaces[i] == Some(slot) && destination.is_over(t);
            let feeds = feeds.iter().filter(|(slot, t)| !replaces(*slot, t)).map(|(_, t)| *t);
            let shared = others.filter_map(Destination::tensor).chain(feeds).any(|t| destination.overlaps(t));
            if !shared && homes.iter().all(|(slot, _): &(u32, usize)| *slot != root) {
                homes.push((root, i));
            }
        }
        Self(homes)
    }

    /// The fetch whose destination `slot` is made in.
    pub(crate) fn fetch_at(&self, slot: u32) -> Option<usize> {
        self.0.iter().find(|(s, _)| *s == slot).map(|(_, i)| *i)
    }
}
