//! What is known of the values in the graphs that nodes run.

use base::Result;
use exec::Operators;
use ir::{Dim, Fact, Facts, Graph, Node, NodeId, Oracle, Subgraph};

/// The nodes of `graph` that run graphs.
pub(crate) fn hosts(graph: &Graph) -> Vec<NodeId> {
    graph.nodes().filter(|(_, n)| !n.subgraphs.is_empty()).map(|(id, _)| id).collect()
}

/// What is known of the values of each graph of `node`, from what is known around it.
///
/// # Errors
/// What operators say of their inputs.
pub(crate) fn facts(node: &Node, around: &Facts, oracle: &Operators) -> Result<Vec<Facts>> {
    let reads = node.inputs.iter().copied().chain(node.subgraphs.iter().flat_map(|s| &s.captures).map(|v| Some(*v)));
    let inputs: Vec<Option<&Fact>> = reads.map(|v| v.and_then(|v| around.get(v))).collect();
    match oracle.inside(node, &inputs)? {
        Some(known) => Ok(known),
        // A branch that a known condition does not take was not looked at.
        None => node.subgraphs.iter().map(|sub| of_captures(sub, around, oracle)).collect(),
    }
}

/// What is known of the values of a graph that reads only what it captures. Sizes that are no numbers around are any inside.
fn of_captures(sub: &Subgraph, around: &Facts, oracle: &Operators) -> Result<Facts> {
    let mut facts = Facts::default();
    for (inner, outer) in sub.graph.captures.iter().zip(&sub.captures) {
        let fact = around.fact(*outer)?.clone();
        let mut known = |d: &Dim| if d.known().is_some() { d.clone() } else { facts.symbols.fresh() };
        let shape = fact.shape.as_ref().map(|s| s.iter().map(&mut known).collect());
        let value = fact.value.filter(|v| v.iter().all(|d| d.known().is_some()));
        facts.set(*inner, Fact { shape, value, ..fact });
    }
    ir::infer(&sub.graph, &mut facts, oracle)?;
    Ok(facts)
}
