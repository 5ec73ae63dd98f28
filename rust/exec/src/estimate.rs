//! How much memory a run takes, told from the sizes of what is fed.

use base::{Result, Shape, Value, ensure, error};
use ir::Dim;

use crate::Runner;
use crate::bind::Bound;
use crate::plan::Step;
use crate::storage::Storage;

/// How much memory a run takes: bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Memory that values take turns in; it is kept for the next run.
    pub arena: usize,
    /// What kernels work in; it is kept for the next run.
    pub scratch: usize,
    /// Values that have buffers of their own, at the step when they are most.
    pub own: usize,
    /// What is given to the caller, among the above.
    pub outputs: usize,
    /// The most that arena, scratch memory and buffers are together.
    pub peak: usize,
    /// The numbers of nodes that take more than that: what they write is known only when they run, or they run graphs.
    pub unknown: Vec<usize>,
}

impl Runner {
    /// What a run takes whose feeds have the shapes `feeds`; `None` for one that is no tensor.
    ///
    /// # Errors
    /// `InvalidArgument` when a shape is not one that the graph takes, or sizes disagree inside.
    pub fn estimate(&self, feeds: &[Option<Shape>]) -> Result<Estimate> {
        let plan = &self.plan;
        let mut symbols = self.symbols_of(feeds)?;
        let mut shapes = vec![None; plan.slots.len()];
        let mut count = Count { runner: self, held: vec![0; plan.slots.len()], now: 0, estimate: Estimate::default() };
        for segment in 0..plan.segments.len() {
            let steps = plan.segment(segment).steps;
            if steps.is_empty() {
                continue;
            }
            self.program.facts().symbols.evaluate(&mut symbols);
            let bound = self.bindings.get(&self.program, plan, segment, &symbols, &mut shapes)?;
            count.estimate.arena += bound.arenas.iter().map(|(_, bytes)| bytes).sum::<usize>();
            for (step, scratch) in plan.steps[steps].iter().zip(&bound.scratch) {
                count.step(step, &bound, *scratch);
            }
        }
        Ok(count.end(feeds))
    }

    /// The values of the symbols that `feeds` settle.
    fn symbols_of(&self, feeds: &[Option<Shape>]) -> Result<Vec<Option<i64>>> {
        let plan = &self.plan;
        ensure!(feeds.len() == plan.feeds.len(), InvalidArgument, "{} shapes are given for {} inputs", feeds.len(), plan.feeds.len());
        let mut symbols = vec![None; plan.symbols];
        for (slot, shape) in plan.feeds.iter().zip(feeds) {
            let s = &plan.slots[*slot as usize];
            let (Some(shape), Some(dims)) = (shape, &s.dims) else { continue };
            let name = &self.program.graph().value(s.value).name;
            let refuse = || error!(InvalidArgument, "input '{name}' has shape {shape}, but {dims:?} is needed");
            ensure!(dims.len() == shape.len(), InvalidArgument, "{}", refuse().detail());
            for (dim, size) in dims.iter().zip(shape.iter().map(|n| *n as i64)) {
                let known = match (dim, dim.as_symbol()) {
                    (Dim::Known(n), _) => Some(*n),
                    (_, Some(symbol)) => symbols[symbol.0 as usize].replace(size),
                    _ => None,
                };
                ensure!(known.is_none_or(|k| k == size), InvalidArgument, "{}", refuse().detail());
            }
        }
        Ok(symbols)
    }
}

/// A walk over the steps of a plan.
struct Count<'r> {
    runner: &'r Runner,
    /// Bytes of the buffer that each slot has to itself now.
    held: Vec<usize>,
    /// Their sum.
    now: usize,
    estimate: Estimate,
}

impl Count<'_> {
    fn step(&mut self, step: &Step, bound: &Bound, scratch: Option<usize>) {
        let plan = &self.runner.plan;
        let mut late = step.sized_late || scratch.is_none();
        for slot in step.wires.outputs.iter().flatten() {
            match (&plan.slots[*slot as usize].storage, self.bytes(*slot, bound)) {
                (Storage::Own, Some(bytes)) => self.hold(*slot, bytes),
                (Storage::Own, None) | (Storage::Free, _) => late = true,
                _ => {}
            }
        }
        if late || !self.runner.program.graph().node(step.node).subgraphs.is_empty() {
            self.estimate.unknown.push(step.node.index());
        }
        let (wanted, e) = (scratch.unwrap_or(0), &mut self.estimate);
        // A larger buffer is there before the smaller one goes.
        let leaving = if wanted > e.scratch { e.scratch } else { 0 };
        e.scratch = e.scratch.max(wanted);
        e.own = e.own.max(self.now);
        e.peak = e.peak.max(e.arena + e.scratch + leaving + self.now);
        for slot in &step.releases {
            self.now -= std::mem::take(&mut self.held[*slot as usize]);
        }
    }

    fn hold(&mut self, slot: u32, bytes: usize) {
        self.held[slot as usize] = bytes;
        self.now += bytes;
    }

    fn bytes(&self, slot: u32, bound: &Bound) -> Option<usize> {
        let size = bound.slot(slot)?;
        self.runner.plan.slots[slot as usize].dtype?.bytes_of(size.layout.stored_len(&size.shape)?)
    }

    /// Counts what the caller is given. What it gave itself, the model fixes, or it is given a second time is copied: it may write to it.
    fn end(mut self, feeds: &[Option<Shape>]) -> Estimate {
        let plan = &self.runner.plan;
        let mut given = Vec::new();
        for slot in &plan.fetches {
            let s = &plan.slots[*slot as usize];
            let copied = match &s.storage {
                Storage::Constant(Value::Tensor(tensor)) => tensor.dtype().bytes_of(tensor.len()),
                Storage::Feed => {
                    let shape = plan.feeds.iter().position(|f| f == slot).and_then(|i| feeds[i].as_ref());
                    shape.zip(s.dtype).and_then(|(shape, dtype)| dtype.bytes_of(shape.iter().product()))
                }
                _ => None,
            };
            let root = plan.root(*slot);
            let whole = root.map_or(0, |root| self.held[root as usize]);
            let again = root.is_some() && given.contains(&root);
            given.push(root);
            self.estimate.outputs += copied.unwrap_or(whole);
            self.now += copied.unwrap_or(if again { whole } else { 0 });
        }
        let e = &mut self.estimate;
        e.own = e.own.max(self.now);
        e.peak = e.peak.max(e.arena + e.scratch + self.now);
        self.estimate
    }
}
