//! Graphs written as text.
//!
//! ```text
//! x: float[2, n]                      an input
//! w: float[2] = 1 2                   a constant; `~` stands for numbers that look random, `+` for positive ones
//! y, z = Split(x) {axis=1}            a node; `_` is an input or output left out, `com.microsoft.Gelu` names a domain
//! t = If(c) {..}                      graphs are given by name: `{then_branch=@name}`
//! -> y, z                             the outputs
//! ```
//!
//! A line `graph name:` starts a graph for an attribute; the last graph is the model.

use std::collections::HashMap;
use std::sync::Arc;

use base::{DType, Shape, Tensor, Value};
use ir::{Attribute, Dim, Fact, Facts, Graph, Node, Subgraph, ValueId};

use super::{Operators, feed, noise};

/// A graph with what is known of its values.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) graph: Graph,
    pub(crate) facts: Facts,
}

impl Model {
    /// The nodes and outputs as text, one a line. Values without a name are counted as they come: `%#1`, `%#2`.
    pub(crate) fn lines(&self) -> String {
        let text = ir::print(&self.graph, None);
        let text = text.trim_end().split_once('\n').unwrap().1;
        let (mut seen, mut counted) = (Vec::new(), String::new());
        for word in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '%') {
            let name = word.trim_end_matches(|c: char| !c.is_alphanumeric());
            if name.strip_prefix('%').is_some_and(|n| n.parse::<usize>().is_ok()) {
                let place = seen.iter().position(|s| *s == name).unwrap_or(seen.len());
                if place == seen.len() {
                    seen.push(name);
                }
                counted += &format!("%#{}{}", place + 1, &word[name.len()..]);
            } else {
                counted += word;
            }
        }
        counted
    }

    pub(crate) fn feeds(&self, seed: u64) -> Vec<Value> {
        self.graph.inputs.iter().zip(1..).map(|(v, i)| feed(self.facts.fact(*v).unwrap(), seed * 100 + i)).collect()
    }
}

/// The graph that `text` describes.
pub(crate) fn parse(text: &str, operators: &Operators) -> Model {
    let mut named: HashMap<String, Parser> = HashMap::new();
    let mut parser = Parser::default();
    let mut name = String::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if let Some(next) = line.strip_prefix("graph ") {
            if !parser.values.is_empty() {
                named.insert(std::mem::take(&mut name), std::mem::take(&mut parser));
            }
            next.trim_end_matches(':').clone_into(&mut name);
            continue;
        }
        parser.line(line, &named, operators);
    }
    let mut facts = std::mem::take(&mut parser.facts);
    ir::infer(&parser.graph, &mut facts, &**operators).unwrap();
    Model { graph: parser.graph, facts }
}

#[derive(Clone, Default)]
struct Parser {
    graph: Graph,
    facts: Facts,
    values: HashMap<String, ValueId>,
    /// Names that only the graph around may have.
    captured: Vec<String>,
}

impl Parser {
    fn line(&mut self, line: &str, named: &HashMap<String, Parser>, operators: &Operators) {
        if let Some(outputs) = line.strip_prefix("-> ") {
            self.graph.outputs = outputs.split(", ").map(|name| self.read(name).unwrap()).collect();
        } else if let Some((name, rest)) = line.split_once(": ").filter(|(name, _)| !name.contains('=')) {
            self.typed(name, rest);
        } else {
            self.node(line, named, operators);
        }
    }

    fn read(&mut self, name: &str) -> Option<ValueId> {
        if name == "_" || name.is_empty() {
            return None;
        }
        if let Some(v) = self.values.get(name) {
            return Some(*v);
        }
        let v = self.graph.add_value(name);
        self.values.insert(name.to_owned(), v);
        self.captured.push(name.to_owned());
        self.graph.captures.push(v);
        Some(v)
    }

    fn write(&mut self, name: &str) -> Option<ValueId> {
        let v = (name != "_").then(|| self.graph.add_value(name))?;
        self.values.insert(name.to_owned(), v);
        Some(v)
    }

