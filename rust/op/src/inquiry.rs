//! Which attributes an operator has: found by loading a node without any, and giving it those that it asks for.

use std::sync::Arc;

use base::Tensor;
use ir::{Attribute, Graph, Node, OpKey, Subgraph};

use crate::{Arity, Asked, Attrs, OpDef, Since};

/// The attributes that version `since` of `def` reads, as far as an operator asks for them when it is given the simplest values.
pub(crate) fn attributes(def: &OpDef, since: &Since) -> Vec<Asked> {
    let mut graph = Graph::default();
    let mut node = Node::new(OpKey::new(def.domain, def.name, since.version));
    let mut all = |count: usize| (0..count).map(|_| Some(graph.add_value(""))).collect();
    node.inputs = all(since.inputs().filter(|p| p.arity != Arity::Optional).count());
    node.outputs = all(since.outputs().count());
    let mut found: Vec<Asked> = Vec::new();
    // Each round gives one attribute more that there is no node without.
    loop {
        let attrs = Attrs::of(&node, def).asking();
        let loaded = (def.load)(&attrs);
        let asked = attrs.into_asked();
        let missing = asked.iter().find(|a| a.required && !given(&node, &a.name)).cloned();
        for a in asked {
            let required = a.required || found.iter().any(|f| f.name == a.name && f.required);
            found.retain(|f| f.name != a.name);
            found.push(Asked { required, ..a });
        }
        match (loaded, missing) {
            (Err(_), Some(a)) => give(&mut node, &a),
            _ => return found,
        }
    }
}

fn given(node: &Node, name: &str) -> bool {
    node.attributes.contains_key(name) || node.subgraphs.iter().any(|s| s.attribute == name)
}

fn give(node: &mut Node, asked: &Asked) {
    let value = match asked.kind {
        "GRAPH" => {
            node.subgraphs.push(Subgraph { attribute: asked.name.clone(), graph: Arc::new(Graph::default()), captures: Vec::new() });
            return;
        }
        "FLOAT" => Attribute::Float(1.0),
        "STRING" => Attribute::String([].into()),
        "INTS" => Attribute::Ints(vec![1]),
        "FLOATS" => Attribute::Floats(vec![1.0]),
        "STRINGS" => Attribute::Strings(vec![[].into()]),
        "TENSOR" => Tensor::scalar(1f32).map_or(Attribute::Int(1), Attribute::Tensor),
        _ => Attribute::Int(1),
    };
    node.attributes.insert(asked.name.clone(), value);
}
