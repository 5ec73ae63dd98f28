//! Building the graph of an operator's function body.

use base::{DType, Result, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node, OpKey, ValueId};

/// The body of a node under construction. Its inputs are those of the node, in order.
pub(crate) struct Body {
    graph: Graph,
    inputs: Vec<Option<ValueId>>,
}

impl Body {
    /// An empty body for `node`.
    pub(crate) fn of(node: &Node) -> Self {
        let mut graph = Graph::default();
        let all: Vec<ValueId> = (0..node.inputs.len()).map(|i| graph.add_value(&format!("input_{i}"))).collect();
        let inputs = node.inputs.iter().zip(&all).map(|(given, v)| given.map(|_| *v)).collect();
        graph.inputs = all;
        Self { graph, inputs }
    }

    /// Input `i` of the node, unless it is left out.
    pub(crate) fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Adds a constant.
    pub(crate) fn constant(&mut self, value: Tensor) -> ValueId {
        self.graph.add_constant("", Value::Tensor(value))
    }

    /// Adds a constant vector of integers.
    pub(crate) fn ints(&mut self, values: &[i64]) -> Result<ValueId> {
        Ok(self.constant(Tensor::from_slice([values.len()], values)?))
    }

    /// Adds a constant float of no axes.
    pub(crate) fn float(&mut self, value: f32) -> Result<ValueId> {
        Ok(self.constant(Tensor::scalar(value)?))
    }

    /// Adds a node of one output.
    pub(crate) fn node(&mut self, (name, since): (&str, u32), inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        self.node_of(("", name, since), &inputs.iter().copied().map(Some).collect::<Vec<_>>(), attributes)
    }

    /// Adds a node of one output and any domain; inputs may be left out.
    pub(crate) fn node_of(
        &mut self,
        (domain, name, since): (&str, &str, u32),
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
    ) -> ValueId {
        let output = self.graph.add_value("");
        self.graph.add_node(Node {
            inputs: inputs.to_vec(),
            outputs: vec![Some(output)],
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ..Node::new(OpKey::new(domain, name, since))
        });
        output
    }

    /// Adds a conversion to `dtype`.
    pub(crate) fn cast(&mut self, value: ValueId, dtype: DType) -> ValueId {
        self.node(("Cast", 13), &[value], &[("to", Attribute::Int(dtype as i64))])
    }

    /// The graph, with these outputs.
    pub(crate) fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs = outputs.to_vec();
        self.graph
    }
}

/// The element type of input `i` of a node, if it is known.
pub(crate) fn dtype_of(facts: &[Option<&Fact>], i: usize) -> Result<DType> {
    let fact = facts.get(i).copied().flatten();
    fact.and_then(Fact::dtype).ok_or_else(|| base::error!(InvalidGraph, "the type of input {i} is not known"))
}
