//! Walking the steps of a plan.

use std::sync::Arc;
use std::time::Instant;

use base::threads::{Cancel, interruptible};
use base::{Layout, Result, Shape, Tensor, Type, Value, bail, ensure, error};
use ir::{Dim, Fact, Symbols};
use op::{Run, Slot, SlotTensor};
use smallvec::SmallVec;

use crate::bind::{Bindings, Bound};
use crate::destination::{Destination, Homes};
use crate::frame::{Frame, Frames};
use crate::plan::{Action, Order, Plan, Step};
use crate::storage::Storage;
use crate::{Observer, Operators, Program};

/// A plan with the bindings and memory of its runs.
pub struct Runner {
    pub(crate) program: Arc<Program>,
    pub(crate) plan: Plan,
    pub(crate) bindings: Bindings,
    frames: Frames,
    /// Whether a feed that is fetched is copied: the caller may write to what it gave.
    copies_feeds: bool,
}

impl Runner {
    /// Whatever is needed to run `program` for the values `fetches`.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn new(program: Arc<Program>, fetches: &[ir::ValueId], order: Order) -> Result<Self> {
        let plan = Plan::new(&program, fetches, order)?;
        Ok(Self { program, plan, bindings: Bindings::default(), frames: Frames::default(), copies_feeds: true })
    }

    /// The same for the graph of a node, whose feeds nobody writes to.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn of_subgraph(program: Arc<Program>, fetches: &[ir::ValueId]) -> Result<Self> {
        Ok(Self { copies_feeds: false, ..Self::new(program, fetches, Order::Serial)? })
    }

    /// The program that it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Lets go of the memory that is kept for later runs.
    pub fn shrink(&self) {
        self.frames.clear();
    }

    /// Runs the plan for `feeds`, the inputs and then the captures of the graph, and gives the fetched values.
    ///
    /// # Errors
    /// `InvalidArgument` when feeds disagree with the graph; what nodes say, naming the node; `Fail` when `cancel` fires.
    pub fn run(&self, feeds: impl IntoIterator<Item = Value>, cancel: &Cancel) -> Result<Vec<Value>> {
        self.run_into(feeds, &[], cancel, None)
    }

    /// [`run`](Self::run) that writes fetched values to `destinations`, one for each fetch where there are any, and tells `observer` of
    /// each node.
    ///
    /// # Errors
    /// As [`run`](Self::run); `InvalidArgument` when a value does not fit its destination.
    pub fn run_into(
        &self,
        feeds: impl IntoIterator<Item = Value>,
        destinations: &[Option<&Destination>],
        cancel: &Cancel,
        observer: Option<&Observer>,
    ) -> Result<Vec<Value>> {
        let mut frame = self.frames.take(&self.plan)?;
        let mut walk = Walk { runner: self, frame: &mut frame, destinations, homes: Homes::default(), cancel, observer };
        let result = walk.run(feeds);
        let result = walk.end(result);
        self.frames.give_back(frame, &self.plan);
        result
    }
}

/// One run.
pub(crate) struct Walk<'a> {
    pub(crate) runner: &'a Runner,
    pub(crate) frame: &'a mut Frame,
    destinations: &'a [Option<&'a Destination>],
    homes: Homes,
    pub(crate) cancel: &'a Cancel,
    pub(crate) observer: Option<&'a Observer>,
}

