//! Operators in terms of simpler ones: building the graph of a body, and operators that are nothing but their body.

use base::{DType, Result, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node, OpKey, ValueId};

use crate::{Infer, Op};

/// An operator that is nothing but its body: no provider has a kernel for it, and what it gives is known once its body stands in its
/// place. Until then only the types of the outputs are, from the signature.
#[derive(Clone, Debug)]
pub struct Composed;

impl Op for Composed {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        cx.by_signature()
    }
}

/// The body of a node under construction. Its inputs are those of the node, in order.
#[derive(Debug)]
pub struct Body {
    graph: Graph,
    inputs: Vec<Option<ValueId>>,
}

impl Body {
    /// An empty body for `node`.
    pub fn of(node: &Node) -> Self {
        let mut graph = Graph::default();
        let all: Vec<ValueId> = (0..node.inputs.len()).map(|i| graph.add_value(&format!("input_{i}"))).collect();
        let inputs = node.inputs.iter().zip(&all).map(|(given, v)| given.map(|_| *v)).collect();
        graph.inputs = all.into();
        Self { graph, inputs }
    }

    /// Input `i` of the node, unless it is left out.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Input `i` of the node.
    ///
    /// # Errors
    /// `InvalidGraph` when it is left out.
    pub fn required(&self, i: usize) -> Result<ValueId> {
        self.input(i).ok_or_else(|| base::error!(InvalidGraph, "input {i} is missing"))
    }

    /// Adds a constant.
    pub fn constant(&mut self, value: Tensor) -> ValueId {
        self.graph.add_constant("", Value::Tensor(value))
    }

    /// Adds a constant vector of integers.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn ints(&mut self, values: &[i64]) -> Result<ValueId> {
        Ok(self.constant(Tensor::from_slice([values.len()], values)?))
    }

    /// Adds a constant float of no axes.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub fn float(&mut self, value: f32) -> Result<ValueId> {
        Ok(self.constant(Tensor::scalar(value)?))
    }

    /// Adds a node of one output.
    pub fn node(&mut self, (name, since): (&str, u32), inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        self.node_of(("", name, since), &inputs.iter().copied().map(Some).collect::<Vec<_>>(), attributes)
    }

    /// Adds a node of one output and any domain; inputs may be left out.
    pub fn node_of(
        &mut self,
        (domain, name, since): (&str, &str, u32),
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
    ) -> ValueId {
        self.nodes_of((domain, name, since), inputs, attributes, &[true])[0]
    }

    /// Adds a node of any domain and several outputs, of which only those that are `asked` for are there; gives these in order.
    pub fn nodes_of(
        &mut self,
        (domain, name, since): (&str, &str, u32),
        inputs: &[Option<ValueId>],
        attributes: &[(&str, Attribute)],
        asked: &[bool],
    ) -> Vec<ValueId> {
        let outputs: Vec<Option<ValueId>> = asked.iter().map(|asked| asked.then(|| self.graph.add_value(""))).collect();
        let given = outputs.iter().copied().flatten().collect();
        self.graph.add_node(Node {
            inputs: inputs.to_vec(),
            outputs,
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
            ..Node::new(OpKey::new(domain, name, since))
        });
        given
    }

    /// Adds a node with the attributes `kept` of `node`, where it has them, and others.
    pub fn node_like(
        &mut self,
        node: &Node,
        key: (&str, &str, u32),
        inputs: &[Option<ValueId>],
        kept: &[&str],
        more: &[(&str, Attribute)],
    ) -> ValueId {
        let given = node.attributes.iter().filter(|(name, _)| kept.contains(&name.as_str()));
        let attributes: Vec<(&str, Attribute)> = given.map(|(name, a)| (name.as_str(), a.clone())).chain(more.iter().cloned()).collect();
        self.node_of(key, inputs, &attributes)
    }

    /// Adds a conversion to `dtype`.
    pub fn cast(&mut self, value: ValueId, dtype: DType) -> ValueId {
        self.node(("Cast", 13), &[value], &[("to", Attribute::Int(dtype as i64))])
    }

    /// Adds a Transpose of `value`, of `rank` axes, that moves its channels to the front, or from there to the end.
    pub fn move_channels(&mut self, value: ValueId, rank: usize, to_front: bool) -> ValueId {
        let last = rank.saturating_sub(1) as i64;
        let perm: Vec<i64> = match to_front {
            true => [0, last].into_iter().chain(1..last).collect(),
            false => [0].into_iter().chain(2..=last).chain([1]).collect(),
        };
        self.node(("Transpose", 13), &[value], &[("perm", Attribute::Ints(perm))])
    }

    /// The graph, with these outputs.
    pub fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs = outputs.to_vec().into();
        self.graph
    }
}

/// The element type of input `i` of a node.
///
/// # Errors
/// `InvalidGraph` when it is not known.
pub fn dtype_of(facts: &[Option<&Fact>], i: usize) -> Result<DType> {
    let fact = facts.get(i).copied().flatten();
    fact.and_then(Fact::dtype).ok_or_else(|| base::error!(InvalidGraph, "the type of input {i} is not known"))
}

/// The sizes of the axes of input `i` of a node.
///
/// # Errors
/// `InvalidGraph` when their number is not known.
pub fn dims_of<'a>(facts: &[Option<&'a Fact>], i: usize) -> Result<&'a [ir::Dim]> {
    let fact = facts.get(i).copied().flatten();
    fact.and_then(|f| f.shape.as_deref()).ok_or_else(|| base::error!(InvalidGraph, "the number of axes of input {i} is not known"))
}

/// The sizes of the axes of input `i` of a node, all of them numbers.
///
/// # Errors
/// `InvalidGraph` when they are not known.
pub fn shape_of(facts: &[Option<&Fact>], i: usize) -> Result<base::Shape> {
    let fact = facts.get(i).copied().flatten();
    fact.and_then(Fact::known_shape).ok_or_else(|| base::error!(InvalidGraph, "the shape of input {i} is not known"))
}