    fn typed(&mut self, name: &str, rest: &str) {
        let (ty, elements) = rest.split_once(" = ").map_or((rest, None), |(t, e)| (t, Some(e)));
        let (dtype, dims) = ty.trim_end_matches(']').split_once('[').unwrap();
        let dtype = DType::from_name(dtype).unwrap();
        let dims: Vec<&str> = dims.split(", ").filter(|d| !d.is_empty()).collect();
        let v = self.write(name).unwrap();
        let Some(elements) = elements else {
            let dims = dims.iter().map(|d| d.parse().map_or_else(|_| self.facts.symbols.named(d), Dim::Known)).collect::<Vec<_>>();
            self.facts.set(v, Fact::tensor(dtype, dims));
            self.graph.inputs.push(v);
            return;
        };
        let shape: Shape = dims.iter().map(|d| d.parse::<usize>().unwrap()).collect();
        self.graph.value_mut(v).constant = Some(constant(dtype, shape, elements, v.index() as u64).into());
    }

    fn node(&mut self, line: &str, named: &HashMap<String, Parser>, operators: &Operators) {
        let (outputs, call) = line.split_once(" = ").unwrap();
        let (op, rest) = call.split_once('(').unwrap();
        let (inputs, attributes) = rest.split_once(')').unwrap();
        let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
        let mut node = Node::new(operators.key(domain, op));
        node.name = outputs.split(", ").next().unwrap().to_owned();
        node.origins = vec![(op.into(), node.name.as_str().into())];
        node.inputs = inputs.split(", ").filter(|i| !i.is_empty()).map(|name| self.read(name)).collect();
        for (name, text) in attribute_list(attributes) {
            match text.strip_prefix('@') {
                Some(graph) => {
                    let inner = &named[graph];
                    let captures = inner.captured.iter().map(|name| self.read(name).unwrap()).collect();
                    node.subgraphs.push(Subgraph { attribute: name.to_owned(), graph: Arc::new(inner.graph.clone()), captures });
                }
                None => drop(node.attributes.insert(name.to_owned(), attribute(text))),
            }
        }
        node.outputs = outputs.split(", ").map(|name| self.write(name)).collect();
        self.graph.add_node(node);
    }
}

/// The pairs in `{a=1, b=[1, 2]}`: commas in brackets do not end one.
fn attribute_list(text: &str) -> Vec<(&str, &str)> {
    let text = text.trim().trim_start_matches('{').trim_end_matches('}');
    let (mut pairs, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            ',' if depth == 0 => {
                pairs.extend(text[start..i].trim().split_once('='));
                start = i + 1;
            }
            _ => {}
        }
    }
    pairs
}

fn attribute(text: &str) -> Attribute {
    if let Some(list) = text.strip_prefix('[') {
        return Attribute::Ints(list.trim_end_matches(']').split(", ").map(|i| i.parse().unwrap()).collect());
    }
    match text.strip_prefix('"') {
        Some(s) => s.trim_end_matches('"').into(),
        None => text.parse().map_or_else(|_| Attribute::Float(text.parse().unwrap()), Attribute::Int),
    }
}

fn constant(dtype: DType, shape: Shape, elements: &str, seed: u64) -> Tensor {
    if elements == "~" || elements == "+" {
        return noise(dtype, shape, seed + 1, elements == "+");
    }
    let elements: Vec<f64> = elements.split(' ').map(|e| e.parse().unwrap()).collect();
    match dtype {
        DType::I64 => Tensor::from_slice(shape, &elements.iter().map(|e| *e as i64).collect::<Vec<_>>()).unwrap(),
        DType::I32 => Tensor::from_slice(shape, &elements.iter().map(|e| *e as i32).collect::<Vec<_>>()).unwrap(),
        DType::Bool => Tensor::from_slice(shape, &elements.iter().map(|e| *e != 0.0).collect::<Vec<_>>()).unwrap(),
        _ => crate::numbers::tensor_of(dtype, shape, &elements).unwrap(),
    }
}
