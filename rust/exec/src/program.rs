//! A graph whose kernels are built, for plans of any fetch set to share.

use std::sync::Arc;

use base::{Memory, Result, Tensor, Value};
use ir::{Facts, Graph, NodeId, ValueId};
use op::{Claim, Mask, OpDef, Packed, Prepare, Prepared, Provider};

use crate::copy::{self, CopyKernel};
use crate::{Operators, Target};

/// A graph whose kernels are built, for plans of any fetch set to share.
pub struct Program {
    pub(crate) target: Arc<Target>,
    pub(crate) graph: Graph,
    pub(crate) facts: Facts,
    units: Vec<Option<Unit>>,
    /// Bytes of the constants that kernels hold packed.
    packed: usize,
}

/// What runs one node.
pub(crate) struct Unit {
    pub(crate) kernel: Box<dyn Prepared>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) def: Arc<OpDef>,
    /// Which inputs and outputs the host reads and writes.
    pub(crate) host: Mask,
}

impl Program {
    /// Builds the kernel of each node of `graph`, whose values have `facts`.
    ///
    /// # Errors
    /// `NotImplemented` for a node that its provider has no kernel for; each error names its node.
    pub fn new(target: Arc<Target>, graph: Graph, facts: Facts) -> Result<Self> {
        let (units, packed) = Packed::tally(|| units(&target, &graph, &facts));
        Ok(Self { units: units?, packed, target, graph, facts })
    }

    /// The graph that the program runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// What is known of its values.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Bytes of the constants that kernels hold in a format of their own, before they were brought into it.
    pub fn packed_bytes(&self) -> usize {
        self.packed
    }

    pub(crate) fn unit(&self, id: NodeId) -> Result<&Unit> {
        self.units[id.index()].as_ref().ok_or_else(|| base::error!(Fail, "{id:?} has no kernel"))
    }

    /// The providers of devices that run some of `nodes`, by their place in the target.
    pub(crate) fn devices(&self, nodes: impl Iterator<Item = NodeId>) -> Result<Vec<usize>> {
        let mut found = vec![false; self.target.providers().len()];
        for id in nodes {
            let provider = &self.unit(id)?.provider;
            if let Some(i) = self.target.providers().iter().position(|p| !p.memory().is_host() && p.name() == provider.name()) {
                found[i] = true;
            }
        }
        Ok((0..found.len()).filter(|i| found[*i]).collect())
    }

    /// What `value` is a copy of, if the program only copies it to the host: what lies on the device.
    pub fn before_copy(&self, value: ValueId) -> ValueId {
        match self.graph.producer(value) {
            Some((_, node)) if copy::copies_to(node) == Some(Memory::HOST) => node.inputs.first().copied().flatten().unwrap_or(value),
            _ => value,
        }
    }

    /// The memory that `value` lies in when the program runs.
    pub(crate) fn memory_of(&self, value: ValueId) -> Memory {
        match self.graph.value(value).producer {
            Some((id, i)) => self.units[id.index()].as_ref().map_or(Memory::HOST, |u| u.memory_of_output(i)),
            None => self.graph.value(value).constant.as_ref().map_or(Memory::HOST, memory_of),
        }
    }
}

/// What runs each node of `graph`, by its number.
fn units(target: &Arc<Target>, graph: &Graph, facts: &Facts) -> Result<Vec<Option<Unit>>> {
    let mut units: Vec<Option<Unit>> = Vec::new();
    units.resize_with(graph.node_count(), || None);
    for id in graph.order()? {
        let node = graph.node(id);
        let unit = unit(target, graph, facts, id).map_err(|e| e.at(&node.key.name, &node.name))?;
        units[id.index()] = Some(unit);
    }
    Ok(units)
}

/// The memory that a value lies in; whatever is no tensor lies with the host.
fn memory_of(value: &Value) -> Memory {
    value.tensor().map_or(Memory::HOST, Tensor::memory)
}

impl Unit {
    fn memory_of_output(&self, i: usize) -> Memory {
        if self.host.output(i) { Memory::HOST } else { self.provider.memory() }
    }
}

/// Builds the kernel of node `id`, and lets go of it.
///
/// # Errors
/// As [`Program::new`], for this node.
pub fn check_kernel(target: &Arc<Target>, graph: &Graph, facts: &Facts, id: NodeId) -> Result<()> {
    let node = graph.node(id);
    unit(target, graph, facts, id).map(drop).map_err(|e| e.at(&node.key.name, &node.name))
}

fn unit(target: &Arc<Target>, graph: &Graph, facts: &Facts, id: NodeId) -> Result<Unit> {
    let node = graph.node(id);
    let operator = target.registry.load(node)?;
    let def = target.registry.def(node)?.clone();
    let provider = target.provider_of(node)?.clone();
    if copy::is_copy(node) {
        let kernel = Box::new(CopyKernel { target: Arc::downgrade(target) });
        return Ok(Unit { kernel, provider, def, host: copy::host_side(node) });
    }
    let inputs: Vec<_> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
    let captures = node.subgraphs.iter().flat_map(|s| &s.captures).map(|v| facts.get(*v));
    let inputs: Vec<_> = inputs.into_iter().chain(captures).collect();
    let outputs: Vec<_> = node.outputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
    let host = match provider.claim(node, Some(&def), &inputs, &outputs) {
        Claim::Yes(host) => host,
        Claim::No(reason) => base::bail!(NotImplemented, "{} does not run it: {reason}", provider.name()),
    };
    let subgraphs = Operators::new(target.clone());
    let cx = Prepare { node, def: &def, inputs: &inputs, outputs: &outputs, packed: Packed::shared(), subgraphs: &subgraphs };
    let kernel = provider.prepare(operator, &cx)?;
    Ok(Unit { kernel, provider, def, host })
}
