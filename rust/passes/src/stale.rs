//! Keeping facts true after a change.

use std::collections::HashSet;

use base::Result;
use ir::{Facts, Graph, NodeId, Oracle, infer_again};

/// Infers the nodes `stale` once more, and whatever depends on facts that change thereby.
///
/// Where an operator refuses what is known now, its outputs keep their facts: it will say so when it runs, if it runs at all.
///
/// # Errors
/// `InvalidGraph` when the graph has a cycle.
pub(crate) fn infer_stale(
    graph: &Graph,
    facts: &mut Facts,
    oracle: &dyn Oracle,
    mut stale: HashSet<NodeId>,
    log: &mut dyn FnMut(&str),
) -> Result<()> {
    if stale.is_empty() {
        return Ok(());
    }
    for id in graph.order()? {
        if !stale.contains(&id) {
            continue;
        }
        match infer_again(graph, id, facts, oracle) {
            Ok(true) => stale.extend(graph.node(id).outputs.iter().flatten().flat_map(|v| graph.uses(*v))),
            Ok(false) => {}
            Err(e) => log(&format!("facts stay as they were: {}", e.message())),
        }
    }
    Ok(())
}
