//! What the ORT format asks of a graph beyond what ONNX does.

use std::sync::Arc;

use base::{Result, Value, error};
use exec::Operators;
use ir::{Attribute, Facts, Graph, Loaded, Node, NodeId, Oracle};
use op::{Arity, Param, Registry};
use proto::{ModelProto, NodeProto, OrtOperator, OrtParameter, encode_ort};

/// `model` in the ORT format.
///
/// # Errors
/// As [`encode_ort`].
pub(super) fn encode(model: &ModelProto<'_>, registry: &Registry) -> Result<Vec<u8>> {
    let opset = |domain: &str| model.opset_import.iter().find(|o| o.domain == *domain).and_then(|o| u32::try_from(o.version?).ok());
    encode_ort(model, &|node| operator(node, opset(&node.domain), registry))
}

/// The operator that `node` is at `opset`.
fn operator(node: &NodeProto<'_>, opset: Option<u32>, registry: &Registry) -> Result<OrtOperator> {
    let key = registry.resolve(&node.domain, &node.op_type, opset.unwrap_or(1))?;
    let since = registry.get(&key.domain, &key.name).and_then(|def| def.at(key.since));
    let since = since.ok_or_else(|| error!(InvalidGraph, "no operator {key} is known"))?;
    let parameter = |p: Param| OrtParameter {
        kernel_type: if since.types.iter().any(|(variable, _)| *variable == p.ty) { p.ty } else { p.name }.to_owned(),
        variadic: matches!(p.arity, Arity::Variadic | Arity::Heterogeneous),
    };
    Ok(OrtOperator { since: key.since, inputs: since.inputs().map(parameter).collect(), outputs: since.outputs().map(parameter).collect() })
}

/// Whether ONNX Runtime runs `node` by its body only, which it does not look at in files of this format.
pub(super) fn has_no_kernel(node: &Node) -> bool {
    node.is("GroupNormalization")
}

/// Makes `graph` one that ONNX Runtime runs without operator definitions: nodes that give constants become constants, casts name the
/// type they cast to, since there is no kernel for the other form, and nodes get the attributes that they leave out.
///
/// # Errors
/// What the operators say.
pub(super) fn complete(graph: &mut Graph, facts: &mut Facts, registry: &Registry, oracle: &Operators) -> Result<()> {
    for id in graph.nodes().map(|(id, _)| id).collect::<Vec<NodeId>>() {
        let known = crate::inside::facts(graph.node(id), facts, oracle)?;
        let node = graph.node_mut(id);
        for (sub, mut known) in node.subgraphs.iter_mut().zip(known) {
            complete(Arc::make_mut(&mut sub.graph), &mut known, registry, oracle)?;
        }
        let id = if node.is("CastLike") { name_type(graph, id, facts, registry)? } else { id };
        let node = graph.node_mut(id);
        for (name, default) in registry.defaults(node)? {
            // An empty text stands for none.
            if !matches!(&default, Attribute::String(s) if s.is_empty()) {
                node.attributes.entry(name).or_insert(default);
            }
        }
        let (true, Some(output)) = (node.is("Constant"), node.output(0)) else { continue };
        let node = graph.node(id);
        if let Some([Value::Tensor(tensor)]) = oracle.eval(node, &[])?.as_deref() {
            let constant = Value::Tensor(tensor.clone());
            graph.remove_node(id);
            graph.value_mut(output).constant = Some(constant);
        }
    }
    ir::infer(graph, facts, oracle)
}

/// Makes node `id`, a CastLike, a Cast to the type that is known.
fn name_type(graph: &mut Graph, id: NodeId, facts: &Facts, registry: &Registry) -> Result<NodeId> {
    let Some(dtype) = graph.node(id).output(0).and_then(|v| facts.get(v)?.dtype()) else { return Ok(id) };
    let key = registry.resolve("", "Cast", graph.node(id).key.since)?;
    let Some(mut node) = graph.remove_node(id) else { return Ok(id) };
    node.inputs.truncate(1);
    node.attributes.insert("to".into(), Attribute::Int(dtype as i64));
    Ok(graph.add_node(Node { key, loaded: Loaded::default(), ..node }))
}
