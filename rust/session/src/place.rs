//! Deciding which provider runs each node, and making the copies between their memories explicit.

use std::collections::HashMap;
use std::sync::Arc;

use base::{DType, Memory, Result, Value};
use exec::Target;
use ir::{Fact, Facts, Graph, NodeId, ValueId};

/// Why a node runs where it does.
#[derive(Clone, Debug)]
pub struct Placement {
    /// The operator of the node, with its domain and version.
    pub op: String,
    /// The domain of the operator; empty for that of ONNX.
    pub domain: String,
    /// The name of the operator.
    pub op_type: String,
    /// The node's name.
    pub node: String,
    /// The provider that runs it.
    pub provider: String,
    /// Providers that were asked before, and why they refused.
    pub refused: Vec<(String, String)>,
}

/// Places every node of `graph`, also in the graphs of nodes, and inserts copies where a value is read in another memory than it is
/// written in. Gives the reasons.
///
/// # Errors
/// `NotImplemented` that names each provider and its reason when nobody runs a node.
pub(crate) fn place(graph: &mut Graph, facts: &mut Facts, target: &Arc<Target>) -> Result<Vec<Placement>> {
    let mut placements = Vec::new();
    for id in graph.order()? {
        placements.push(place_node(graph, facts, target, id)?);
        for sub in 0..graph.node(id).subgraphs.len() {
            placements.extend(place_inside(graph, target, id, sub)?);
        }
    }
    if target.providers().len() > 1 {
        insert_copies(graph, facts, target)?;
    }
    Ok(placements)
}

fn place_node(graph: &mut Graph, facts: &Facts, target: &Target, id: NodeId) -> Result<Placement> {
    let node = graph.node(id);
    let (inputs, outputs) = around(graph, facts, id);
    let claim = exec::claimant(target, node, &inputs, &outputs).map_err(|e| e.at(&node.key.name, &node.name))?;
    let provider = claim.provider.name().to_owned();
    let placement = Placement {
        op: node.key.to_string(),
        domain: node.key.domain.to_string(),
        op_type: node.key.name.to_string(),
        node: node.name.clone(),
        provider,
        refused: claim.refused,
    };
    graph.node_mut(id).provider = Some(placement.provider.as_str().into());
    Ok(placement)
}

fn around<'f>(graph: &Graph, facts: &'f Facts, id: NodeId) -> (Vec<Option<&'f Fact>>, Vec<Option<&'f Fact>>) {
    let node = graph.node(id);
    let fact = |v: &Option<ValueId>| v.and_then(|v| facts.get(v));
    (node.inputs.iter().map(fact).collect(), node.outputs.iter().map(fact).collect())
}

/// Places the nodes of a graph that a node runs; its own values are inferred when its plan is made, so only the operators decide here.
fn place_inside(graph: &mut Graph, target: &Arc<Target>, id: NodeId, sub: usize) -> Result<Vec<Placement>> {
    let inner = Arc::make_mut(&mut graph.node_mut(id).subgraphs[sub].graph);
    place(inner, &mut Facts::default(), target)
}

/// Inserts a copy wherever a value is read in another memory than it is written in, one for each value and memory.
fn insert_copies(graph: &mut Graph, facts: &mut Facts, target: &Arc<Target>) -> Result<()> {
    let mut home: HashMap<ValueId, Memory> = HashMap::new();
    let mut copies: HashMap<(ValueId, Memory), ValueId> = HashMap::new();
    for id in graph.order()? {
        let (inputs, outputs) = around(graph, facts, id);
        let claim = exec::claimant(target, graph.node(id), &inputs, &outputs)?;
        let (memory, host) = (claim.provider.memory(), claim.host);
        for (i, v) in graph.node(id).inputs.clone().into_iter().enumerate() {
            let Some(v) = v else { continue };
            let wanted = if host.input(i) { Memory::HOST } else { memory };
            let is = home.get(&v).copied().unwrap_or(Memory::HOST);
            if wanted != is {
                let copy = match copies.get(&(v, wanted)) {
                    Some(copy) => *copy,
                    None => match constant_copy(graph, facts, target, v, wanted)? {
                        Some(copy) => copy,
                        None => add_copy(graph, facts, target, v, is, wanted)?,
                    },
                };
                home.insert(copy, wanted);
                copies.insert((v, wanted), copy);
                graph.set_input(id, i, copy);
            }
        }
        // What the graphs of a node capture is read by the host.
        let captured: Vec<ValueId> = graph.node(id).subgraphs.iter().flat_map(|s| s.captures.clone()).collect();
        for v in captured {
            let is = home.get(&v).copied().unwrap_or(Memory::HOST);
            if !is.is_host() {
                let copy = add_copy(graph, facts, target, v, is, Memory::HOST)?;
                graph.set_capture(id, v, copy);
            }
        }
        for (i, v) in graph.node(id).outputs.iter().enumerate() {
            if let Some(v) = v {
                home.insert(*v, if host.output(i) { Memory::HOST } else { memory });
            }
        }
    }
    let outputs: Vec<_> = graph.outputs.iter().copied().collect();
    for v in outputs {
        let is = home.get(&v).copied().unwrap_or(Memory::HOST);
        if !is.is_host() {
            let copy = match copies.get(&(v, Memory::HOST)) {
                Some(copy) => *copy,
                None => add_copy(graph, facts, target, v, is, Memory::HOST)?,
            };
            graph.outputs.replace(v, copy);
        }
    }
    Ok(())
}

/// What the model fixes is copied once, not at each run: a value that holds the copy of `v`, if it is such a tensor.
fn constant_copy(graph: &mut Graph, facts: &mut Facts, target: &Target, v: ValueId, to: Memory) -> Result<Option<ValueId>> {
    let value = graph.value(v);
    let Some(Value::Tensor(tensor)) = &value.constant else { return Ok(None) };
    // What the caller may give instead is known only at a run.
    if graph.inputs.contains(&v) || !tensor.layout().is_dense(tensor.shape()) || tensor.dtype() == DType::String {
        return Ok(None);
    }
    let (tensor, name) = (tensor.clone(), value.name.to_string());
    let moved = target.copy_to(tensor.resident()?.as_ref(), to).map_err(|e| e.at("Copy", &name))?;
    // The device has it now.
    tensor.release();
    let copy = graph.add_value("");
    graph.value_mut(copy).constant = Some(moved.into());
    let fact = match facts.get(v) {
        Some(fact) => Fact { constant: None, ..fact.clone() },
        None => Fact::tensor(tensor.dtype(), tensor.shape().iter().map(|d| ir::Dim::from(*d))),
    };
    facts.set(copy, fact);
    Ok(Some(copy))
}

/// Adds a node that copies `v` from memory `from` to memory `to`; the provider of the device among them runs it.
fn add_copy(graph: &mut Graph, facts: &mut Facts, target: &Target, v: ValueId, from: Memory, to: Memory) -> Result<ValueId> {
    let device = if from.is_host() { to } else { from };
    let runner = target.owner_of(device)?.name().to_owned();
    let copy = graph.add_value("");
    let mut node = exec::copy_node(v, copy, to);
    node.provider = Some(runner.as_str().into());
    graph.add_node(node);
    // Nothing is known inside the graph of a node before its plan is made.
    if let Some(fact) = facts.get(v) {
        let fact = Fact { constant: None, ..fact.clone() };
        facts.set(copy, fact);
    }
    Ok(copy)
}
