//! The one opset that all nodes of a saved model are of.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Result, ensure};
use exec::{Operators, PRIVATE};
use ir::{Fact, Facts, Graph, Node, NodeId};
use op::Registry;

use super::inside;
use super::restate::restate;

/// Whether opset `opset` has the operator of `node` as it is; other domains have one version of each.
fn has(registry: &Registry, node: &Node, opset: u32) -> bool {
    let same = |since: u32| since == node.key.since;
    !node.key.domain.is_empty() || registry.resolve("", &node.key.name, opset).is_ok_and(|k| same(k.since))
}

/// Whether `node`, whose inputs have the facts `inputs`, can be a node of opset `opset`, as it is or restated.
pub(super) fn fits(registry: &Registry, node: &Node, inputs: &[Option<&Fact>], opset: u32) -> bool {
    has(registry, node, opset) || restate(registry, node, inputs, opset).is_some()
}

/// The opset that fits most nodes: the model's own, if it serves as well as any.
///
/// # Errors
/// What operators say of their inputs.
pub(super) fn choose(graph: &Graph, facts: &Facts, registry: &Registry, oracle: &Operators, own: u32) -> Result<u32> {
    let mut nodes = Vec::new();
    collect(graph, facts, oracle, &mut nodes)?;
    let served = |opset: u32| {
        let fitting = nodes.iter().filter(|(node, inputs)| {
            let inputs: Vec<Option<&Fact>> = inputs.iter().map(Option::as_ref).collect();
            fits(registry, node, &inputs, opset)
        });
        fitting.count()
    };
    let candidates: BTreeSet<u32> = nodes.iter().map(|(n, _)| n.key.since).filter(|since| *since > own).collect();
    let best = (own, served(own));
    Ok(candidates.into_iter().map(|c| (c, served(c))).fold(best, |best, c| if c.1 > best.1 { c } else { best }).0)
}

/// A node, and what is known of its inputs.
type Known = (Node, Vec<Option<Fact>>);

/// Puts every node of `ai.onnx` among `nodes`, also those in the graphs of nodes.
fn collect(graph: &Graph, facts: &Facts, oracle: &Operators, nodes: &mut Vec<Known>) -> Result<()> {
    for (_, node) in graph.nodes() {
        for (sub, known) in node.subgraphs.iter().zip(inside::facts(node, facts, oracle)?) {
            collect(&sub.graph, &known, oracle, nodes)?;
        }
        if node.key.domain.is_empty() {
            nodes.push((node.clone(), node.inputs.iter().map(|v| v.and_then(|v| facts.get(v)).cloned()).collect()));
        }
    }
    Ok(())
}

/// Lets nodes of other versions be nodes of opset `opset`, where that means the same; also in the graphs of nodes.
///
/// # Errors
/// What operators say of their inputs.
pub(super) fn unite(graph: &mut Graph, facts: &mut Facts, registry: &Registry, oracle: &Operators, opset: u32) -> Result<()> {
    for id in inside::hosts(graph) {
        let known = inside::facts(graph.node(id), facts, oracle)?;
        for (sub, mut known) in graph.node_mut(id).subgraphs.iter_mut().zip(known) {
            unite(Arc::make_mut(&mut sub.graph), &mut known, registry, oracle, opset)?;
        }
    }
    for id in graph.nodes().map(|(id, _)| id).collect::<Vec<NodeId>>() {
        let node = graph.node(id);
        if has(registry, node, opset) {
            continue;
        }
        let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
        let Some(mut restated) = restate(registry, node, &inputs, opset) else { continue };
        for (place, constant) in restated.constants {
            restated.node.inputs[place] = Some(graph.add_constant("", constant.into()));
        }
        // It may read more than before, so it is added anew.
        graph.remove_node(id);
        graph.add_node(restated.node);
    }
    ir::infer(graph, facts, oracle)
}

/// Puts the domains of the nodes of `graph` among `domains`.
///
/// # Errors
/// `NotImplemented` that names a node which opset `opset` does not have.
pub(super) fn check(graph: &Graph, registry: &Registry, opset: u32, domains: &mut BTreeSet<String>) -> Result<()> {
    for (_, node) in graph.nodes() {
        let at = |e: base::Error| e.at(&node.key.name, &node.name);
        let fits = has(registry, node, opset) && *node.key.domain != *PRIVATE;
        ensure!(fits, NotImplemented, "{} '{}' cannot be written as a node of opset {opset}", node.key, node.name);
        domains.insert(node.key.domain.to_string());
        node.subgraphs.iter().try_for_each(|s| check(&s.graph, registry, opset, domains)).map_err(at)?;
    }
    Ok(())
}
