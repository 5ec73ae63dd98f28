//! Binding a plan: symbolic sizes become numbers, blocks become offsets. It is cheap enough to be done at every new shape.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Layout, Memory, Result, Shape, ensure, error};
use op::{Alias, Sizes};

use crate::Program;
use crate::plan::{Action, Plan, Step};
use crate::storage::Storage;

/// One segment of a plan with concrete sizes.
pub(crate) struct Bound {
    /// The size of each slot written in the segment, by slot; `None` for others and those sized late.
    pub(crate) slots: Vec<Option<BoundSlot>>,
    /// Bytes of each memory that the blocks of the segment take.
    pub(crate) arenas: Vec<(Memory, usize)>,
    /// Scratch bytes of each step of the segment; `None` where an input is sized late.
    pub(crate) scratch: Vec<Option<usize>>,
    /// The slots of the segment that lie in its blocks.
    pub(crate) blocked: Vec<u32>,
    /// Where each block of the plan begins in its arena.
    pub(crate) offsets: Vec<usize>,
}

/// A slot with concrete sizes.
pub(crate) struct BoundSlot {
    pub(crate) shape: Shape,
    pub(crate) layout: Layout,
    /// Bytes from the start of what it lies in: its block, or the slot it shares.
    pub(crate) offset: usize,
}

/// A few recent bindings of each segment, by the values of the symbols.
#[derive(Default)]
pub(crate) struct Bindings {
    recent: Mutex<Vec<Entry>>,
}

struct Entry {
    segment: usize,
    symbols: Vec<Option<i64>>,
    bound: Arc<Bound>,
}

/// How many bindings a plan remembers.
const REMEMBERED: usize = 16;

impl Bindings {
    /// The binding of `segment` for these values of the symbols, made if it is not among the recent ones.
    ///
    /// # Errors
    /// `InvalidArgument` when sizes disagree, naming the node.
    pub(crate) fn get(&self, program: &Program, plan: &Plan, segment: usize, symbols: &[Option<i64>]) -> Result<Arc<Bound>> {
        if let Some(bound) = self.find(segment, symbols) {
            return Ok(bound);
        }
        let bound = Arc::new(bind(program, plan, segment, symbols)?);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.remove(0);
        }
        recent.push(Entry { segment, symbols: symbols.to_vec(), bound: bound.clone() });
        Ok(bound)
    }

    /// A recent binding; it becomes the most recent one.
    fn find(&self, segment: usize, symbols: &[Option<i64>]) -> Option<Arc<Bound>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = recent.iter().rposition(|e| e.segment == segment && e.symbols == symbols)?;
        let bound = recent[place].bound.clone();
        if place + 1 < recent.len() {
            recent[place..].rotate_left(1);
        }
        Some(bound)
    }
}

fn bind(program: &Program, plan: &Plan, segment: usize, symbols: &[Option<i64>]) -> Result<Bound> {
    let first = plan.segments[segment];
    let end = plan.segments.get(segment + 1).copied().unwrap_or(plan.steps.len());
    let mut binder = Binder { program, plan, symbols, shapes: vec![None; plan.slots.len()], bound: Vec::new() };
    binder.bound.resize_with(plan.slots.len(), || None);
    let mut scratch = Vec::with_capacity(end - first);
    for step in &plan.steps[first..end] {
        let node = program.graph().node(step.node);
        scratch.push(binder.step(step).map_err(|e| e.at(&node.key.name, &node.name))?);
    }
    let (arenas, offsets, blocked) = binder.blocks(segment)?;
    for step in &plan.steps[first..end] {
        binder.pieces(step)?;
    }
    Ok(Bound { slots: binder.bound, arenas, scratch, blocked, offsets })
}

struct Binder<'a> {
    program: &'a Program,
    plan: &'a Plan,
    symbols: &'a [Option<i64>],
    shapes: Vec<Option<Shape>>,
    bound: Vec<Option<BoundSlot>>,
}

