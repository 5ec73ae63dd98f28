//! Graphs of nodes that are closures, for tests of the operators that run them.

use std::sync::Arc;

use base::threads::Cancel;
use base::{Result, Tensor, Type, Value};
use ir::{Fact, Graph, Node, Subgraph, Symbols};
use op::{InferSubgraph, OpDef, PlanSubgraph, Registry, SubPlan, run_alone};

type Run = dyn Fn(&[Value], &[Value]) -> Result<Vec<Value>> + Send + Sync;
type InferBody = dyn Fn(&[Fact], &[&Fact]) -> Vec<Fact>;

/// A node whose graphs are closures.
pub(crate) struct Mock {
    registry: Registry,
    graph: Graph,
    node: Node,
    values: Vec<Option<Value>>,
    facts: Vec<Option<Fact>>,
    captured: Vec<Value>,
    runs: Vec<Arc<Run>>,
    infers: Vec<Arc<InferBody>>,
}

struct Closure(Arc<Run>);

impl SubPlan for Closure {
    fn run(&self, inputs: &mut Vec<Value>, captures: &[Value], cancel: &Cancel) -> Result<Vec<Value>> {
        cancel.check()?;
        (self.0)(&std::mem::take(inputs), captures)
    }
}

impl Mock {
    pub(crate) fn new(def: &OpDef, opset: u32) -> Self {
        let registry = Registry::new([def]).unwrap();
        let node = Node { name: "node".to_owned(), ..Node::new(registry.resolve(def.domain, def.name, opset).unwrap()) };
        let (values, facts, captured) = Default::default();
        Self { registry, graph: Graph::default(), node, values, facts, captured, runs: Vec::new(), infers: Vec::new() }
    }

    /// A graph of so many inputs, captures and outputs. Unless told otherwise, inference finds its outputs to be its captures.
    pub(crate) fn graph(
        mut self,
        attribute: &str,
        inputs: usize,
        captures: usize,
        outputs: usize,
        run: impl Fn(&[Value], &[Value]) -> Result<Vec<Value>> + Send + Sync + 'static,
    ) -> Self {
        let mut graph = Graph::default();
        graph.inputs = (0..inputs).map(|_| graph.add_value("")).collect();
        graph.captures = (0..captures).map(|_| graph.add_value("")).collect();
        graph.outputs = (0..outputs).map(|_| graph.add_value("")).collect();
        let captures = (0..captures).map(|_| self.graph.add_value("")).collect();
        self.node.subgraphs.push(Subgraph { attribute: attribute.to_owned(), graph: Arc::new(graph), captures });
        self.runs.push(Arc::new(run));
        self.infers.push(Arc::new(|_, captures| captures.iter().map(|f| (*f).clone()).collect()));
        self
    }

    /// Inference of the last graph: the facts of its outputs from those of inputs and captures.
    pub(crate) fn infers(mut self, infer: impl Fn(&[Fact], &[&Fact]) -> Vec<Fact> + 'static) -> Self {
        *self.infers.last_mut().unwrap() = Arc::new(infer);
        self
    }

    pub(crate) fn capture(mut self, value: Value) -> Self {
        self.captured.push(value);
        self
    }

    pub(crate) fn attr(mut self, name: &str, value: impl Into<ir::Attribute>) -> Self {
        self.node.attributes.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn input(self, value: impl Into<Value>) -> Self {
        let value = value.into();
        let fact = Fact::constant(value.clone());
        self.given(Some(Fact { constant: None, value: None, ..fact }), Some(value))
    }

    pub(crate) fn input_fact(mut self, fact: Fact, value: impl Into<Value>) -> Self {
        // The last word counts.
        self.node.inputs.clear();
        self.values.clear();
        self.facts.clear();
        self.given(Some(fact), Some(value.into()))
    }

    pub(crate) fn skip(self) -> Self {
        self.given(None, None)
    }

    fn given(mut self, fact: Option<Fact>, value: Option<Value>) -> Self {
        let id = value.is_some().then(|| self.graph.add_value(""));
        self.node.inputs.push(id);
        self.values.push(value);
        self.facts.push(fact);
        self
    }

    fn set_outputs(&mut self, outputs: usize) {
        self.node.outputs = (0..outputs).map(|_| Some(self.graph.add_value(""))).collect();
    }

    fn all_facts(&self) -> Vec<Option<Fact>> {
        let captured = self.captured.iter().map(|v| Some(Fact { constant: None, ..Fact::constant(v.clone()) }));
        self.facts.iter().cloned().chain(captured).collect()
    }

    pub(crate) fn infer(&self, outputs: usize) -> Result<Vec<Fact>> {
        let mut node = self.node.clone();
        let mut graph = self.graph.clone();
        node.outputs = (0..outputs).map(|_| Some(graph.add_value(""))).collect();
        let facts = self.all_facts();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        self.registry.infer(&node, &facts, &mut Symbols::default(), self)
    }

    pub(crate) fn run(mut self, outputs: usize) -> Result<Vec<Value>> {
        self.set_outputs(outputs);
        let facts = self.all_facts();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let values: Vec<Option<Value>> = self.values.iter().cloned().chain(self.captured.iter().cloned().map(Some)).collect();
        run_alone(&self.registry, &self.node, &values, &facts, &self, &Cancel::new())
    }
}

impl InferSubgraph for Mock {
    fn infer_subgraph(&self, _: &Node, index: usize, inputs: &[Fact], captures: &[&Fact], _: &mut Symbols) -> Result<Vec<Fact>> {
        Ok((self.infers[index])(inputs, captures))
    }
}

impl PlanSubgraph for Mock {
    fn plan_subgraph(&self, _: &Node, index: usize, _: &[Fact], _: &[Fact]) -> Result<Arc<dyn SubPlan>> {
        Ok(Arc::new(Closure(self.runs[index].clone())))
    }
}

pub(crate) fn floats(shape: &[usize], data: &[f32]) -> Value {
    Tensor::from_slice(shape, data).unwrap().into()
}

pub(crate) fn sequence(values: Vec<Value>) -> Value {
    base::Sequence { element: values.first().map_or(Type::Tensor(base::DType::F32), Value::ty), values }.into()
}
