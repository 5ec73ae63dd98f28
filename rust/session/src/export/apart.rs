//! Putting simpler nodes in the place of those that cannot be saved as they are.

use std::sync::Arc;

use base::Result;
use exec::{Operators, PRIVATE};
use ir::{Attribute, Fact, Facts, Graph, Node, NodeId, Oracle};

use super::inside;

/// Which nodes are to be replaced, by what they are and what is known of their inputs.
pub(super) type Wanted<'w> = dyn Fn(&Node, &[Option<&Fact>]) -> bool + 'w;

/// Replaces the nodes that `wanted` names by their bodies, again and again, also in the graphs of nodes.
///
/// # Errors
/// What the operators say of their inputs.
pub(super) fn take_apart(graph: &mut Graph, facts: &mut Facts, oracle: &Operators, wanted: &Wanted<'_>) -> Result<()> {
    for id in inside::hosts(graph) {
        let known = inside::facts(graph.node(id), facts, oracle)?;
        for (sub, mut known) in graph.node_mut(id).subgraphs.iter_mut().zip(known) {
            take_apart(Arc::make_mut(&mut sub.graph), &mut known, oracle, wanted)?;
        }
    }
    loop {
        let mut changed = false;
        for id in graph.nodes().map(|(id, _)| id).collect::<Vec<NodeId>>() {
            let node = graph.node(id);
            let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
            if wanted(node, &inputs)
                && let Some(body) = oracle.body(node, &inputs)?
            {
                graph.inline(id, &body)?;
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        ir::infer(graph, facts, oracle)?;
    }
}

/// The activations that `FusedConv` has in other runtimes.
const ACTIVATIONS: [&[u8]; 7] = [b"Relu", b"Sigmoid", b"Tanh", b"LeakyRelu", b"HardSigmoid", b"HardSwish", b"Clip"];

/// Whether no other runtime runs `node`, whose inputs have the facts `inputs`.
pub(super) fn is_own(node: &Node, inputs: &[Option<&Fact>]) -> bool {
    let beyond = match node.attributes.get("activation") {
        Some(Attribute::String(name)) => &*node.key.name == "FusedConv" && !ACTIVATIONS.contains(&&**name),
        _ => false,
    };
    *node.key.domain == *PRIVATE || beyond || stretches_mask(node, inputs)
}

/// Whether `node` is an attention of the form that passes make, with a mask that is the same for all queries, or may be: ONNX Runtime
/// wants a row for each.
fn stretches_mask(node: &Node, inputs: &[Option<&Fact>]) -> bool {
    let fact = |i: usize| inputs.get(i).copied().flatten();
    let rows = |i: usize| fact(i)?.shape.as_ref()?.iter().rev().nth(1).cloned();
    let from_pass = node.is("Attention") && node.inputs.len() == 4 && node.outputs.len() == 1 && node.attributes.keys().eq(["scale"]);
    from_pass && node.input(3).is_some() && fact(3).map(|f| &f.ty) == fact(0).map(|f| &f.ty) && rows(3) != rows(0)
}
