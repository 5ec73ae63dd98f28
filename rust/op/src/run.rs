//! What a kernel sees while it runs.

use std::any::Any;
use std::cell::Cell;
use std::sync::Arc;

use base::threads::Cancel;
use base::{
    Buffer, DType, Element, Layout, Memory, Result, Sequence, Shape, Strings, Tensor, TensorMut, TensorRef, Value, bail, ensure, error,
};

use crate::RunState;

/// The place of one value during a run.
#[derive(Clone, Debug, Default)]
pub enum Slot {
    /// Nothing yet, or nothing any more.
    #[default]
    Empty,
    /// A tensor in memory that the plan set aside or the run allocated for it.
    Tensor(SlotTensor),
    /// A value with an owner: a feed, a constant, strings, a sequence.
    Value(Value),
}

/// A tensor in memory that the plan set aside or the run allocated for it.
#[derive(Clone, Debug)]
pub struct SlotTensor {
    /// The element type.
    pub dtype: DType,
    /// The sizes of the axes.
    pub shape: Shape,
    /// How the elements lie.
    pub layout: Layout,
    /// The memory it lies in.
    pub memory: Memory,
    /// The address of its first element.
    pub address: *mut u8,
    /// The buffer, if the tensor has one to itself; it may then outlive the run.
    pub owner: Option<(Arc<Buffer>, usize)>,
}

// SAFETY: a slot is moved and used by one run at a time; the memory it points to lives as long as the run.
unsafe impl Send for SlotTensor {}
// SAFETY: shared access to a slot gives out borrows only through `Run`, which guards them.
unsafe impl Sync for SlotTensor {}

impl SlotTensor {
    /// A dense tensor of the host in a buffer of its own, not yet written.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn allocate(dtype: DType, shape: Shape, layout: Layout) -> Result<Self> {
        let len = layout.stored_len(&shape).and_then(|n| dtype.bytes_of(n));
        let len = len.ok_or_else(|| error!(Fail, "a {dtype} tensor of shape {shape} is too large"))?;
        let buffer = Arc::new(Buffer::uninit(len)?);
        Ok(Self { dtype, shape, layout, memory: Memory::HOST, address: buffer.address().cast_mut(), owner: Some((buffer, 0)) })
    }

    fn borrow(&self) -> TensorRef<'_> {
        // SAFETY: whoever filled the slot vouches that shape and layout lie in memory that lives as long as the slot.
        unsafe { TensorRef::new(self.dtype, &self.shape, &self.layout, self.memory, self.address) }
    }

    /// The tensor as a value: shared if it has a buffer to itself, else copied.
    ///
    /// # Errors
    /// `Fail` when it lies on a device without a buffer to itself.
    pub fn to_value(&self) -> Result<Value> {
        match &self.owner {
            Some((buffer, offset)) => {
                Tensor::new(self.dtype, self.shape.clone(), self.layout.clone(), buffer.clone(), *offset).map(Value::Tensor)
            }
            None => Tensor::copy_of(self.borrow()).map(Value::Tensor),
        }
    }
}

impl Slot {
    /// The tensor in the slot.
    ///
    /// # Errors
    /// `Fail` when there is none.
    pub fn tensor(&self) -> Result<TensorRef<'_>> {
        match self {
            Self::Tensor(t) => Ok(t.borrow()),
            Self::Value(Value::Tensor(t)) => Ok(t.as_ref()),
            Self::Value(v) => bail!(InvalidArgument, "a tensor is needed, not {}", v.ty()),
            Self::Empty => bail!(Fail, "a value is read before it is written"),
        }
    }

    /// What is in the slot, as a value that may outlive the run.
    ///
    /// # Errors
    /// `Fail` when there is nothing.
    pub fn to_value(&self) -> Result<Value> {
        match self {
            Self::Tensor(t) => t.to_value(),
            Self::Value(v) => Ok(v.clone()),
            Self::Empty => bail!(Fail, "a value is read before it is written"),
        }
    }
}

/// The slots that one node reads and writes: inputs, then captures; outputs.
#[derive(Clone, Debug, Default)]
pub struct Wires {
    /// The slot of each input, then of each captured value; `None` for an input left out.
    pub inputs: Vec<Option<u32>>,
    /// How many of `inputs` are inputs; the others are captured.
    pub given: usize,
    /// The slot of each output; `None` for one that nobody asks for.
    pub outputs: Vec<Option<u32>>,
    /// Inputs that only this node reads from here on, as bits: bit `i` for input `i`. Those from 64 on count as read later.
    pub ending: u64,
}

