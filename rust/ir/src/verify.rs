//! The rules that every graph keeps.

use base::{Result, ensure, error};

use crate::{Graph, ValueId};

/// Checks that `graph` is whole: values exist, have one writer and are written before they are read; uses and producers agree.
///
/// # Errors
/// `InvalidGraph` that names the node and the value at fault.
pub fn verify(graph: &Graph) -> Result<()> {
    graph.order()?;
    for (id, node) in graph.nodes() {
        let at = |e: base::Error| e.at(&node.key.name, &node.name);
        for v in node.reads() {
            check_read(graph, v).map_err(at)?;
            let reads = node.reads().filter(|r| *r == v).count();
            let uses = graph.uses(v).iter().filter(|u| **u == id).count();
            ensure!(reads == uses, InvalidGraph, "{v:?} is read {reads} times by {id:?} but lists {uses}");
        }
        for (i, v) in node.outputs.iter().enumerate().filter_map(|(i, v)| v.map(|v| (i, v))) {
            let producer = graph.value(v).producer;
            ensure!(producer == Some((id, i)), InvalidGraph, "{v:?} is written by {id:?} but names {producer:?}");
            ensure!(!graph.inputs.contains(&v), InvalidGraph, "input {v:?} is written by {id:?}");
        }
        for sub in &node.subgraphs {
            let (inner, outer) = (sub.graph.captures.len(), sub.captures.len());
            ensure!(inner == outer, InvalidGraph, "graph {} captures {inner} values but is given {outer}", sub.attribute);
            verify(&sub.graph).map_err(at)?;
        }
    }
    graph.outputs.iter().try_for_each(|v| check_read(graph, *v))
}

fn check_read(graph: &Graph, v: ValueId) -> Result<()> {
    let value = (v.index() < graph.value_count()).then(|| graph.value(v)).ok_or_else(|| error!(InvalidGraph, "no value {v:?}"))?;
    let defined = value.producer.is_some() || value.constant.is_some() || graph.inputs.contains(&v) || graph.captures.contains(&v);
    ensure!(defined, InvalidGraph, "value '{}' is read but nothing writes it", value.name);
    Ok(())
}