impl Walk<'_> {
    fn run(&mut self, feeds: impl IntoIterator<Item = Value>) -> Result<Vec<Value>> {
        for device in &self.runner.plan.devices {
            self.frame.states.extend(self.runner.program.target.providers()[*device].begin()?);
        }
        self.feed(feeds)?;
        if !self.destinations.is_empty() {
            self.homes = self.find_homes();
        }
        let plan = &self.runner.plan;
        for segment in 0..plan.segments.len() {
            let steps = plan.segment(segment).steps;
            if steps.is_empty() {
                continue;
            }
            self.runner.program.facts().symbols.evaluate(&mut self.frame.symbols);
            let Frame { symbols, shapes, .. } = &mut *self.frame;
            let bound = self.runner.bindings.get(&self.runner.program, plan, segment, symbols, shapes)?;
            self.frame.adopt(&self.runner.program.target, plan, segment, &bound)?;
            let first = steps.start;
            let waves = plan.waves.get(steps.clone()).unwrap_or_default();
            let steps = plan.steps[steps].iter().zip(bound.scratch.iter().copied());
            if waves.is_empty() {
                for (step, scratch) in steps {
                    self.step_alone(step, &bound, scratch)?;
                    self.finish(step)?;
                }
                continue;
            }
            let steps: Vec<(&Step, Option<usize>)> = steps.collect();
            let mut at = first;
            for wave in waves.chunk_by(|a, b| a == b) {
                self.wave(&steps[at - first..][..wave.len()], &bound)?;
                at += wave.len();
            }
        }
        // A kernel that was cut short has left its outputs unfinished.
        self.cancel.check()?;
        self.fetch_all()
    }

    /// Waits for what was started on devices, and tells what went wrong there. A run that failed waits too: what it was fed is let go.
    fn end(&mut self, result: Result<Vec<Value>>) -> Result<Vec<Value>> {
        let mut finished = Ok(());
        for state in &self.frame.states {
            // All are waited for; the first error counts.
            finished = finished.and(state.finish());
        }
        result.and_then(|values| finished.map(|()| values))
    }

    /// Where results can be made in the memory of the caller.
    fn find_homes(&self) -> Homes {
        let plan = &self.runner.plan;
        let mut feeds: SmallVec<[(u32, &Tensor); 8]> = SmallVec::new();
        for slot in &plan.feeds {
            if let Slot::Value(value) = &self.frame.slots[*slot as usize] {
                let mut found = SmallVec::new();
                tensors_of(value, &mut found);
                feeds.extend(found.into_iter().map(|t| (*slot, t)));
            }
        }
        Homes::new(plan, self.destinations, &feeds)
    }

    fn feed(&mut self, feeds: impl IntoIterator<Item = Value>) -> Result<()> {
        let plan = &self.runner.plan;
        let mut feeds = feeds.into_iter();
        for slot in &plan.feeds {
            let Some(value) = feeds.next() else { bail!(InvalidArgument, "too few values are fed: {} are needed", plan.feeds.len()) };
            self.settle_feed(*slot, &value)?;
            self.frame.slots[*slot as usize] = Slot::Value(self.received(*slot, value)?);
        }
        Ok(())
    }

    /// What steps find of a feed: what lies on a device is copied for those of the host.
    fn received(&mut self, slot: u32, value: Value) -> Result<Value> {
        let tensor = match value {
            Value::Tensor(tensor) if !tensor.memory().is_host() => tensor,
            value => return Ok(value),
        };
        let plan = &self.runner.plan;
        let program = &self.runner.program;
        let name = &program.graph().value(plan.slots[slot as usize].value).name;
        let named = |e: base::Error| error!(InvalidArgument, "input '{name}': {}", e.detail());
        program.target.owner_of(tensor.memory()).map_err(named)?;
        ensure!(tensor.layout().is_dense(tensor.shape()), InvalidArgument, "input '{name}' lies on a device and is not dense");
        self.frame.resident.push((slot, tensor.clone()));
        if plan.read_in_place.contains(&slot) {
            return program.target.copy_to(tensor.as_ref(), base::Memory::HOST).map(Value::Tensor).map_err(named);
        }
        Ok(Value::Tensor(tensor))
    }

    /// The feed that `step` would copy to where it lies already, if it is such a step.
    fn lies_there(&self, step: &Step) -> Option<Tensor> {
        let (memory, slot) = (step.copies_to?, step.wires.inputs.first().copied().flatten()?);
        let output = step.wires.outputs.first().copied().flatten()?;
        let whole = !matches!(self.runner.plan.slots[output as usize].storage, Storage::PartOf { .. });
        let found = self.frame.resident.iter().find(|(s, tensor)| *s == slot && tensor.memory() == memory && whole);
        found.map(|(_, tensor)| tensor.clone())
    }

    /// Whether `step` has nothing to copy, because its input was fed where it is wanted.
    pub(crate) fn is_spared(&self, step: &Step) -> bool {
        self.lies_there(step).is_some()
    }

    /// Whether `buffer` is that of a feed on a device, which nobody may write to or give away.
    fn is_fed(&self, buffer: &Arc<base::Buffer>) -> bool {
        self.frame.resident.iter().any(|(_, tensor)| Arc::ptr_eq(tensor.buffer(), buffer))
    }

    /// Checks a feed against what the plan knows of it, and takes the values of symbols from its sizes.
    fn settle_feed(&mut self, slot: u32, value: &Value) -> Result<()> {
        let s = &self.runner.plan.slots[slot as usize];
        let program = &self.runner.program;
        let name = || &program.graph().value(s.value).name;
        let fact = program.facts().fact(s.value)?;
        // Sequences and optionals are not compared by the types of their elements when they are empty.
        let (Value::Tensor(tensor), Type::Tensor(_)) = (value, &fact.ty) else {
            let matches = std::mem::discriminant(&value.ty()) == std::mem::discriminant(&fact.ty) || matches!(fact.ty, Type::Optional(_));
            ensure!(matches, InvalidArgument, "input '{}' must be {}, not {}", name(), fact.ty, value.ty());
            return Ok(());
        };
        ensure!(value.ty() == fact.ty, InvalidArgument, "input '{}' must be {}, not {}", name(), fact.ty, value.ty());
        let Some(dims) = &s.dims else { return Ok(()) };
        let shape = tensor.shape();
        let refuse = || error!(InvalidArgument, "input '{}' has shape {shape}, but {dims:?} is needed", name());
        ensure!(dims.len() == shape.len(), InvalidArgument, "{}", refuse().detail());
        for (dim, size) in dims.iter().zip(shape.iter()) {
            let size = *size as i64;
            match (dim, dim.as_symbol()) {
                (Dim::Known(n), _) => ensure!(*n == size, InvalidArgument, "{}", refuse().detail()),
                (_, Some(symbol)) => {
                    let known = self.frame.symbols[symbol.0 as usize].replace(size);
                    ensure!(known.is_none_or(|k| k == size), InvalidArgument, "{}", refuse().detail());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The error `e`, said of the node of `step`.
    pub(crate) fn at(&self, step: &Step, e: base::Error) -> base::Error {
        let node = self.runner.program.graph().node(step.node);
        e.while_running(&node.key.name, &node.name)
    }

    /// Does what `step` is for, and tells the observer.
    pub(crate) fn step_alone(&mut self, step: &Step, bound: &Bound, scratch: Option<usize>) -> Result<()> {
        self.cancel.check()?;
        let start = self.observer.map(|_| Instant::now());
        let done = match step.action {
            Action::Nothing => Ok(()),
            Action::Share => self.share(step, bound),
            Action::Kernel => self.kernel(step, bound, scratch),
        };
        done.map_err(|e| self.at(step, e))?;
        if let (Some(observer), Some(start)) = (self.observer, start) {
            observer.tell(self.runner.program.graph(), step.node, start, &self.frame.slots, &step.wires);
        }
        Ok(())
    }

    /// Takes the sizes that `step` settles, and lets go of what ends with it.
    pub(crate) fn finish(&mut self, step: &Step) -> Result<()> {
        for settled in &step.settles {
            let shape = self.frame.slots[settled.slot as usize].tensor()?.shape();
            let missing = || error!(Fail, "an output has fewer axes than inferred");
            let size = shape.get(settled.axis).copied().ok_or_else(|| self.at(step, missing()))?;
            self.frame.symbols[settled.symbol.0 as usize] = Some(size as i64);
        }
        for slot in &step.releases {
            self.frame.slots[*slot as usize] = Slot::Empty;
        }
        Ok(())
    }

    fn kernel(&mut self, step: &Step, bound: &Bound, scratch: Option<usize>) -> Result<()> {
        if let (Some(tensor), Some(output)) = (self.lies_there(step), step.wires.outputs.first().copied().flatten()) {
            self.frame.slots[output as usize] = Slot::Value(tensor.into());
            return Ok(());
        }
        let bytes = self.prepare_outputs(step, bound, scratch)?;
        let unit = self.runner.program.unit(step.node)?;
        let scratch = self.frame.scratch(bytes)?;
        // SAFETY: the plan gives each output memory that no later reader's value lies in, except with an input it promised in place;
        // feeds and constants are kept alive by their slots, arenas and scratch memory by the frame. Memory of the caller that feeds
        // or other results share is no output.
        let run = unsafe { Run::new(&mut self.frame.slots, &step.wires, scratch, self.cancel) };
        let mut run = run.with_states(&self.frame.states);
        interruptible(|| unit.kernel.run(&mut run))?;
        self.check_outputs(step)
    }

    /// Memory for the outputs of `step`, as far as their sizes are known, and the bytes of scratch memory that its kernel wants.
    pub(crate) fn prepare_outputs(&mut self, step: &Step, bound: &Bound, scratch: Option<usize>) -> Result<usize> {
        for slot in step.wires.outputs.iter().flatten() {
            self.prepare_output(*slot, bound)?;
        }
        if step.sized_late {
            self.size_late(step)?;
        }
        scratch.map_or_else(|| self.scratch_bytes(step), Ok)
    }

    /// Memory for an output that has a buffer of its own, or takes over that of an input.
    fn prepare_output(&mut self, slot: u32, bound: &Bound) -> Result<()> {
        let s = &self.runner.plan.slots[slot as usize];
        let (Some(size), Some(dtype)) = (bound.slot(slot), s.dtype) else { return Ok(()) };
        self.frame.slots[slot as usize] = match s.storage {
            Storage::Own => Slot::Tensor(self.memory_for(slot, dtype, size.shape.clone(), size.layout.clone())?),
            Storage::Over(input) => match &self.frame.slots[input as usize] {
                Slot::Tensor(t) if !t.owner.as_ref().is_some_and(|(buffer, _)| self.is_fed(buffer)) => {
                    Slot::Tensor(SlotTensor { dtype, ..t.clone() })
                }
                // A feed on the device stands in for a copy of it.
                Slot::Tensor(_) | Slot::Value(Value::Tensor(_)) => {
                    let root = self.runner.plan.root(slot).unwrap_or(slot);
                    Slot::Tensor(self.memory_for(root, dtype, size.shape.clone(), size.layout.clone())?)
                }
                other => bail!(Fail, "a result cannot be written over {other:?}"),
            },
            _ => return Ok(()),
        };
        Ok(())
    }

    /// Memory for `slot`: that of the caller where it can be, else a new buffer.
    fn memory_for(&self, slot: u32, dtype: base::DType, shape: Shape, layout: Layout) -> Result<SlotTensor> {
        let memory = self.runner.plan.slots[slot as usize].memory;
        let home = self.homes.fetch_at(slot).and_then(|fetch| self.destinations[fetch]);
        if let Some(place) = home.and_then(|d| d.place(dtype, &shape, &layout)).filter(|place| place.memory == memory) {
            return Ok(place);
        }
        if memory.is_host() {
            return SlotTensor::allocate(dtype, shape, layout);
        }
        let bytes = layout.stored_len(&shape).and_then(|n| dtype.bytes_of(n));
        let bytes = bytes.ok_or_else(|| error!(Fail, "a {dtype} tensor of shape {shape} is too large"))?;
        let buffer = Arc::new(self.runner.program.target.owner_of(memory)?.allocate(bytes)?);
        Ok(SlotTensor { dtype, shape, layout, memory, address: buffer.address().cast_mut(), owner: Some((buffer, 0)) })
    }

    /// Infers the sizes of outputs from the values at hand, where the plan could not.
    fn size_late(&mut self, step: &Step) -> Result<()> {
        let program = &self.runner.program;
        let node = program.graph().node(step.node);
        // What graphs give, they make themselves; a branch that is not taken might not even fit these values.
        if !node.subgraphs.is_empty() {
            return Ok(());
        }
        let facts: Vec<Option<Fact>> = step.wires.inputs.iter().map(|s| s.map(|s| self.fact_now(s)).transpose()).collect::<Result<_>>()?;
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let operators = Operators::new(program.target.clone());
        let outputs = program.target.registry.infer(node, &facts, &mut Symbols::default(), &operators)?;
        for (slot, fact) in step.wires.outputs.iter().zip(&outputs).filter_map(|(s, f)| Some((s.as_ref()?, f))) {
            let s = &self.runner.plan.slots[*slot as usize];
            let empty = matches!(self.frame.slots[*slot as usize], Slot::Empty);
            if let (true, Some(dtype), Some(shape)) = (empty, s.dtype, fact.known_shape()) {
                self.frame.slots[*slot as usize] = Slot::Tensor(self.memory_for(*slot, dtype, shape, fact.layout.clone())?);
            }
        }
        Ok(())
    }

    /// What is known of a value that is there.
    fn fact_now(&self, slot: u32) -> Result<Fact> {
        match &self.frame.slots[slot as usize] {
            Slot::Value(Value::Tensor(t)) if !t.memory().is_host() => Ok(Fact::tensor(t.dtype(), t.shape().iter().map(|d| Dim::from(*d)))),
            Slot::Value(v) => Ok(Fact::constant(v.clone())),
            Slot::Tensor(t) => {
                let small = t.memory.is_host() && t.shape.iter().product::<usize>() <= ir::SMALL;
                if small && t.layout == Layout::Dense {
                    return Ok(Fact::constant(Tensor::copy_of(self.frame.slots[slot as usize].tensor()?)?.into()));
                }
                let fact = Fact::tensor(t.dtype, t.shape.iter().map(|d| Dim::from(*d)));
                Ok(Fact { layout: t.layout.clone(), ..fact })
            }
            Slot::Empty => bail!(Fail, "a value is read before it is written"),
        }
    }

    fn scratch_bytes(&self, step: &Step) -> Result<usize> {
        let unit = self.runner.program.unit(step.node)?;
        let shape = |s: &Option<u32>| s.and_then(|s| self.frame.slots[s as usize].tensor().ok()).map(|t| t.shape());
        let inputs: Vec<_> = step.wires.inputs[..step.wires.given].iter().map(shape).collect();
        let outputs: Vec<_> = step.wires.outputs.iter().map(shape).collect();
        Ok(unit.kernel.scratch(&op::Sizes { inputs: &inputs, outputs: &outputs, ints: &[] }))
    }

    /// Checks that what a kernel made itself is what inference promised, for later sizes lean on it.
    pub(crate) fn check_outputs(&self, step: &Step) -> Result<()> {
        for slot in step.wires.outputs.iter().flatten() {
            let s = &self.runner.plan.slots[*slot as usize];
            let (Storage::Free, Some(dims)) = (&s.storage, &s.dims) else { continue };
            let tensor = self.frame.slots[*slot as usize].tensor()?;
            let shape = tensor.shape();
            let mut fits = dims.len() == shape.len() && s.dtype.is_none_or(|d| d == tensor.dtype());
            for (dim, size) in dims.iter().zip(shape) {
                fits &= dim.eval(&self.frame.symbols)?.is_none_or(|n| n == *size as i64);
            }
            ensure!(fits, RuntimeException, "an output has shape {}, but {dims:?} was inferred", Shape::from(shape));
        }
        Ok(())
    }

    /// Points outputs into the memory of input 0.
    fn share(&mut self, step: &Step, bound: &Bound) -> Result<()> {
        let Some(source) = step.wires.inputs[0] else { bail!(Fail, "nothing to share") };
        let (memory, address, owner) = match &self.frame.slots[source as usize] {
            Slot::Tensor(t) => (t.memory, t.address, t.owner.clone()),
            Slot::Value(Value::Tensor(t)) => (t.memory(), t.address().cast_mut(), Some((t.buffer().clone(), t.offset()))),
            other => bail!(Fail, "{other:?} cannot be shared"),
        };
        for slot in step.wires.outputs.iter().flatten() {
            let s = &self.runner.plan.slots[*slot as usize];
            let (Some(size), Some(dtype)) = (bound.slot(*slot), s.dtype) else { bail!(Fail, "a shared value is sized late") };
            let (shape, layout) = (size.shape.clone(), size.layout.clone());
            let owner = owner.as_ref().map(|(buffer, offset)| (buffer.clone(), offset + size.offset));
            let address = address.wrapping_add(size.offset);
            self.frame.slots[*slot as usize] = Slot::Tensor(SlotTensor { dtype, shape, layout, memory, address, owner });
        }
        Ok(())
    }

    /// The fetched values, in the memory of the caller where it gave some.
    fn fetch_all(&mut self) -> Result<Vec<Value>> {
        let plan = &self.runner.plan;
        let target = &self.runner.program.target;
        // All are taken before any is written: memory of the caller may hold a feed that is fetched too.
        let mut values = plan.fetches.iter().map(|s| self.fetch(*s)).collect::<Result<Vec<Value>>>()?;
        for (i, value) in values.iter_mut().enumerate() {
            match self.destinations.get(i).copied().flatten() {
                Some(destination) => destination.take(value, target)?,
                None => target.bring(value, base::Memory::HOST)?,
            }
        }
        Ok(values)
    }

    /// A fetched value. What the caller gave or the model fixes is copied where the caller may write to it.
    fn fetch(&self, slot: u32) -> Result<Value> {
        let fixed = matches!(self.runner.plan.slots[slot as usize].storage, Storage::Feed | Storage::Constant(_));
        match &self.frame.slots[slot as usize] {
            Slot::Value(Value::Tensor(t)) if fixed && self.runner.copies_feeds && t.memory().is_host() => {
                Tensor::copy_of(t.as_ref()).map(Value::Tensor)
            }
            held => match held.to_value()? {
                Value::Tensor(t) if !t.memory().is_host() && (fixed || self.is_fed(t.buffer())) => {
                    self.runner.program.target.copy_to(t.as_ref(), t.memory()).map(Value::Tensor)
                }
                value => Ok(value),
            },
        }
    }
}

/// Adds the tensors that `value` is made of to `found`.
fn tensors_of<'v>(value: &'v Value, found: &mut SmallVec<[&'v Tensor; 8]>) {
    match value {
        Value::Tensor(tensor) => found.push(tensor),
        Value::Sparse(sparse) => found.push(&sparse.values),
        Value::Sequence(sequence) => sequence.values.iter().for_each(|v| tensors_of(v, found)),
        Value::Map(map) => map.values.iter().for_each(|v| tensors_of(v, found)),
        Value::Optional(optional) => optional.value.iter().for_each(|v| tensors_of(v, found)),
    }
}
