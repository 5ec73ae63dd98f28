//! Carrying facts from the inputs of a graph to its outputs.

use base::{Result, ensure};

use crate::{Fact, Facts, Graph, NodeId, Oracle};

/// Fills `facts` of every value that nodes write, from those of inputs and captures, which must be there; constants state themselves.
///
/// # Errors
/// What operators say of their inputs, each naming its node.
pub fn infer(graph: &Graph, facts: &mut Facts, oracle: &dyn Oracle) -> Result<()> {
    for (id, value) in graph.values() {
        let given = graph.inputs.contains(&id) || graph.captures.contains(&id);
        if let (Some(constant), false) = (&value.constant, given) {
            facts.set(id, Fact::constant(constant.clone()));
        }
    }
    for id in graph.order()? {
        infer_node(graph, id, facts, oracle)?;
    }
    Ok(())
}

/// Fills the facts of what node `id` writes.
///
/// # Errors
/// What the operator says of its inputs, naming the node.
pub fn infer_node(graph: &Graph, id: NodeId, facts: &mut Facts, oracle: &dyn Oracle) -> Result<()> {
    let node = graph.node(id);
    let at = |e: base::Error| e.while_loading(&node.key.name, &node.name);
    let mut symbols = std::mem::take(&mut facts.symbols);
    let inferred = (|| {
        let inputs = node.inputs.iter().map(|v| v.map(|v| facts.fact(v)).transpose()).collect::<Result<Vec<_>>>()?;
        let captures = node.subgraphs.iter().flat_map(|s| &s.captures);
        let captures = captures.map(|v| facts.fact(*v).map(Some)).collect::<Result<Vec<_>>>()?;
        oracle.infer(node, &[inputs, captures].concat(), &mut symbols)
    })();
    facts.symbols = symbols;
    let outputs = inferred.map_err(at)?;
    ensure!(outputs.len() >= node.outputs.len(), Fail, "inference gave {} outputs, not {}", outputs.len(), node.outputs.len());
    for (v, mut fact) in node.outputs.iter().zip(outputs) {
        if let Some(v) = v {
            facts.symbols.shorten(&mut fact);
            facts.set(*v, fact);
        }
    }
    Ok(())
}
