//! The structural plan: which steps a fetch set needs, and where each value lives.
//!
//! Nothing here depends on concrete sizes: sizes stay symbolic until a plan is bound (`bind.rs`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use base::{DType, Layout, Memory, Result, Type, Value, bail};
use ir::{Dim, Dims, Fact, NodeId, Symbol, ValueId};
use op::{Alias, Wires};

use crate::Program;
use crate::copy::copies_to;
use crate::replace::replaced;
use crate::stand_in::Numbers;
use crate::storage::{Storage, assign};
use crate::waves::in_waves;

/// The steps and storage for one fetch set of a program.
pub struct Plan {
    /// The nodes to run, in order.
    pub(crate) steps: Vec<Step>,
    /// Every value of the run.
    pub(crate) slots: Vec<SlotPlan>,
    /// The slot of each input, then of each captured value, of the graph.
    pub(crate) feeds: Vec<u32>,
    /// The slot of each fetched value.
    pub(crate) fetches: Vec<u32>,
    /// For each fetch, the feed whose memory it may be written over.
    pub(crate) replaces: Vec<Option<u32>>,
    /// Feeds that some step reads that does not just copy them.
    pub(crate) read_in_place: HashSet<u32>,
    /// The providers of the steps that keep something for a run, by their place in the target.
    pub(crate) devices: Vec<usize>,
    /// Memory that values take turns in.
    pub(crate) blocks: Vec<Block>,
    /// Where each segment begins; sizes in a segment are known when it starts.
    pub(crate) segments: Vec<Start>,
    /// How many symbols sizes speak of.
    pub(crate) symbols: usize,
    /// What stands in for them while the plan is made.
    pub(crate) numbers: Numbers,
    /// What [`root`](Self::root) gives.
    roots: Vec<Option<u32>>,
    /// For each step, the wave that it belongs to; none where steps run one after the other.
    pub(crate) waves: Vec<usize>,
    /// For each segment, the symbols that the sizes in it speak of.
    pub(crate) speaks_of: Vec<Vec<Symbol>>,
}

/// In which order the nodes of a plan run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// One after the other.
    #[default]
    Serial,
    /// Those that do not wait for each other at the same time, at the price of more memory.
    Waves,
}

/// Where a segment begins: the numbers of its first step, slot and block. All three are numbered segment by segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Start {
    pub(crate) step: usize,
    pub(crate) slot: usize,
    pub(crate) block: usize,
}

/// The steps, slots and blocks of one segment.
pub(crate) struct Segment {
    pub(crate) steps: Range<usize>,
    pub(crate) slots: Range<usize>,
    pub(crate) blocks: Range<usize>,
}

/// One node to run.
pub(crate) struct Step {
    pub(crate) node: NodeId,
    pub(crate) wires: Wires,
    pub(crate) action: Action,
    /// Slots whose values end with this step.
    pub(crate) releases: Vec<u32>,
    /// Outputs whose sizes must be inferred from the values at hand just before the step.
    pub(crate) sized_late: bool,
    /// The memory that this step copies to, if it does nothing else.
    pub(crate) copies_to: Option<Memory>,
    /// Symbols that the outputs of this step settle.
    pub(crate) settles: Vec<Settled>,
}

/// A symbol that is known once an output is there: it is the size of one of its axes.
pub(crate) struct Settled {
    pub(crate) slot: u32,
    pub(crate) axis: usize,
    pub(crate) symbol: Symbol,
}

/// How a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// By its kernel.
    Kernel,
    /// Outputs are parts of input 0, or all of it under another shape.
    Share,
    /// Inputs were written in place as parts of output 0.
    Nothing,
}

/// One value of the run.
pub(crate) struct SlotPlan {
    pub(crate) value: ValueId,
    /// The element type, for tensors of numbers.
    pub(crate) dtype: Option<DType>,
    /// The sizes, if inference knows their number.
    pub(crate) dims: Option<Dims>,
    pub(crate) layout: Layout,
    pub(crate) memory: Memory,
    pub(crate) storage: Storage,
    /// The segment in which it is written.
    pub(crate) segment: usize,
}

/// Memory that values of one segment take turns in: as large as the largest of them.
pub(crate) struct Block {
    pub(crate) memory: Memory,
    pub(crate) segment: usize,
}

