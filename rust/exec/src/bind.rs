//! Binding a plan: symbolic sizes become numbers, blocks become offsets. It is cheap enough to be done at every new shape.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Layout, Memory, Result, Shape, ensure, error};
use ir::Symbol;
use op::{Alias, Part, Sizes};

use crate::Program;
use crate::plan::{Action, Plan, Segment, Step};
use crate::storage::Storage;

/// One segment of a plan with concrete sizes.
pub(crate) struct Bound {
    /// The sizes of the slots written in the segment, in order; `None` for those sized late.
    slots: Vec<Option<BoundSlot>>,
    /// The number of the first of them.
    first_slot: usize,
    /// Bytes of each memory that the blocks of the segment take.
    pub(crate) arenas: Vec<(Memory, usize)>,
    /// Scratch bytes of each step of the segment; `None` where an input is sized late.
    pub(crate) scratch: Vec<Option<usize>>,
    /// The slots of the segment that lie in its blocks.
    pub(crate) blocked: Vec<u32>,
    /// Where each block of the segment begins in its arena.
    offsets: Vec<usize>,
    /// The number of the first of them.
    first_block: usize,
}

impl Bound {
    /// The sizes of a slot, if it is written in the segment and its sizes are known.
    pub(crate) fn slot(&self, slot: u32) -> Option<&BoundSlot> {
        self.slots.get((slot as usize).checked_sub(self.first_slot)?)?.as_ref()
    }

    /// Where block `block` of the segment begins in its arena.
    pub(crate) fn block(&self, block: u32) -> usize {
        self.offsets[block as usize - self.first_block]
    }
}

/// A slot with concrete sizes.
pub(crate) struct BoundSlot {
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    /// Bytes from the start of what it lies in: its block, or the slot it shares.
    pub(crate) offset: usize,
}

/// A few recent bindings of each segment, by the values of the symbols that its sizes speak of.
#[derive(Default)]
pub(crate) struct Bindings {
    recent: Mutex<Vec<Vec<Entry>>>,
}

struct Entry {
    symbols: Vec<Option<i64>>,
    bound: Arc<Bound>,
}

/// How many bindings of a segment are remembered.
const REMEMBERED: usize = 16;

impl Bindings {
    /// The binding of `segment` for these values of the symbols, made if it is not among the recent ones. `shapes` has a place for
    /// each slot of the plan, all empty before and after.
    ///
    /// # Errors
    /// `InvalidArgument` when sizes disagree, naming the node.
    pub(crate) fn get(
        &self,
        program: &Program,
        plan: &Plan,
        segment: usize,
        symbols: &[Option<i64>],
        shapes: &mut [Option<Shape>],
    ) -> Result<Arc<Bound>> {
        let speaks_of = &plan.speaks_of[segment];
        if let Some(bound) = self.find(segment, speaks_of, symbols) {
            return Ok(bound);
        }
        let mut binder = Binder::new(program, plan, segment, symbols, shapes);
        let bound = binder.bind();
        binder.clear();
        let bound = Arc::new(bound?);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.resize_with(plan.segments.len(), Vec::new);
        let recent = &mut recent[segment];
        if recent.len() == REMEMBERED {
            recent.remove(0);
        }
        recent.push(Entry { symbols: speaks_of.iter().map(|s| symbols[s.0 as usize]).collect(), bound: bound.clone() });
        Ok(bound)
    }

    /// A recent binding; it becomes the most recent one.
    fn find(&self, segment: usize, speaks_of: &[Symbol], symbols: &[Option<i64>]) -> Option<Arc<Bound>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = recent.get_mut(segment)?;
        let same = |e: &Entry| speaks_of.iter().zip(&e.symbols).all(|(s, value)| symbols[s.0 as usize] == *value);
        let place = recent.iter().rposition(same)?;
        let bound = recent[place].bound.clone();
        if place + 1 < recent.len() {
            recent[place..].rotate_left(1);
        }
        Some(bound)
    }
}

