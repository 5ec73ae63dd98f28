//! The one opset that all nodes of a saved model are of.

use std::collections::BTreeSet;
use std::sync::Arc;

use base::{Result, ensure};
use exec::{Operators, PRIVATE};
use ir::{Fact, Facts, Graph, Node, NodeId, Oracle};
use op::Registry;

use super::restate::restate;
use crate::inside;

/// Whether opset `opset` has the operator of `node` as it is; other domains have one version of each.
fn has(registry: &Registry, node: &Node, opset: u32) -> bool {
    let same = |since: u32| since == node.key.since;
    !node.key.domain.is_empty() || registry.resolve("", &node.key.name, opset).is_ok_and(|k| same(k.since))
}

/// Whether `node`, whose inputs have the facts `inputs`, can be a node of opset `opset`, as it is or restated.
pub(super) fn fits(registry: &Registry, node: &Node, inputs: &[Option<&Fact>], opset: u32) -> bool {
    has(registry, node, opset) || restate(registry, node, inputs, opset).is_some()
}

/// The opset that serves the nodes best: the model's own, if it serves as well as any.
///
/// # Errors
/// What operators say of their inputs.
pub(super) fn choose(graph: &Graph, facts: &Facts, registry: &Registry, oracle: &Operators, own: u32) -> Result<u32> {
    let mut nodes = Vec::new();
    collect(graph, facts, oracle, &mut nodes)?;
    let candidates: BTreeSet<u32> = nodes.iter().map(|(n, _)| n.key.since).filter(|since| *since > own).collect();
    let mut best = (own, served(&nodes, registry, oracle, own)?);
    for opset in candidates {
        let points = served(&nodes, registry, oracle, opset)?;
        if points > best.1 {
            best = (opset, points);
        }
    }
    Ok(best.0)
}

/// How well opset `opset` serves the nodes: two points for each that it has, as it is or restated, and one for each whose body it has.
fn served(nodes: &[Known], registry: &Registry, oracle: &Operators, opset: u32) -> Result<usize> {
    let mut points = 0;
    for (node, inputs) in nodes {
        let inputs: Vec<Option<&Fact>> = inputs.iter().map(Option::as_ref).collect();
        points += match fits(registry, node, &inputs, opset) {
            true => 2,
            false => usize::from(oracle.body(node, &inputs)?.is_some_and(|body| has_all(registry, &body, opset))),
        };
    }
    Ok(points)
}

/// Whether opset `opset` has every node of `body`, whose values are not known.
fn has_all(registry: &Registry, body: &Graph, opset: u32) -> bool {
    body.nodes().all(|(_, node)| fits(registry, node, &vec![None; node.inputs.len()], opset))
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
