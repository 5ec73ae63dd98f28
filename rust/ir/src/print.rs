//! A graph as text, for tests, logs and people.

use std::fmt::Write;

use crate::{Attribute, Facts, Graph, Node, ValueId};

/// One line a node: `%name: type[shape] = Operator(inputs) {attributes}`, after a line with the inputs, before one with the outputs.
pub fn print(graph: &Graph, facts: Option<&Facts>) -> String {
    let mut text = String::new();
    let list = |values: &[ValueId]| values.iter().map(|v| typed(graph, facts, *v)).collect::<Vec<_>>().join(", ");
    let _ = writeln!(text, "inputs {}", list(&graph.inputs));
    let order = graph.order().unwrap_or_else(|_| graph.nodes().map(|(id, _)| id).collect());
    for id in order {
        let _ = writeln!(text, "{}", line(graph, facts, graph.node(id)));
    }
    let _ = writeln!(text, "outputs {}", list(&graph.outputs));
    text
}

fn line(graph: &Graph, facts: Option<&Facts>, node: &Node) -> String {
    let outputs: Vec<_> = node.outputs.iter().map(|v| v.map_or("_".into(), |v| typed(graph, facts, v))).collect();
    let inputs: Vec<_> = node.inputs.iter().map(|v| v.map_or("_".into(), |v| name(graph, v))).collect();
    let mut text = format!("{} = {}({})", outputs.join(", "), node.key, inputs.join(", "));
    if !node.attributes.is_empty() {
        let attributes: Vec<_> = node.attributes.iter().map(|(k, v)| format!("{k}={}", attribute(v))).collect();
        let _ = write!(text, " {{{}}}", attributes.join(", "));
    }
    if let Some(provider) = &node.provider {
        let _ = write!(text, " @{provider}");
    }
    for sub in &node.subgraphs {
        let body = print(&sub.graph, None);
        let _ = write!(text, "\n  {}:\n    {}", sub.attribute, body.trim_end().replace('\n', "\n    "));
    }
    text
}

fn attribute(a: &Attribute) -> String {
    match a {
        Attribute::Int(i) => i.to_string(),
        Attribute::Float(x) => format!("{x:?}"),
        Attribute::String(s) => format!("{:?}", String::from_utf8_lossy(s)),
        Attribute::Ints(v) => format!("{v:?}"),
        Attribute::Floats(v) => format!("{v:?}"),
        Attribute::Strings(v) => format!("{:?}", v.iter().map(|s| String::from_utf8_lossy(s)).collect::<Vec<_>>()),
        Attribute::Tensor(t) => format!("{t:?}"),
        Attribute::Tensors(v) => format!("{v:?}"),
        Attribute::Type(t, _) => t.to_string(),
        Attribute::Sparse(s) => format!("sparse {}{}", s.values.dtype(), s.shape),
        Attribute::Types(v) => v.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

fn name(graph: &Graph, v: ValueId) -> String {
    let value = graph.value(v);
    match (&value.constant, value.name.is_empty()) {
        (_, false) => format!("%{}", value.name),
        (Some(base::Value::Tensor(t)), true) => format!("{t:?}"),
        (Some(c), true) => format!("{c:?}"),
        (None, true) => format!("{v:?}"),
    }
}

fn typed(graph: &Graph, facts: Option<&Facts>, v: ValueId) -> String {
    let Some(fact) = facts.and_then(|f| f.get(v)) else { return name(graph, v) };
    let ty = fact.dtype().map_or_else(|| fact.ty.to_string(), |d| d.to_string());
    let layout = match &fact.layout {
        base::Layout::Blocked(b) => format!("/c{b}"),
        _ => String::new(),
    };
    match &fact.shape {
        Some(shape) => {
            let dims: Vec<_> = shape.iter().map(ToString::to_string).collect();
            format!("{}: {ty}[{}]{layout}", name(graph, v), dims.join(", "))
        }
        None => format!("{}: {ty}", name(graph, v)),
    }
}
