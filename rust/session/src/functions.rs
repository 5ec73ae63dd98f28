//! Taking functions apart: those of the model, and operators that are defined by others and have no kernel.

use std::sync::Arc;

use base::{Result, ensure};
use exec::{Operators, Target};
use ir::{Fact, Facts, Graph, NodeId, Oracle, infer_node};

use crate::inside;

/// How many nodes may come of taking operators apart.
const BUDGET: usize = 500_000;

/// Replaces each call of a function of the model by its body, also in the graphs of nodes, of which `most` nodes may come.
///
/// # Errors
/// `InvalidGraph` when a call does not fit its function, or the bodies are too many.
pub(crate) fn inline_calls(graph: &mut Graph, most: usize) -> Result<()> {
    let mut open: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
    let mut added = 0;
    while let Some(id) = open.pop() {
        for sub in &mut graph.node_mut(id).subgraphs {
            inline_calls(Arc::make_mut(&mut sub.graph), most)?;
        }
        let Some(function) = graph.node(id).function.clone() else { continue };
        let (op, name) = (graph.node(id).key.name.clone(), graph.node(id).name.clone());
        let nodes = graph.inline(id, &function.body).map_err(|e| e.at(&op, &name))?;
        added += nodes.len();
        ensure!(added <= most, InvalidGraph, "the functions of the model amount to more than {most} nodes");
        open.extend(nodes);
    }
    Ok(())
}

/// Infers the facts of `graph`, replacing operators that no provider has a kernel for by their bodies on the way.
///
/// # Errors
/// What operators say of their inputs, naming the node.
pub(crate) fn infer(graph: &mut Graph, facts: &mut Facts, target: &Arc<Target>) -> Result<()> {
    let oracle = Operators::new(target.clone());
    ir::infer(graph, facts, &oracle)?;
    let mut open = graph.order()?;
    open.reverse();
    let mut added = 0;
    while let Some(id) = open.pop() {
        if graph.node(id).subgraphs.iter().any(|s| has_bodies(&s.graph, target)) {
            let known = inside::facts(graph.node(id), facts, &oracle)?;
            for (sub, mut known) in graph.node_mut(id).subgraphs.iter_mut().zip(known) {
                infer(Arc::make_mut(&mut sub.graph), &mut known, target)?;
            }
        }
        infer_node(graph, id, facts, &oracle)?;
        let node = graph.node(id);
        let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
        let outputs: Vec<Option<&Fact>> = node.outputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
        if exec::claimant(target, node, &inputs, &outputs).is_ok() {
            continue;
        }
        let Some(body) = oracle.body(node, &inputs)? else { continue };
        let before = graph.value_count();
        let added_here = graph.inline(id, &body)?;
        for (v, value) in graph.values().skip(before) {
            if let Some(constant) = &value.constant {
                facts.set(v, Fact::constant(constant.clone()));
            }
        }
        added += added_here.len();
        ensure!(added <= BUDGET, InvalidGraph, "the functions of the model amount to more than {BUDGET} nodes");
        // The nodes of a body stand in order.
        open.extend(added_here.into_iter().rev());
    }
    Ok(())
}

/// Whether the CPU has no kernel for some node of `graph`, or of the graphs of its nodes, but a body.
fn has_bodies(graph: &Graph, target: &Target) -> bool {
    graph.nodes().any(|(_, node)| {
        let def = target.registry.get(&node.key.domain, &node.key.name);
        let bare = def.is_some_and(|def| def.kernels.cpu.is_none() && def.body.is_some());
        bare || node.subgraphs.iter().any(|s| has_bodies(&s.graph, target))
    })
}
