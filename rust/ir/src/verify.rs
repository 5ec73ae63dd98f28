//! The rules that every graph keeps.

use std::collections::HashSet;

use base::{Result, ensure, error};

use crate::{Graph, ValueId};

/// Checks that `graph` is whole: values exist, have one writer and are written before they are read; uses and producers agree.
///
/// # Errors
/// `InvalidGraph` that names the node and the value at fault.
pub fn verify(graph: &Graph) -> Result<()> {
    graph.order()?;
    check_uses(graph)?;
    let given: HashSet<ValueId> = graph.inputs.iter().chain(&graph.captures).copied().collect();
    for (id, node) in graph.nodes() {
        let at = |e: base::Error| e.at(&node.key.name, &node.name);
        node.reads().try_for_each(|v| check_read(graph, &given, v)).map_err(at)?;
        for (i, v) in node.outputs.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v))) {
            let producer = graph.value(v).producer;
            ensure!(producer == Some((id, i)), InvalidGraph, "{v:?} is written by {id:?} but names {producer:?}");
            ensure!(!given.contains(&v), InvalidGraph, "input {v:?} is written by {id:?}");
        }
        for sub in &node.subgraphs {
            let (inner, outer) = (sub.graph.captures.len(), sub.captures.len());
            ensure!(inner == outer, InvalidGraph, "graph {} captures {inner} values but is given {outer}", sub.attribute);
            verify(&sub.graph).map_err(at)?;
        }
    }
    graph.outputs.iter().try_for_each(|v| check_read(graph, &given, *v))
}

/// Checks that each value lists the nodes that read it, once for each read.
fn check_uses(graph: &Graph) -> Result<()> {
    let mut reads: Vec<_> = graph.nodes().flat_map(|(id, node)| node.reads().map(move |v| (v, id))).collect();
    let mut uses: Vec<_> = graph.values().flat_map(|(v, _)| graph.uses(v).iter().map(move |id| (v, *id))).collect();
    reads.sort_unstable();
    uses.sort_unstable();
    let longer = if reads.len() > uses.len() { reads.get(uses.len()) } else { uses.get(reads.len()) };
    match reads.iter().zip(&uses).find(|(r, u)| r != u).map(|(r, u)| r.min(u)).or(longer) {
        Some((v, id)) => Err(error!(InvalidGraph, "{v:?} and {id:?} disagree on how often it is read")),
        None => Ok(()),
    }
}

fn check_read(graph: &Graph, given: &HashSet<ValueId>, v: ValueId) -> Result<()> {
    let value = graph.value(v);
    let defined = value.producer.is_some() || value.constant.is_some() || given.contains(&v);
    ensure!(defined, InvalidGraph, "value '{}' is read but nothing writes it", value.name);
    Ok(())
}