impl Wires {
    /// Whether nobody reads input `i` after this node.
    fn ends(&self, i: usize) -> bool {
        i < 64 && self.ending >> i & 1 != 0
    }
}

/// What a kernel sees while it runs: its inputs, filled; its outputs, to be filled.
///
/// Outputs whose sizes were known are there already ([`output`](Run::output)); the kernel makes the others
/// ([`allocate`](Run::allocate), [`set`](Run::set)).
pub struct Run<'a> {
    slots: &'a mut [Slot],
    wires: &'a Wires,
    scratch: (*mut u8, usize),
    cancel: &'a Cancel,
    states: &'a [Arc<dyn RunState>],
    /// Which outputs, and the scratch memory (bit 63), are handed out.
    taken: Cell<u64>,
}

impl<'a> Run<'a> {
    /// The run of the node whose values are `wires` of `slots`.
    ///
    /// # Safety
    /// Each tensor in a slot lies in live memory as [`TensorRef::new`] demands; slots that the node writes share memory with no slot
    /// that anybody still reads, except with an input that the node was promised in place. `scratch` is good for its length.
    pub unsafe fn new(slots: &'a mut [Slot], wires: &'a Wires, scratch: (*mut u8, usize), cancel: &'a Cancel) -> Self {
        Self { slots, wires, scratch, cancel, states: &[], taken: Cell::new(0) }
    }

    /// The same with what providers keep for the run.
    #[must_use]
    pub fn with_states(self, states: &'a [Arc<dyn RunState>]) -> Self {
        Self { states, ..self }
    }

