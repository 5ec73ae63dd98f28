//! Running one operator on values at hand.

use base::{Element, Result, Shape, Strings, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node, OpKey};
use op::{NoSubgraphs, OpDef, Registry, run_alone};

/// One node under test, built up by calls and run at the end.
///
/// Each case runs twice: once with inputs that the kernel may see as constants when it is built, once without; the results must be
/// the same bits.
#[derive(Debug)]
pub struct Single {
    registry: Registry,
    graph: Graph,
    node: Node,
    inputs: Vec<Option<Value>>,
}

/// The operator `def` as opset `opset` of its domain has it.
///
/// # Panics
/// If the opset does not have it.
pub fn single(def: &OpDef, opset: u32) -> Single {
    let registry = Registry::new([def]).expect("one operator");
    let key: OpKey = registry.resolve(def.domain, def.name, opset).expect("the opset has the operator");
    let node = Node { name: "node".to_owned(), ..Node::new(key) };
    Single { registry, graph: Graph::default(), node, inputs: Vec::new() }
}

impl Single {
    /// With attribute `name`.
    pub fn attr(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.node.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// With `value` as the next input.
    pub fn value(mut self, value: impl Into<Value>) -> Self {
        self.node.inputs.push(Some(self.graph.add_value("")));
        self.inputs.push(Some(value.into()));
        self
    }

    /// With a tensor as the next input.
    pub fn input<T: Element>(self, shape: impl Into<Shape>, data: &[T]) -> Self {
        self.value(Tensor::from_slice(shape, data).expect("elements fill the shape"))
    }

    /// With a string tensor as the next input.
    pub fn strings(self, shape: impl Into<Shape>, data: &[&str]) -> Self {
        self.value(Tensor::from_strings(shape, data.iter().collect::<Strings>()).expect("elements fill the shape"))
    }

    /// With the next input left out.
    pub fn skip(mut self) -> Self {
        self.node.inputs.push(None);
        self.inputs.push(None);
        self
    }

    /// Runs it and gives its first `outputs` outputs.
    ///
    /// # Errors
    /// What the operator says.
    ///
    /// # Panics
    /// If the result depends on whether inputs are constants.
    pub fn run(mut self, outputs: usize) -> Result<Vec<Value>> {
        self.node.outputs = (0..outputs).map(|_| Some(self.graph.add_value(""))).collect();
        let constant: Vec<Option<Fact>> = self.inputs.iter().map(|v| v.clone().map(Fact::constant)).collect();
        let variable: Vec<Option<Fact>> = self.inputs.iter().map(|v| v.as_ref().map(variable)).collect();
        let run = |facts: &[Option<Fact>]| {
            let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
            run_alone(&self.registry, &self.node, &self.inputs, &facts, &NoSubgraphs, &base::threads::Cancel::new())
        };
        let (a, b) = (run(&constant)?, run(&variable)?);
        a.iter().zip(&b).for_each(|(a, b)| crate::assert_equal(a, b));
        Ok(b)
    }

    /// Runs it and gives its only output, a tensor.
    ///
    /// # Errors
    /// What the operator says.
    pub fn tensor(self) -> Result<Tensor> {
        self.run(1)?.remove(0).tensor().cloned()
    }
}

/// Type and rank are always known when a kernel is built for a model; sizes and elements may not be.
fn variable(value: &Value) -> Fact {
    let fact = Fact::constant(value.clone());
    let mut symbols = ir::Symbols::default();
    let shape = fact.shape.map(|s| s.iter().map(|_| symbols.fresh()).collect());
    Fact { shape, ..Fact::of(fact.ty) }
}