impl Plan {
    /// A plan of `program` that ends with the values `fetches`.
    ///
    /// # Errors
    /// `InvalidGraph` when a value is never written.
    pub fn new(program: &Program, fetches: &[ValueId], order: Order) -> Result<Self> {
        let nodes = needed(program, fetches)?;
        let (nodes, waves) = if order == Order::Waves { in_waves(program, &nodes) } else { (nodes, Vec::new()) };
        let mut draft = Draft::new(program);
        draft.feeds()?;
        for id in &nodes {
            draft.step(*id)?;
        }
        let fetches = fetches.iter().map(|v| draft.slot_of(*v)).collect::<Result<Vec<u32>>>()?;
        let mut plan = Plan {
            steps: draft.steps,
            slots: draft.slots,
            feeds: draft.feeds,
            fetches,
            replaces: Vec::new(),
            read_in_place: HashSet::new(),
            devices: Vec::new(),
            blocks: Vec::new(),
            segments: draft.segments,
            symbols: program.facts().symbols.len(),
            numbers: Numbers::new(&program.facts().symbols),
            roots: Vec::new(),
            waves,
            speaks_of: Vec::new(),
        };
        assign(program, &mut plan)?;
        plan.read_in_place = plan.find_read_in_place();
        plan.devices = program.devices(plan.steps.iter().map(|s| s.node))?;
        plan.roots = plan.find_roots();
        plan.replaces = replaced(program, &plan)?;
        plan.speaks_of = (0..plan.segments.len()).map(|i| plan.symbols_in(program, i)).collect::<Result<_>>()?;
        Ok(plan)
    }
}

impl Plan {
    /// The feeds that a step reads that does not just copy them.
    fn find_read_in_place(&self) -> HashSet<u32> {
        let reading = self.steps.iter().filter(|s| s.copies_to.is_none());
        let read: HashSet<u32> = reading.flat_map(|s| s.wires.inputs.iter().flatten().copied()).collect();
        self.feeds.iter().copied().filter(|slot| read.contains(slot)).collect()
    }

    /// The slot that `slot` has its buffer from, all of it, where that is made during the run.
    pub(crate) fn root(&self, slot: u32) -> Option<u32> {
        self.roots[slot as usize]
    }

    /// The roots of all slots.
    fn find_roots(&self) -> Vec<Option<u32>> {
        let mut roots = vec![None; self.slots.len()];
        for step in &self.steps {
            for slot in step.wires.outputs.iter().flatten() {
                let of = |input: u32| roots[input as usize];
                roots[*slot as usize] = match self.slots[*slot as usize].storage {
                    Storage::Own | Storage::Free => Some(*slot),
                    Storage::Over(input) => of(input),
                    // Parts of a value are no buffers of their own, and whole ones are seen under another shape only.
                    Storage::Shared => step.wires.inputs.first().copied().flatten().and_then(of),
                    _ => None,
                };
            }
        }
        roots
    }

    /// What segment `i` consists of.
    pub(crate) fn segment(&self, i: usize) -> Segment {
        let all = Start { step: self.steps.len(), slot: self.slots.len(), block: self.blocks.len() };
        let (start, end) = (self.segments[i], self.segments.get(i + 1).copied().unwrap_or(all));
        Segment { steps: start.step..end.step, slots: start.slot..end.slot, blocks: start.block..end.block }
    }

    /// The symbols that decide on the sizes in segment `i`.
    fn symbols_in(&self, program: &Program, i: usize) -> Result<Vec<Symbol>> {
        let mut found = BTreeSet::new();
        for wires in self.steps[self.segment(i).steps].iter().map(|s| &s.wires) {
            for slot in wires.inputs.iter().chain(&wires.outputs).flatten().map(|s| &self.slots[*s as usize]) {
                let values = program.facts().fact(slot.value)?.value.iter().flat_map(|v| v.iter());
                for dim in slot.dims.iter().flatten().chain(values) {
                    dim.for_each_symbol(&mut |s| {
                        found.insert(s);
                    });
                }
            }
        }
        Ok(found.into_iter().collect())
    }
}

/// The nodes that the fetched values depend on, in order.
fn needed(program: &Program, fetches: &[ValueId]) -> Result<Vec<NodeId>> {
    let graph = program.graph();
    let mut wanted = vec![false; graph.node_count()];
    let mut open: Vec<ValueId> = fetches.to_vec();
    while let Some(v) = open.pop() {
        if let Some((id, node)) = graph.producer(v)
            && !std::mem::replace(&mut wanted[id.index()], true)
        {
            open.extend(node.reads());
        }
    }
    Ok(graph.order()?.into_iter().filter(|id| wanted[id.index()]).collect())
}

struct Draft<'p> {
    program: &'p Program,
    slots: Vec<SlotPlan>,
    slot_of: HashMap<ValueId, u32>,
    feeds: Vec<u32>,
    steps: Vec<Step>,
    segments: Vec<Start>,
    settled: Vec<bool>,
}

impl<'p> Draft<'p> {
    fn new(program: &'p Program) -> Self {
        let settled = vec![false; program.facts().symbols.len()];
        Self {
            program,
            slots: Vec::new(),
            slot_of: HashMap::new(),
            feeds: Vec::new(),
            steps: Vec::new(),
            segments: vec![Start::default()],
            settled,
        }
    }