struct Binder<'a> {
    program: &'a Program,
    plan: &'a Plan,
    segment: Segment,
    symbols: &'a [Option<i64>],
    /// The shapes of all slots that the segment reads or writes.
    shapes: &'a mut [Option<Shape>],
    /// The slots that have a shape there.
    filled: Vec<usize>,
    /// The slots of the segment, in order.
    bound: Vec<Option<BoundSlot>>,
}

impl<'a> Binder<'a> {
    fn new(program: &'a Program, plan: &'a Plan, segment: usize, symbols: &'a [Option<i64>], shapes: &'a mut [Option<Shape>]) -> Self {
        let segment = plan.segment(segment);
        let mut bound = Vec::new();
        bound.resize_with(segment.slots.len(), || None);
        Self { program, plan, segment, symbols, shapes, filled: Vec::new(), bound }
    }

    fn bind(&mut self) -> Result<Bound> {
        let steps = &self.plan.steps[self.segment.steps.clone()];
        let mut scratch = Vec::with_capacity(steps.len());
        for step in steps {
            let node = self.program.graph().node(step.node);
            scratch.push(self.step(step).map_err(|e| e.while_running(&node.key.name, &node.name))?);
        }
        let (arenas, offsets, blocked) = self.blocks()?;
        steps.iter().try_for_each(|step| self.pieces(step))?;
        let (first_slot, first_block) = (self.segment.slots.start, self.segment.blocks.start);
        Ok(Bound { slots: std::mem::take(&mut self.bound), first_slot, arenas, scratch, blocked, offsets, first_block })
    }

    /// Leaves no shape behind.
    fn clear(&mut self) {
        self.filled.drain(..).for_each(|slot| self.shapes[slot] = None);
    }

    /// The place of a slot that the segment writes.
    fn bound(&mut self, slot: usize) -> &mut Option<BoundSlot> {
        &mut self.bound[slot - self.segment.slots.start]
    }

    /// Binds what `step` writes, and gives the scratch bytes it needs.
    fn step(&mut self, step: &Step) -> Result<Option<usize>> {
        for slot in step.wires.inputs.iter().chain(&step.wires.outputs).flatten() {
            self.shape(*slot)?;
        }
        for slot in step.wires.outputs.iter().flatten() {
            self.bind_output(*slot)?;
        }
        let unit = self.program.unit(step.node)?;
        match step.action {
            Action::Kernel if step.wires.inputs[..step.wires.given].iter().flatten().all(|s| self.is_sized(*s)) && !step.sized_late => {
                Ok(Some(self.sizes(step, |sizes| unit.kernel.scratch(sizes))?))
            }
            Action::Kernel => Ok(None),
            Action::Share => self.share(step).map(|()| Some(0)),
            Action::Nothing => Ok(Some(0)),
        }
    }

    fn is_sized(&self, slot: u32) -> bool {
        self.shapes[slot as usize].is_some() || self.plan.slots[slot as usize].dtype.is_none()
    }

    /// Evaluates the shape of `slot`, unless it is sized late.
    fn shape(&mut self, slot: u32) -> Result<()> {
        let (index, s) = (slot as usize, &self.plan.slots[slot as usize]);
        let (None, Some(dims)) = (&self.shapes[index], &s.dims) else { return Ok(()) };
        let mut shape = Shape::default();
        for dim in dims {
            let Some(n) = dim.eval(self.symbols)? else { return Ok(()) };
            let size = usize::try_from(n).map_err(|_| error!(InvalidArgument, "an axis of {dims:?} would have {n} elements"))?;
            shape.push(size);
        }
        ensure!(Shape::checked_len(&shape).is_some(), InvalidArgument, "a tensor of shape {shape} is too large");
        self.shapes[index] = Some(shape);
        self.filled.push(index);
        Ok(())
    }

