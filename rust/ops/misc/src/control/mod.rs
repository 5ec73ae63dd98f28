//! Control flow: operators that run graphs.

pub mod flex_attention;
pub mod if_;
pub mod loop_;
pub mod scan;
pub mod scan8;
pub mod sequence_map;
mod stack;
mod state;

#[cfg(test)]
pub(crate) mod mock;

use std::ops::Range;
use std::sync::Arc;

use base::threads::Cancel;
use base::{Result, Value, ensure, error};
use ir::{Fact, Graph, Node};
use op::{Prepare, Run, SubPlan};

/// A planned graph of a node and which of the node's captures are its own.
pub(crate) struct Body {
    plan: Arc<dyn SubPlan>,
    captures: Range<usize>,
    outputs: usize,
}

impl Body {
    /// Plans graph `index` of the node, for inputs of which `inputs` is known.
    pub(crate) fn new(cx: &Prepare<'_>, index: usize, inputs: &[Fact]) -> Result<Self> {
        let graph = graph(cx.node, index)?;
        let start = cx.node.subgraphs.iter().take(index).map(|s| s.captures.len()).sum();
        let count = cx.node.subgraphs[index].captures.len();
        Ok(Self { plan: cx.subplan(index, inputs)?, captures: start..start + count, outputs: graph.outputs.len() })
    }

    /// Runs the graph, which takes `inputs` and leaves them empty; `captures` are those of all graphs of the node.
    pub(crate) fn run(&self, inputs: &mut Vec<Value>, captures: &[Value], cancel: &Cancel) -> Result<Vec<Value>> {
        let own = captures.get(self.captures.clone());
        let own = own.ok_or_else(|| error!(Fail, "{} captured values are there, not {:?}", captures.len(), self.captures))?;
        let outputs = self.plan.run(inputs, own, cancel)?;
        ensure!(outputs.len() == self.outputs, Fail, "a graph gave {} outputs, not {}", outputs.len(), self.outputs);
        Ok(outputs)
    }
}

/// Graph `index` of `node`.
pub(crate) fn graph(node: &Node, index: usize) -> Result<&Graph> {
    let sub = node.subgraphs.get(index);
    sub.map(|s| &*s.graph).ok_or_else(|| error!(InvalidGraph, "the node has no graph {index}"))
}

/// Fails unless `graph` takes `inputs` inputs and gives at least `outputs` outputs.
pub(crate) fn check_graph(graph: &Graph, inputs: usize, outputs: usize) -> Result<()> {
    let (taken, given) = (graph.inputs.len(), graph.outputs.len());
    ensure!(taken == inputs, InvalidGraph, "graph '{}' takes {taken} inputs, but the node has {inputs} for it", graph.name);
    ensure!(given >= outputs, InvalidGraph, "graph '{}' gives {given} outputs, but the node needs {outputs}", graph.name);
    Ok(())
}

/// Hands `values` out as the outputs of the node, from output `first` on.
pub(crate) fn set_all(cx: &mut Run<'_>, first: usize, values: impl IntoIterator<Item = Value>) -> Result<()> {
    values.into_iter().zip(first..).try_for_each(|(value, i)| cx.set(i, value))
}
