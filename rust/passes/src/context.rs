//! What a local rule sees: the graph, what is known of its values, and the operators.

use base::{DType, Tensor};
use ir::{Attribute, Dim, Fact, Facts, Graph, Node, NodeId, Oracle, ValueId};

use crate::numbers::numbers;

/// What a local rule sees: the graph, what is known of its values, and the operators.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What is known of its values.
    pub facts: &'a Facts,
    /// The operators.
    pub oracle: &'a dyn Oracle,
    /// How many bytes results that are computed ahead may have, if that is said.
    pub fold_limit: Option<usize>,
}

impl<'a> Context<'a> {
    /// What is known of `v`.
    pub fn fact(&self, v: ValueId) -> Option<&'a Fact> {
        self.facts.get(v)
    }

    /// The element type of `v`, if it is a tensor.
    pub fn dtype(&self, v: ValueId) -> Option<DType> {
        self.fact(v)?.dtype()
    }

    /// The sizes of `v`, if their number is known.
    pub fn dims(&self, v: ValueId) -> Option<&'a [Dim]> {
        self.fact(v)?.shape.as_deref()
    }

    /// The number of axes of `v`, if known.
    pub fn rank(&self, v: ValueId) -> Option<usize> {
        self.fact(v)?.rank()
    }

    /// Whether both are known to have the same shape at every run.
    pub fn same_dims(&self, a: ValueId, b: ValueId) -> bool {
        self.dims(a).is_some() && self.dims(a) == self.dims(b)
    }

    /// The tensor that the model fixes `v` to, if it does.
    pub fn constant(&self, v: ValueId) -> Option<&'a Tensor> {
        self.fact(v)?.constant_tensor()
    }

    /// The element of `v`, if it is a constant of one element.
    pub fn number(&self, v: ValueId) -> Option<f64> {
        let t = self.constant(v).filter(|t| t.len() == 1)?;
        numbers(t)?.first().copied()
    }

    /// The elements of `v`, if it is a small integer tensor that is known.
    pub fn ints(&self, v: ValueId) -> Option<Vec<i64>> {
        Some(self.fact(v)?.known_ints()?.to_vec())
    }

    /// The node of operator `name` of `ai.onnx` that writes `v` as its first output.
    pub fn writer(&self, v: ValueId, name: &str) -> Option<(NodeId, &'a Node)> {
        self.any_writer(v).filter(|(_, n)| n.is(name))
    }

    /// The node that writes `v` as its first output.
    pub fn any_writer(&self, v: ValueId) -> Option<(NodeId, &'a Node)> {
        self.graph.producer(v).filter(|(_, n)| n.output(0) == Some(v))
    }

    /// Whether a node or the caller reads `v`.
    pub fn is_read(&self, v: ValueId) -> bool {
        !self.graph.uses(v).is_empty() || self.graph.is_output(v)
    }

    /// Whether nobody but one read of one node needs `v`.
    pub fn is_private(&self, v: ValueId) -> bool {
        self.graph.uses(v).len() == 1 && !self.graph.is_output(v)
    }

    /// The node that reads `v`, if it is the only one and reads it once, and `v` is no output.
    pub fn only_reader(&self, v: ValueId) -> Option<(NodeId, &'a Node)> {
        let id = *self.graph.uses(v).first().filter(|_| self.is_private(v))?;
        Some((id, self.graph.get_node(id)?))
    }

    /// The inputs of a node that has just two. Those of a node that says along which axis the second one stretches, as nodes before
    /// opset 7 may, are none: rules know how shapes broadcast since.
    pub fn pair(&self, node: &Node) -> Option<(ValueId, ValueId)> {
        match node.inputs[..] {
            [Some(a), Some(b)] if !node.attributes.contains_key("axis") => Some((a, b)),
            _ => None,
        }
    }

    /// The two inputs of a commutative node, in both orders.
    pub fn both_ways(&self, node: &Node) -> Vec<(ValueId, ValueId)> {
        self.pair(node).map_or(Vec::new(), |(a, b)| vec![(a, b), (b, a)])
    }

    /// Whether `v` is a constant with one element for each place of the last axis of `like`.
    pub fn is_bias(&self, v: ValueId, like: ValueId) -> bool {
        let last = self.dims(like).and_then(<[Dim]>::last);
        self.constant(v).is_some() && last.is_some_and(|last| self.dims(v).is_some_and(|d| d.len() == 1 && d[0] == *last))
    }

    /// The axes that a node reduces or drops: its attribute, or its second input. `None` when they are not known.
    pub fn axes(&self, node: &Node) -> Option<Vec<i64>> {
        match node.attributes.get("axes") {
            Some(Attribute::Ints(axes)) => Some(axes.clone()),
            _ => self.ints(node.input(1)?),
        }
    }
}

/// Integer attribute `name`, or `default` when it is not given.
pub(crate) fn int(node: &Node, name: &str, default: i64) -> i64 {
    match node.attributes.get(name) {
        Some(Attribute::Int(i)) => *i,
        _ => default,
    }
}

/// Float attribute `name`, or `default` when it is not given.
pub(crate) fn float(node: &Node, name: &str, default: f32) -> f32 {
    match node.attributes.get(name) {
        Some(Attribute::Float(x)) => *x,
        _ => default,
    }
}

/// Integers `name`, if they are given.
pub(crate) fn ints<'n>(node: &'n Node, name: &str) -> Option<&'n [i64]> {
    match node.attributes.get(name) {
        Some(Attribute::Ints(v)) => Some(v),
        _ => None,
    }
}

/// Whether the node is operator `name` of domain `com.microsoft`.
pub(crate) fn is_microsoft(node: &Node, name: &str) -> bool {
    &*node.key.domain == MICROSOFT && *node.key.name == *name
}

/// The domain of ONNX Runtime's own operators.
pub(crate) const MICROSOFT: &str = "com.microsoft";