    /// What the provider of the node keeps for the run, by its type.
    pub fn state<T: RunState>(&self) -> Option<&'a T> {
        self.states.iter().find_map(|state| (&**state as &dyn Any).downcast_ref())
    }

    /// How many inputs the node lists.
    pub fn input_count(&self) -> usize {
        self.wires.given
    }

    /// How many outputs the node lists.
    pub fn output_count(&self) -> usize {
        self.wires.outputs.len()
    }

    /// Whether output `i` is asked for.
    pub fn has_output(&self, i: usize) -> bool {
        self.output_slot(i).is_some()
    }

    /// Whether input `i` is given.
    pub fn has_input(&self, i: usize) -> bool {
        self.input_slot(i).is_some()
    }

    fn input_slot(&self, i: usize) -> Option<usize> {
        if i < self.wires.given { self.wires.inputs.get(i).copied().flatten().map(|s| s as usize) } else { None }
    }

    fn output_slot(&self, i: usize) -> Option<usize> {
        self.wires.outputs.get(i).copied().flatten().map(|s| s as usize)
    }

    fn input_at(&self, i: usize) -> Result<&Slot> {
        self.input_slot(i).map(|s| &self.slots[s]).ok_or_else(|| error!(InvalidArgument, "input {i} is missing"))
    }

    /// Input `i`, a tensor.
    ///
    /// # Errors
    /// `InvalidArgument` when it is left out or no tensor.
    pub fn input(&self, i: usize) -> Result<TensorRef<'_>> {
        self.input_at(i)?.tensor()
    }

    /// Input `i`, a tensor, unless it is left out.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no tensor.
    pub fn optional(&self, i: usize) -> Result<Option<TensorRef<'_>>> {
        if self.has_input(i) { self.input(i).map(Some) } else { Ok(None) }
    }

    /// Input `i` as a value that may be kept.
    ///
    /// # Errors
    /// `InvalidArgument` when it is left out.
    pub fn value(&self, i: usize) -> Result<Value> {
        self.input_at(i)?.to_value()
    }

    /// Input `i` as a value that may be kept, taken out of the run if no later node reads it: it may then be changed in place
    /// where nobody else holds it. It cannot be read again.
    ///
    /// # Errors
    /// `InvalidArgument` when it is left out.
    pub fn take(&mut self, i: usize) -> Result<Value> {
        let value = self.value(i)?;
        if let (true, Some(slot)) = (self.wires.ends(i), self.input_slot(i)) {
            self.slots[slot] = Slot::Empty;
        }
        Ok(value)
    }

    /// Input `i`, a sequence.
    ///
    /// # Errors
    /// `InvalidArgument` when it is left out or something else.
    pub fn sequence(&self, i: usize) -> Result<&Sequence> {
        match self.input_at(i)? {
            Slot::Value(Value::Sequence(sequence)) => Ok(sequence),
            Slot::Value(other) => bail!(InvalidArgument, "input {i} must be a sequence, not {}", other.ty()),
            _ => bail!(InvalidArgument, "input {i} must be a sequence"),
        }
    }

    /// What the node's graph captured, all graphs in order.
    ///
    /// # Errors
    /// `Fail` when a value is not there.
    pub fn captures(&self) -> Result<Vec<Value>> {
        let captured = self.wires.inputs[self.wires.given..].iter();
        captured.flatten().map(|s| self.slots[*s as usize].to_value()).collect()
    }

    /// Output `i`, a tensor whose sizes were known before or which was allocated by [`allocate`](Run::allocate). Given out once.
    ///
    /// # Errors
    /// `Fail` when it is not asked for, not there, or given out already.
    pub fn output(&self, i: usize) -> Result<TensorMut<'_>> {
        let Some(slot) = self.output_slot(i) else { bail!(Fail, "nobody asks for output {i}") };
        self.hand_out(i.min(62))?;
        match &self.slots[slot] {
            // SAFETY: `new` demands that nobody else uses the memory; `hand_out` gives it once.
            Slot::Tensor(t) => Ok(unsafe { TensorMut::new(t.dtype, &t.shape, &t.layout, t.memory, t.address) }),
            other => bail!(Fail, "output {i} has no memory yet: {other:?}"),
        }
    }

    fn hand_out(&self, bit: usize) -> Result<()> {
        let bits = self.taken.get();
        // Outputs from 62 on share a bit and are not guarded one by one.
        ensure!(bits >> bit & 1 == 0 || bit == 62, Fail, "output {bit} is given out twice");
        self.taken.set(bits | 1 << bit);
        Ok(())
    }

    /// The type, shape and layout of output `i`, if memory is set aside for it.
    pub fn planned_output(&self, i: usize) -> Option<(DType, &[usize], &Layout)> {
        match &self.slots[self.output_slot(i)?] {
            Slot::Tensor(t) => Some((t.dtype, &t.shape, &t.layout)),
            _ => None,
        }
    }

    /// The shape of output `i`, if its sizes were known before the run.
    pub fn output_shape(&self, i: usize) -> Option<&[usize]> {
        match &self.slots[self.output_slot(i)?] {
            Slot::Tensor(t) => Some(&t.shape),
            _ => None,
        }
    }

    /// Makes output `i` a dense tensor, for sizes that only the kernel knows. An output of that shape already there is kept.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn allocate(&mut self, i: usize, dtype: DType, shape: impl Into<Shape>) -> Result<()> {
        let Some(slot) = self.output_slot(i) else { return Ok(()) };
        let shape = shape.into();
        if let Slot::Tensor(t) = &self.slots[slot] {
            ensure!(t.shape == shape && t.dtype == dtype, Fail, "output {i} is {}{}, not {dtype}{shape}", t.dtype, t.shape);
            return Ok(());
        }
        self.slots[slot] = Slot::Tensor(SlotTensor::allocate(dtype, shape, Layout::Dense)?);
        Ok(())
    }

    /// Makes output `i` be `value`. Where memory was set aside for it, the elements are copied there.
    ///
    /// # Errors
    /// `Fail` when type or shape are not those that were planned.
    pub fn set(&mut self, i: usize, value: impl Into<Value>) -> Result<()> {
        let value = value.into();
        match self.output_slot(i) {
            None => Ok(()),
            Some(slot) if matches!(self.slots[slot], Slot::Tensor(_)) => base::copy::copy(value.tensor()?.as_ref(), self.output(i)?),
            Some(slot) => {
                self.slots[slot] = Slot::Value(value);
                Ok(())
            }
        }
    }

    /// Makes output `i` a tensor of strings.
    ///
    /// # Errors
    /// `InvalidArgument` when their number is not that of the shape.
    pub fn set_strings(&mut self, i: usize, shape: impl Into<Shape>, strings: Strings) -> Result<()> {
        self.set(i, Tensor::from_strings(shape, strings)?)
    }

    /// The scratch memory that [`Prepared::scratch`](crate::Prepared::scratch) asked for, as elements of `T`. Given out once.
    ///
    /// # Errors
    /// `Fail` when it is given out already.
    #[allow(clippy::mut_from_ref)] // Given out once, like outputs.
    pub fn scratch<T: Element>(&self) -> Result<&mut [T]> {
        self.hand_out(63)?;
        // SAFETY: `new` demands that the memory is good for its length and aligned to a cache line; it is given out once.
        // Plain numbers of any content are valid, and the run zeroes the memory when it allocates it.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.scratch.0.cast(), self.scratch.1 / size_of::<T>()) })
    }

    /// The flag and deadline that end this run early.
    pub fn cancel(&self) -> &Cancel {
        self.cancel
    }
}
