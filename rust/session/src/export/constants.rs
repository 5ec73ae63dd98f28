//! Constants that are no tensors: model files have none, so nodes make them from tensors.

use std::sync::Arc;

use base::{Optional, Sequence, Type, Value};
use ir::{Attribute, Graph, Node, OpKey, ValueId};

/// Replaces constants of `graph`, and of the graphs of its nodes, that are sequences or optionals by nodes that make them.
pub(super) fn spell_out(graph: &mut Graph) {
    for id in crate::inside::hosts(graph) {
        for sub in &mut graph.node_mut(id).subgraphs {
            spell_out(Arc::make_mut(&mut sub.graph));
        }
    }
    let others: Vec<ValueId> = graph.values().filter(|(_, v)| v.constant.as_ref().is_some_and(is_made)).map(|(id, _)| id).collect();
    for id in others {
        make(graph, id);
    }
}

fn is_made(constant: &Value) -> bool {
    matches!(constant, Value::Sequence(_) | Value::Optional(_))
}

/// Lets a node write value `id` in place of its constant.
fn make(graph: &mut Graph, id: ValueId) {
    let Some(constant) = graph.value_mut(id).constant.take() else { return };
    let mut node = match constant {
        Value::Sequence(sequence) => sequence_node(graph, &sequence),
        Value::Optional(optional) => optional_node(graph, &optional),
        other => return graph.value_mut(id).constant = Some(other),
    };
    node.outputs = vec![Some(id)];
    graph.add_node(node);
}

fn sequence_node(graph: &mut Graph, sequence: &Sequence) -> Node {
    let mut node = Node::new(OpKey::new("", if sequence.values.is_empty() { "SequenceEmpty" } else { "SequenceConstruct" }, 11));
    match (&sequence.element, sequence.values.is_empty()) {
        (Type::Tensor(dtype), true) => drop(node.attributes.insert("dtype".into(), Attribute::Int(*dtype as i64))),
        _ => node.inputs = sequence.values.iter().map(|v| Some(element(graph, v))).collect(),
    }
    node
}

fn optional_node(graph: &mut Graph, optional: &Optional) -> Node {
    let mut node = Node::new(OpKey::new("", "Optional", 15));
    match &optional.value {
        Some(value) => node.inputs = vec![Some(element(graph, value))],
        None => drop(node.attributes.insert("type".into(), Attribute::Type(optional.element.clone(), None))),
    }
    node
}

/// A value of `graph` that is `constant`.
fn element(graph: &mut Graph, constant: &Value) -> ValueId {
    let id = graph.add_constant("", constant.clone());
    if is_made(constant) {
        make(graph, id);
    }
    id
}
