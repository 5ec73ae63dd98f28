//! Memory of the caller that a run writes what is fetched to.

use base::{DType, Layout, Result, Shape, Tensor, TensorMut, Value, bail, ensure};
use op::SlotTensor;
use smallvec::SmallVec;

/// Memory of the caller that a run writes a fetched value to, without a copy where that can be.
#[derive(Clone, Debug)]
pub struct Destination {
    tensor: Tensor,
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
        Ok(Self { tensor, binding: true })
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

    /// The tensor whose memory it is.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Whether the value must end there, even if that takes a copy.
    pub fn is_binding(&self) -> bool {
        self.binding
    }

    fn bytes(&self) -> usize {
        self.tensor.dtype().bytes_of(self.tensor.len()).unwrap_or(0)
    }

    /// Whether it shares memory with `other`.
    pub(crate) fn overlaps(&self, other: &Tensor) -> bool {
        let start = self.tensor.address() as usize;
        let buffer = other.buffer();
        let (from, len) = (buffer.address() as usize, buffer.len());
        other.memory() == self.tensor.memory() && start < from.saturating_add(len) && from < start.saturating_add(self.bytes())
    }

    /// The memory for a dense tensor that takes exactly all of it, aligned for its type; `None` for any other.
    pub(crate) fn place(&self, dtype: DType, shape: &Shape, layout: &Layout) -> Option<SlotTensor> {
        let bytes = Shape::checked_len(shape).and_then(|n| dtype.bytes_of(n))?;
        let aligned = (self.tensor.address() as usize).is_multiple_of(dtype.size().unwrap_or(1).min(8));
        let fits = bytes == self.bytes() && layout.is_dense(shape) && aligned;
        let owner = Some((self.tensor.buffer().clone(), self.tensor.offset()));
        let (memory, address) = (self.tensor.memory(), self.tensor.address().cast_mut());
        fits.then(|| SlotTensor { dtype, shape: shape.clone(), layout: Layout::Dense, memory, address, owner })
    }

    /// Makes it hold `value`, which may lie there already, and lets `value` be over its memory.
    ///
    /// # Errors
    /// `InvalidArgument` when type or shape are not those of the memory.
    pub(crate) fn take(&self, value: &mut Value) -> Result<()> {
        if !self.binding {
            return Ok(());
        }
        let Value::Tensor(tensor) = &*value else { bail!(InvalidArgument, "{} cannot be written to a tensor", value.ty()) };
        let (given, wanted) = (tensor.shape(), self.tensor.shape());
        ensure!(given == wanted, InvalidArgument, "OrtValue shape verification failed. Current shape:{given} Requested shape:{wanted}");
        let (given, wanted) = (tensor.dtype(), self.tensor.dtype());
        ensure!(given == wanted, InvalidArgument, "Unexpected output data type. Actual: (tensor({wanted})) , expected: (tensor({given}))");
        if tensor.address() == self.tensor.address() {
            return Ok(());
        }
        if !tensor.is_empty() {
            let (shape, address) = (self.tensor.shape(), self.tensor.address().cast_mut());
            // SAFETY: `new` demands that nobody else touches the memory; a value that shared it with a feed was made elsewhere.
            base::copy::copy(tensor.as_ref(), unsafe { TensorMut::new(wanted, shape, &Layout::Dense, self.tensor.memory(), address) })?;
        }
        *value = Value::Tensor(self.tensor.clone());
        Ok(())
    }
}

/// For each fetch that has a destination of its own, the slot whose buffer can be that memory.
#[derive(Default)]
pub(crate) struct Homes(SmallVec<[(u32, usize); 4]>);

impl Homes {
    /// Finds the fetches whose values can be made in their destinations: `roots` names the slot that each fetch gets its buffer from.
    /// Memory that feeds or other destinations share is written only when everything has run.
    pub(crate) fn new(roots: &[Option<u32>], destinations: &[Option<&Destination>], feeds: &[&Tensor]) -> Self {
        let mut homes = SmallVec::new();
        for (i, destination) in destinations.iter().enumerate() {
            let (Some(destination), Some(root)) = (destination, roots.get(i).copied().flatten()) else { continue };
            let others = destinations.iter().enumerate().filter(|(j, _)| *j != i).filter_map(|(_, d)| *d);
            let shared = others.map(Destination::tensor).chain(feeds.iter().copied()).any(|t| destination.overlaps(t));
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