    fn bind_output(&mut self, slot: u32) -> Result<()> {
        let s = &self.plan.slots[slot as usize];
        if let (Some(shape), false) = (self.shapes[slot as usize].clone(), matches!(s.storage, Storage::Free)) {
            *self.bound(slot as usize) = Some(BoundSlot { shape, layout: s.layout.clone(), offset: 0 });
        }
        Ok(())
    }

    fn sizes<T>(&self, step: &Step, f: impl FnOnce(&Sizes<'_>) -> T) -> Result<T> {
        let shape = |s: &Option<u32>| s.and_then(|s| self.shapes[s as usize].as_deref());
        let inputs: smallvec::SmallVec<[_; 8]> = step.wires.inputs[..step.wires.given].iter().map(shape).collect();
        let outputs: smallvec::SmallVec<[_; 8]> = step.wires.outputs.iter().map(shape).collect();
        let known = |s: &Option<u32>| s.map_or(Ok(None), |s| self.ints(s));
        let needs_ints = step.alias(self.program)? != Alias::None;
        let ints: Vec<Option<Vec<i64>>> =
            if needs_ints { step.wires.inputs[..step.wires.given].iter().map(known).collect::<Result<_>>()? } else { Vec::new() };
        let ints: Vec<_> = ints.iter().map(Option::as_deref).collect();
        Ok(f(&Sizes { inputs: &inputs, outputs: &outputs, ints: &ints }))
    }

    fn ints(&self, slot: u32) -> Result<Option<Vec<i64>>> {
        let value = &self.program.facts().fact(self.plan.slots[slot as usize].value)?.value;
        let Some(value) = value else { return Ok(None) };
        value.iter().map(|d| d.eval(self.symbols)).collect()
    }

    /// Where the parts `indices` of a step's whole lie.
    fn parts(&self, step: &Step, indices: impl Iterator<Item = usize>) -> Result<Vec<Result<Part>>> {
        let operator = self.program.target.registry.load(self.program.graph().node(step.node))?;
        self.sizes(step, |sizes| indices.map(|i| operator.part(sizes, i)).collect())
    }

    /// Where the outputs of a step lie in its input 0.
    fn share(&mut self, step: &Step) -> Result<()> {
        let alias = step.alias(self.program)?;
        let Some(source) = step.wires.inputs[0] else { return Ok(()) };
        let written = step.wires.outputs.iter().enumerate().filter(|(_, s)| s.is_some()).map(|(i, _)| i);
        let mut parts = if alias == Alias::Same { Vec::new() } else { self.parts(step, written)? }.into_iter();
        for (i, slot) in step.wires.outputs.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s as usize))) {
            let (Some(from), Some(to)) = (&self.shapes[source as usize], &self.shapes[slot]) else {
                base::bail!(Fail, "a shared value is sized late");
            };
            if alias == Alias::Same {
                let (a, b) = (Shape::checked_len(from), Shape::checked_len(to));
                ensure!(a == b, Fail, "Input shape:{from}, requested shape:{to}: the numbers of elements differ");
                continue;
            }
            let Some(part) = parts.next() else { base::bail!(Fail, "output {i} is no part") };
            let part = part?;
            let (dims, from) = (to.clone(), from.clone());
            let layout = Layout::Strided(part.strides);
            check_part(&from, &dims, &layout, part.offset)?;
            let layout = if layout.is_dense(&dims) { Layout::Dense } else { layout };
            let bytes = self.plan.slots[slot].dtype.and_then(base::DType::size).ok_or_else(|| error!(Fail, "packed parts"))?;
            if let Some(bound) = self.bound(slot) {
                *bound = BoundSlot { layout, offset: part.offset * bytes, ..std::mem::take(bound) };
            }
        }
        Ok(())
    }

    /// Lays the blocks of the segment one after another.
    #[allow(clippy::type_complexity)] // Three plain lists, taken apart at once.
    fn blocks(&self) -> Result<(Vec<(Memory, usize)>, Vec<usize>, Vec<u32>)> {
        let Segment { slots, blocks, .. } = &self.segment;
        let mut bytes = vec![0usize; blocks.len()];
        let mut blocked = Vec::new();
        for slot in slots.clone().zip(&self.bound).filter(|(_, b)| b.is_some()).map(|(slot, _)| slot) {
            match self.plan.slots[slot].storage {
                Storage::Block(block) => {
                    let bytes = &mut bytes[block as usize - blocks.start];
                    *bytes = self.bytes(slot)?.max(*bytes);
                    blocked.push(slot as u32);
                }
                Storage::PartOf { .. } => blocked.push(slot as u32),
                _ => {}
            }
        }
        let mut arenas: Vec<(Memory, usize)> = Vec::new();
        let mut offsets = vec![0; bytes.len()];
        for (i, block) in self.plan.blocks[blocks.clone()].iter().enumerate() {
            let known = arenas.iter().position(|(m, _)| *m == block.memory);
            let arena = known.unwrap_or_else(|| {
                arenas.push((block.memory, 0));
                arenas.len() - 1
            });
            offsets[i] = arenas[arena].1;
            let end = offsets[i].checked_add(bytes[i]).and_then(|n| n.checked_next_multiple_of(base::ALIGNMENT));
            arenas[arena].1 = end.ok_or_else(|| error!(Fail, "the values of the graph do not fit into memory"))?;
        }
        Ok((arenas, offsets, blocked))
    }

    fn bytes(&self, slot: usize) -> Result<usize> {
        let s = &self.plan.slots[slot];
        let shape = self.shapes[slot].as_ref();
        let len = shape.and_then(|shape| s.layout.stored_len(shape));
        let bytes = len.zip(s.dtype).and_then(|(n, d)| d.bytes_of(n));
        bytes.ok_or_else(|| error!(Fail, "a tensor of shape {shape:?} is too large"))
    }

    /// Where the inputs of a Concat that is written in place lie in its output.
    fn pieces(&mut self, step: &Step) -> Result<()> {
        if step.action != Action::Nothing {
            return Ok(());
        }
        let given = step.wires.inputs.iter().enumerate().filter(|(_, s)| s.is_some()).map(|(i, _)| i);
        let parts = self.parts(step, given)?;
        for (slot, part) in step.wires.inputs.iter().flatten().map(|s| *s as usize).zip(parts) {
            let part = part?;
            let whole = step.wires.outputs[0].and_then(|w| self.shapes[w as usize].clone()).unwrap_or_default();
            let shape = self.shapes[slot].clone().unwrap_or_default();
            check_part(&whole, &shape, &Layout::Dense, part.offset)?;
            ensure!(Layout::Strided(part.strides).is_dense(&shape), Fail, "a piece of a whole is not dense");
            let bytes = self.plan.slots[slot].dtype.and_then(base::DType::size).ok_or_else(|| error!(Fail, "packed parts"))?;
            if let Some(bound) = self.bound(slot) {
                bound.offset = part.offset * bytes;
            }
        }
        Ok(())
    }
}

impl Default for BoundSlot {
    fn default() -> Self {
        Self { shape: Shape::scalar(), layout: Layout::Dense, offset: 0 }
    }
}

/// Fails unless a part of shape `dims` at element `offset` lies inside a dense whole of shape `whole`.
fn check_part(whole: &[usize], dims: &[usize], layout: &Layout, offset: usize) -> Result<()> {
    let len = Shape::checked_len(whole).unwrap_or(0);
    let Some((low, high)) = layout.extent(dims) else { return Ok(()) };
    let first = isize::try_from(offset).ok().and_then(|o| o.checked_add(low));
    let last = isize::try_from(offset).ok().and_then(|o| o.checked_add(high));
    let inside = first.is_some_and(|f| f >= 0) && last.is_some_and(|l| (l as usize) < len);
    ensure!(inside, InvalidArgument, "part {} at {offset} lies outside shape {}", Shape::from(dims), Shape::from(whole));
    Ok(())
}