    /// Slots for what the caller gives; the sizes of its axes settle their symbols.
    fn feeds(&mut self) -> Result<()> {
        let graph = self.program.graph();
        for v in graph.inputs.iter().chain(&graph.captures) {
            let slot = self.add(*v, Storage::Feed)?;
            self.feeds.push(slot);
            let fact = self.program.facts().fact(*v)?;
            for symbol in fact.shape.iter().flatten().filter_map(Dim::as_symbol) {
                self.settled[symbol.0 as usize] = true;
            }
        }
        self.settle_definitions();
        Ok(())
    }

    /// Settles the symbols that stand for expressions over settled ones.
    fn settle_definitions(&mut self) {
        for (symbol, dim) in self.program.facts().symbols.definitions() {
            let mut known = true;
            dim.for_each_symbol(&mut |s| known &= self.settled[s.0 as usize]);
            self.settled[symbol.0 as usize] |= known;
        }
    }

    fn add(&mut self, v: ValueId, storage: Storage) -> Result<u32> {
        let fact = self.program.facts().fact(v)?;
        let slot = self.slots.len() as u32;
        let memory = self.program.memory_of(v);
        let dtype = fact.dtype().filter(|d| *d != DType::String);
        let (dims, layout) = (fact.shape.clone(), fact.layout.clone());
        self.slots.push(SlotPlan { value: v, dtype, dims, layout, memory, storage, segment: self.segments.len() - 1 });
        self.slot_of.insert(v, slot);
        Ok(slot)
    }

    /// The slot of a value that is there: fed, fixed, or written by an earlier step.
    fn slot_of(&mut self, v: ValueId) -> Result<u32> {
        if let Some(slot) = self.slot_of.get(&v) {
            return Ok(*slot);
        }
        let value = self.program.graph().value(v);
        match &value.constant {
            Some(constant) => self.add(v, Storage::Constant(constant.clone())),
            None => bail!(InvalidGraph, "value '{}' is read but nothing writes it", value.name),
        }
    }

    fn step(&mut self, id: NodeId) -> Result<()> {
        let node = self.program.graph().node(id);
        let given = node.inputs.len();
        let captured = node.subgraphs.iter().flat_map(|s| &s.captures).map(|v| Some(*v));
        let reads: Vec<Option<ValueId>> = node.inputs.iter().copied().chain(captured).collect();
        let inputs = reads.into_iter().map(|v| v.map(|v| self.slot_of(v)).transpose()).collect::<Result<Vec<_>>>()?;
        let mut sized_late = false;
        let mut outputs = Vec::new();
        for v in &node.outputs {
            let Some(v) = *v else {
                outputs.push(None);
                continue;
            };
            let known = self.is_sized(self.program.facts().fact(v)?);
            let numbers = matches!(self.program.facts().fact(v)?.ty, Type::Tensor(d) if d != DType::String);
            sized_late |= numbers && !known;
            outputs.push(Some(self.add(v, if known && numbers { Storage::Own } else { Storage::Free })?));
        }
        let settles = self.settle(&outputs);
        let wires = Wires { inputs, given, outputs, ending: 0 };
        let ends_segment = !settles.is_empty();
        let copies_to = copies_to(node);
        self.steps.push(Step { node: id, wires, action: Action::Kernel, releases: Vec::new(), sized_late, copies_to, settles });
        if ends_segment {
            self.segments.push(Start { step: self.steps.len(), slot: self.slots.len(), block: 0 });
        }
        Ok(())
    }

    /// Whether every size is a number or an expression over settled symbols.
    fn is_sized(&self, fact: &Fact) -> bool {
        let mut known = fact.shape.is_some();
        for dim in fact.shape.iter().flatten() {
            dim.for_each_symbol(&mut |s| known &= self.settled[s.0 as usize]);
        }
        known
    }

    fn settle(&mut self, outputs: &[Option<u32>]) -> Vec<Settled> {
        let mut settles = Vec::new();
        for slot in outputs.iter().flatten() {
            let dims = self.slots[*slot as usize].dims.clone();
            for (axis, symbol) in dims.iter().flatten().enumerate().filter_map(|(i, d)| Some((i, d.as_symbol()?))) {
                if !std::mem::replace(&mut self.settled[symbol.0 as usize], true) {
                    settles.push(Settled { slot: *slot, axis, symbol });
                }
            }
        }
        if !settles.is_empty() {
            self.settle_definitions();
        }
        settles
    }
}

impl Step {
    /// The alias that the operator of this step allows.
    pub(crate) fn alias(&self, program: &Program) -> Result<Alias> {
        Ok(program.unit(self.node)?.def.alias)
    }
}

/// What a constant slot holds.
pub(crate) fn constant(storage: &Storage) -> Option<&Value> {
    match storage {
        Storage::Constant(v) => Some(v),
        _ => None,
    }
}
