//! Running one node by itself, on values at hand: for constant folding, for tests, and where sizes are known only as a run goes.

use base::threads::{self, Cancel};
use base::{Buffer, Result, Type, Value, bail};
use ir::{Fact, Node, Symbols};

use crate::{InferSubgraph, Packed, PlanSubgraph, Prepare, Registry, Run, Sizes, Slot, SlotTensor, Wires};

/// Who infers and plans the graphs of nodes.
pub trait Subgraphs: InferSubgraph + PlanSubgraph {}

impl<T: InferSubgraph + PlanSubgraph> Subgraphs for T {}

/// Computes the outputs of `node` on the CPU. `inputs` holds its inputs, then its captures; `facts` what the kernel may know of
/// them when it is built (at least the types). `cancel` ends it early.
///
/// # Errors
/// What inference, the building of the kernel and its run say, naming the node.
pub fn run_alone(
    registry: &Registry,
    node: &Node,
    inputs: &[Option<Value>],
    facts: &[Option<&Fact>],
    subgraphs: &dyn Subgraphs,
    cancel: &Cancel,
) -> Result<Vec<Value>> {
    let run = || threads::interruptible(|| alone(registry, node, inputs, facts, subgraphs, cancel));
    threads::under(cancel, run).map_err(|e| e.at(&node.key.name, &node.name))
}

fn alone(
    registry: &Registry,
    node: &Node,
    inputs: &[Option<Value>],
    facts: &[Option<&Fact>],
    subgraphs: &dyn Subgraphs,
    cancel: &Cancel,
) -> Result<Vec<Value>> {
    let actual: Vec<Option<Fact>> = inputs.iter().map(|v| v.clone().map(Fact::constant)).collect();
    let actual: Vec<Option<&Fact>> = actual.iter().map(Option::as_ref).collect();
    let outputs = registry.infer(node, &actual, &mut Symbols::default(), as_infer(subgraphs))?;
    let output_facts: Vec<Option<&Fact>> = outputs.iter().map(Some).collect();
    let def = registry.def(node)?;
    let Some(prepare) = def.kernels.cpu else {
        bail!(NotImplemented, "Could not find an implementation for {}", node.key);
    };
    let cx = Prepare { node, def, inputs: facts, outputs: &output_facts, packed: Packed::shared(), subgraphs: as_plan(subgraphs) };
    let kernel = prepare(registry.load(node)?, &cx)?;

    let mut slots: Vec<Slot> = inputs.iter().map(|v| v.clone().map_or(Slot::Empty, Slot::Value)).collect();
    for fact in &outputs {
        slots.push(known_output(fact)?);
    }
    let count = inputs.len() as u32;
    let wires = Wires {
        inputs: inputs.iter().zip(0..).map(|(v, i)| v.is_some().then_some(i)).collect(),
        given: node.inputs.len(),
        outputs: node.outputs.iter().zip(count..).map(|(v, i)| v.is_some().then_some(i)).collect(),
        ending: 0,
    };
    let scratch = scratch_for(&*kernel, &slots, &wires)?;
    // SAFETY: every output has a buffer of its own, and so has the scratch memory.
    let mut run = unsafe { Run::new(&mut slots, &wires, (scratch.address().cast_mut(), scratch.len()), cancel) };
    kernel.run(&mut run)?;
    // A kernel that was cut short has left its outputs unfinished.
    cancel.check()?;
    let written = wires.outputs.iter().flatten();
    written.map(|s| slots[*s as usize].to_value()).collect()
}

fn as_infer(subgraphs: &dyn Subgraphs) -> &dyn InferSubgraph {
    subgraphs
}

fn as_plan(subgraphs: &dyn Subgraphs) -> &dyn PlanSubgraph {
    subgraphs
}

/// Memory for an output whose sizes inference knows; nothing for others.
///
/// # Errors
/// `Fail` when the memory cannot be had.
pub fn known_output(fact: &Fact) -> Result<Slot> {
    match (&fact.ty, fact.known_shape()) {
        (Type::Tensor(base::DType::String), _) => Ok(Slot::Empty),
        (Type::Tensor(dtype), Some(shape)) => SlotTensor::allocate(*dtype, shape, fact.layout.clone()).map(Slot::Tensor),
        _ => Ok(Slot::Empty),
    }
}

/// Scratch memory for `kernel` to run on these slots.
fn scratch_for(kernel: &dyn crate::Prepared, slots: &[Slot], wires: &Wires) -> Result<Buffer> {
    let shape = |s: &Option<u32>| s.and_then(|s| slots[s as usize].tensor().ok()).map(|t| t.shape());
    let inputs: Vec<_> = wires.inputs[..wires.given].iter().map(shape).collect();
    let outputs: Vec<_> = wires.outputs.iter().map(shape).collect();
    Buffer::zeroed(kernel.scratch(&Sizes { inputs: &inputs, outputs: &outputs, ints: &[] }))
}

/// For nodes without graphs: asking for one is an error.
pub struct NoSubgraphs;

impl InferSubgraph for NoSubgraphs {
    fn infer_subgraph(&self, _: &Node, index: usize, _: &[Fact], _: &[&Fact], _: &mut Symbols) -> Result<Vec<Fact>> {
        bail!(Fail, "graph {index} cannot be inferred here")
    }
}

impl PlanSubgraph for NoSubgraphs {
    fn plan_subgraph(&self, _: &Node, index: usize, _: &[Fact], _: &[Fact]) -> Result<std::sync::Arc<dyn crate::SubPlan>> {
        bail!(Fail, "graph {index} cannot be planned here")
    }
}

/// Runs a kernel that was built for the node of `cx` on other values: those that a device fetched, say. The outputs have the sizes
/// that the plan knows, where it does.
///
/// # Errors
/// What the kernel says.
pub fn run_kernel(kernel: &dyn crate::Prepared, inputs: &[Option<Value>], cx: &Run<'_>) -> Result<Vec<Value>> {
    let mut slots: Vec<Slot> = inputs.iter().map(|v| v.clone().map_or(Slot::Empty, Slot::Value)).collect();
    let count = inputs.len() as u32;
    for i in 0..cx.output_count() {
        slots.push(match cx.planned_output(i) {
            Some((dtype, shape, layout)) => Slot::Tensor(SlotTensor::allocate(dtype, shape.into(), layout.clone())?),
            None => Slot::Empty,
        });
    }
    let wires = Wires {
        inputs: inputs.iter().zip(0..).map(|(v, i)| v.is_some().then_some(i)).collect(),
        given: inputs.len(),
        outputs: (0..cx.output_count()).zip(count..).map(|(i, s)| cx.has_output(i).then_some(s)).collect(),
        ending: 0,
    };
    let scratch = scratch_for(kernel, &slots, &wires)?;
    // SAFETY: every output has a buffer of its own, and so has the scratch memory.
    let mut run = unsafe { Run::new(&mut slots, &wires, (scratch.address().cast_mut(), scratch.len()), cx.cancel()) };
    kernel.run(&mut run)?;
    wires.outputs.iter().flatten().map(|s| slots[*s as usize].to_value()).collect()
}