impl Binder<'_> {
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
        self.shapes[index] = Some(shape);
        Ok(())
    }

    fn bind_output(&mut self, slot: u32) -> Result<()> {
        let s = &self.plan.slots[slot as usize];
        if let (Some(shape), false) = (&self.shapes[slot as usize], matches!(s.storage, Storage::Free)) {
            self.bound[slot as usize] = Some(BoundSlot { shape: shape.clone(), layout: s.layout.clone(), offset: 0 });
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

    /// Where the outputs of a step lie in its input 0.
    fn share(&mut self, step: &Step) -> Result<()> {
        let alias = step.alias(self.program)?;
        let Some(source) = step.wires.inputs[0] else { return Ok(()) };
        for (i, slot) in step.wires.outputs.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s as usize))) {
            let (Some(from), Some(to)) = (&self.shapes[source as usize], &self.shapes[slot]) else {
                base::bail!(Fail, "a shared value is sized late");
            };
            if alias == Alias::Same {
                let (a, b) = (Shape::checked_len(from), Shape::checked_len(to));
                ensure!(a == b, InvalidArgument, "Input shape:{from}, requested shape:{to}: the numbers of elements differ");
                continue;
            }
            let operator = self.program.target.registry.load(self.program.graph().node(step.node))?;
            let part = self.sizes(step, |sizes| operator.part(sizes, i))??;
            let (dims, from) = (to.clone(), from.clone());
            let layout = Layout::Strided(part.strides);
            check_part(&from, &dims, &layout, part.offset)?;
            let layout = if layout.is_dense(&dims) { Layout::Dense } else { layout };
            let bytes = self.plan.slots[slot].dtype.and_then(base::DType::size).ok_or_else(|| error!(Fail, "packed parts"))?;
            if let Some(bound) = &mut self.bound[slot] {
                *bound = BoundSlot { layout, offset: part.offset * bytes, ..std::mem::take(bound) };
            }
        }
        Ok(())
    }

    /// Lays the blocks of the segment one after another.
    #[allow(clippy::type_complexity)] // Three plain lists, taken apart at once.
    fn blocks(&mut self, segment: usize) -> Result<(Vec<(Memory, usize)>, Vec<usize>, Vec<u32>)> {
        let mut bytes = vec![0usize; self.plan.blocks.len()];
        let mut blocked = Vec::new();
        for (slot, s) in self.plan.slots.iter().enumerate().filter(|(i, _)| self.bound[*i].is_some()) {
            match s.storage {
                Storage::Block(block) => {
                    bytes[block as usize] = bytes[block as usize].max(self.bytes(slot)?);
                    blocked.push(slot as u32);
                }
                Storage::PartOf { .. } => blocked.push(slot as u32),
                _ => {}
            }
        }
        let mut arenas: Vec<(Memory, usize)> = Vec::new();
        let mut offsets = vec![0; bytes.len()];
        for (i, block) in self.plan.blocks.iter().enumerate().filter(|(_, b)| b.segment == segment) {
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
        bytes.ok_or_else(|| error!(InvalidArgument, "a tensor of shape {shape:?} is too large"))
    }

    /// Where the inputs of a Concat that is written in place lie in its output.
    fn pieces(&mut self, step: &Step) -> Result<()> {
        if step.action != Action::Nothing {
            return Ok(());
        }
        let operator = self.program.target.registry.load(self.program.graph().node(step.node))?;
        for (i, slot) in step.wires.inputs.iter().enumerate().filter_map(|(i, s)| s.map(|s| (i, s as usize))) {
            let part = self.sizes(step, |sizes| operator.part(sizes, i))??;
            let whole = step.wires.outputs[0].and_then(|w| self.shapes[w as usize].clone()).unwrap_or_default();
            let shape = self.shapes[slot].clone().unwrap_or_default();
            check_part(&whole, &shape, &Layout::Dense, part.offset)?;
            ensure!(Layout::Strided(part.strides).is_dense(&shape), Fail, "a piece of a whole is not dense");
            let bytes = self.plan.slots[slot].dtype.and_then(base::DType::size).ok_or_else(|| error!(Fail, "packed parts"))?;
            if let Some(bound) = &mut self.bound[slot] {
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
