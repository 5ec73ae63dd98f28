//! What one run writes to: slots, arenas, the values of symbols. Frames are used again by later runs.

use std::sync::{Arc, Mutex, PoisonError};

use base::{Buffer, Memory, Result, Shape, Tensor, Value};
use op::{RunState, Slot, SlotTensor};

use crate::Target;
use crate::bind::Bound;
use crate::plan::Plan;
use crate::storage::Storage;

/// What one run writes to.
pub(crate) struct Frame {
    pub(crate) slots: Vec<Slot>,
    pub(crate) symbols: Vec<Option<i64>>,
    /// Shapes by slot, while a segment is bound; empty at all other times.
    pub(crate) shapes: Vec<Option<Shape>>,
    segments: Vec<SegmentMemory>,
    scratch: Buffer,
    /// Scratch memory for nodes that run at the same time.
    spare: Vec<Buffer>,
    /// What providers keep for the run.
    pub(crate) states: Vec<Arc<dyn RunState>>,
    /// Feeds that lie on a device, by slot.
    pub(crate) resident: Vec<(u32, Tensor)>,
}

#[derive(Default)]
struct SegmentMemory {
    bound: Option<Arc<Bound>>,
    arenas: Vec<(Memory, Buffer)>,
}

impl Frame {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let slots = plan.slots.iter().map(|s| crate::plan::constant(&s.storage).cloned().map_or(Slot::Empty, Slot::Value));
        let mut segments = Vec::new();
        segments.resize_with(plan.segments.len(), SegmentMemory::default);
        Ok(Self {
            slots: slots.collect(),
            symbols: vec![None; plan.symbols],
            shapes: vec![None; plan.slots.len()],
            segments,
            scratch: Buffer::uninit(0)?,
            spare: Vec::new(),
            states: Vec::new(),
            resident: Vec::new(),
        })
    }

    /// Makes the memory of `segment` fit `bound`, and points the slots in it there.
    pub(crate) fn adopt(&mut self, target: &Target, plan: &Plan, segment: usize, bound: &Arc<Bound>) -> Result<()> {
        let memory = &mut self.segments[segment];
        if memory.bound.as_ref().is_some_and(|b| Arc::ptr_eq(b, bound)) {
            return Ok(());
        }
        for (place, bytes) in &bound.arenas {
            match memory.arenas.iter_mut().find(|(m, _)| m == place) {
                Some((_, arena)) if arena.len() >= *bytes => {}
                Some((_, arena)) => {
                    // The old arena goes first: a device may not have room for both.
                    memory.bound = None;
                    *arena = Buffer::uninit(0)?;
                    let owner = target.owner_of(*place)?;
                    let roomy = bytes.next_power_of_two().min(bytes.saturating_add(bytes / 4));
                    *arena = owner.allocate(roomy).or_else(|_| owner.allocate(*bytes))?;
                }
                None => memory.arenas.push((*place, target.owner_of(*place)?.allocate(*bytes)?)),
            }
        }
        memory.bound = Some(bound.clone());
        for slot in &bound.blocked {
            self.point(plan, bound, *slot)?;
        }
        Ok(())
    }

    /// Points `slot` to its place in an arena.
    fn point(&mut self, plan: &Plan, bound: &Bound, slot: u32) -> Result<()> {
        let s = &plan.slots[slot as usize];
        let whole = match s.storage {
            Storage::PartOf { whole, .. } => whole,
            _ => slot,
        };
        let (Storage::Block(block), Some(size), Some(dtype)) = (&plan.slots[whole as usize].storage, bound.slot(slot), s.dtype) else {
            base::bail!(Fail, "slot {slot} lies in no block");
        };
        let place = &plan.blocks[*block as usize];
        let segment = &self.segments[place.segment];
        let arena = segment.arenas.iter().find(|(m, _)| *m == place.memory);
        let (Some((_, arena)), Some(home)) = (arena, &segment.bound) else { base::bail!(Fail, "block {block} has no memory yet") };
        let address = arena.address().cast_mut().wrapping_add(home.block(*block) + size.offset);
        let (shape, layout) = (size.shape.clone(), size.layout.clone());
        self.slots[slot as usize] = Slot::Tensor(SlotTensor { dtype, shape, layout, memory: s.memory, address, owner: None });
        Ok(())
    }

    /// Scratch memory of at least `bytes` bytes.
    pub(crate) fn scratch(&mut self, bytes: usize) -> Result<(*mut u8, usize)> {
        if self.scratch.len() < bytes {
            self.scratch = Buffer::zeroed(bytes)?;
        }
        Ok((self.scratch.address().cast_mut(), bytes))
    }

    /// Scratch memory of at least `bytes` bytes, apart from any other.
    pub(crate) fn spare(&mut self, bytes: usize) -> Result<Buffer> {
        match self.spare.iter().position(|b| b.len() >= bytes) {
            Some(i) => Ok(self.spare.swap_remove(i)),
            None => {
                // One that is too small gives way, so that runs of growing sizes do not leave a trail.
                self.spare.pop();
                Buffer::zeroed(bytes)
            }
        }
    }

    /// Keeps scratch memory for the next node that wants some apart.
    pub(crate) fn keep_spare(&mut self, spare: Buffer) {
        self.spare.push(spare);
    }

    /// Lets go of everything that came from the caller or has a buffer of its own.
    pub(crate) fn clear(&mut self, plan: &Plan) {
        for (slot, s) in self.slots.iter_mut().zip(&plan.slots) {
            match s.storage {
                // A feed stood in for the block.
                Storage::Block(_) if matches!(slot, Slot::Value(Value::Tensor(_))) => {
                    self.segments[s.segment].bound = None;
                    *slot = Slot::Empty;
                }
                Storage::Block(_) | Storage::PartOf { .. } | Storage::Constant(_) => {}
                _ => *slot = Slot::Empty,
            }
        }
        self.states.clear();
        self.resident.clear();
        self.symbols.fill(None);
    }
}

/// Frames that wait for a run.
#[derive(Default)]
pub(crate) struct Frames {
    idle: Mutex<Vec<Frame>>,
}

/// How many idle frames are kept.
const KEPT: usize = 8;

impl Frames {
    pub(crate) fn take(&self, plan: &Plan) -> Result<Frame> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| Frame::new(plan), Ok)
    }

    /// Lets go of all frames that wait.
    pub(crate) fn clear(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn give_back(&self, mut frame: Frame, plan: &Plan) {
        frame.clear(plan);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(frame);
        }
    }
}
