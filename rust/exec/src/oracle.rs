//! The operators' answers to passes, and inference through the graphs of nodes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use base::{Result, Value, bail};
use ir::{Dim, Fact, Facts, Graph, Layouts, Node, OpKey, Oracle, Symbols};
use op::{InferSubgraph, PlanSubgraph, SubPlan, run_alone};

use crate::allowance::Allowance;
use crate::{SubProgram, Target, claimant};

/// The operators of a target, as passes and inference ask them.
#[derive(Clone)]
pub struct Operators {
    target: Arc<Target>,
    opsets: Arc<BTreeMap<String, u32>>,
    allowance: Arc<Allowance>,
}

impl Operators {
    /// The operators of `target`.
    pub fn new(target: Arc<Target>) -> Self {
        Self { target, opsets: Arc::default(), allowance: Arc::default() }
    }

    /// The same for a model that imports `opsets`.
    #[must_use]
    pub fn with_opsets(self, opsets: BTreeMap<String, u32>) -> Self {
        Self { opsets: Arc::new(opsets), ..self }
    }

    /// The same for a model with so many bytes of constants: the more it has, the more may be computed ahead.
    #[must_use]
    pub fn with_constants(self, bytes: usize) -> Self {
        Self { allowance: Arc::new(Allowance::of(bytes)), ..self }
    }
}

impl Oracle for Operators {
    fn infer(&self, node: &Node, inputs: &[Option<&Fact>], symbols: &mut Symbols) -> Result<Vec<Fact>> {
        self.target.registry.infer(node, inputs, symbols, self)
    }

    fn eval(&self, node: &Node, inputs: &[Option<Value>]) -> Result<Option<Vec<Value>>> {
        if !self.is_pure(node) || self.target.registry.def(node)?.kernels.cpu.is_none() {
            return Ok(None);
        }
        let facts: Vec<Option<Fact>> = inputs.iter().map(|v| v.clone().map(Fact::constant)).collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let outputs = self.infer(node, &facts, &mut Symbols::default())?;
        let made = outputs.iter().filter_map(bytes_of).fold(0, usize::saturating_add);
        let Some(cancel) = self.allowance.spend(made) else { return Ok(None) };
        let start = Instant::now();
        let values = run_alone(&self.target.registry, node, inputs, &facts, self, &cancel);
        self.allowance.took(start.elapsed());
        values.map(Some)
    }

    fn body(&self, node: &Node, inputs: &[Option<&Fact>]) -> Result<Option<Graph>> {
        self.target.registry.body(node, inputs)
    }

    fn is_pure(&self, node: &Node) -> bool {
        let pure = self.target.registry.def(node).is_ok_and(|d| d.pure);
        let inside = |s: &ir::Subgraph| s.graph.nodes().all(|(_, n)| self.is_pure(n));
        pure && node.subgraphs.iter().all(inside)
    }

    fn operator(&self, domain: &str, name: &str) -> Option<OpKey> {
        let opset = match self.opsets.get(domain) {
            Some(version) => *version,
            None if domain.is_empty() => return None,
            None => u32::MAX,
        };
        self.target.registry.resolve(domain, name, opset).ok()
    }

    fn runs(&self, node: &Node, inputs: &[Option<&Fact>]) -> bool {
        claimant(&self.target, node, inputs, &[]).is_ok()
    }

    /// Blocks are for `float` with one to three spatial axes; other types and ranks stay plain.
    fn layouts(&self, node: &Node, inputs: &[Option<&Fact>]) -> Layouts {
        let image = |f: &Fact| f.dtype() == Some(base::DType::F32) && f.rank().is_some_and(|r| (3..=5).contains(&r));
        match self.target.registry.def(node) {
            Ok(def) if def.layouts != Layouts::Blocked || inputs.first().copied().flatten().is_some_and(image) => def.layouts,
            _ => Layouts::Plain,
        }
    }

    fn block(&self) -> u8 {
        self.target.block
    }

    fn inside(&self, node: &Node, inputs: &[Option<&Fact>]) -> Result<Option<Vec<Facts>>> {
        let recorder = Recorder { operators: self, seen: RefCell::new(vec![None; node.subgraphs.len()]) };
        self.target.registry.infer(node, inputs, &mut Symbols::default(), &recorder)?;
        Ok(recorder.seen.into_inner().into_iter().collect())
    }
}

/// Keeps the facts of the graphs of a node as its operator last asked for them: those that hold in every turn.
struct Recorder<'a> {
    operators: &'a Operators,
    seen: RefCell<Vec<Option<Facts>>>,
}

impl InferSubgraph for Recorder<'_> {
    fn infer_subgraph(&self, node: &Node, index: usize, inputs: &[Fact], captures: &[&Fact], symbols: &mut Symbols) -> Result<Vec<Fact>> {
        let (facts, outputs) = self.operators.infer_inside(node, index, inputs, captures, symbols)?;
        self.seen.borrow_mut()[index] = Some(facts);
        Ok(outputs)
    }
}

/// The bytes a tensor of known sizes takes; `usize::MAX` when they overflow.
fn bytes_of(fact: &Fact) -> Option<usize> {
    let (dtype, shape) = (fact.dtype()?, fact.known_shape()?);
    Some(base::Shape::checked_len(&shape).and_then(|len| dtype.bytes_of(len)).unwrap_or(usize::MAX))
}

impl InferSubgraph for Operators {
    fn infer_subgraph(&self, node: &Node, index: usize, inputs: &[Fact], captures: &[&Fact], symbols: &mut Symbols) -> Result<Vec<Fact>> {
        Ok(self.infer_inside(node, index, inputs, captures, symbols)?.1)
    }
}

impl Operators {
    /// The facts of graph `index` of `node`, and those of its outputs as they are seen outside.
    fn infer_inside(
        &self,
        node: &Node,
        index: usize,
        inputs: &[Fact],
        captures: &[&Fact],
        symbols: &mut Symbols,
    ) -> Result<(Facts, Vec<Fact>)> {
        let Some(sub) = node.subgraphs.get(index) else { bail!(InvalidGraph, "the node has no graph {index}") };
        let captures: Vec<Fact> = captures.iter().map(|f| (*f).clone()).collect();
        let (facts, outside) = facts_inside(&sub.graph, inputs, &captures, self)?;
        let outputs = sub.graph.outputs.iter().map(|v| Ok(seen_outside(facts.fact(*v)?, &outside, symbols))).collect::<Result<_>>()?;
        Ok((facts, outputs))
    }
}

impl PlanSubgraph for Operators {
    fn plan_subgraph(&self, node: &Node, index: usize, inputs: &[Fact], captures: &[Fact]) -> Result<Arc<dyn SubPlan>> {
        let Some(sub) = node.subgraphs.get(index) else { bail!(InvalidGraph, "the node has no graph {index}") };
        let (facts, _) = facts_inside(&sub.graph, inputs, captures, self)?;
        Ok(Arc::new(SubProgram::new(self.target.clone(), Graph::clone(&sub.graph), facts)?))
    }
}

/// Infers the graph of a node from what is known outside. Sizes that are no numbers outside become symbols of the graph, one for
/// each expression; the map says which stands for which.
fn facts_inside(graph: &Graph, inputs: &[Fact], captures: &[Fact], oracle: &Operators) -> Result<(Facts, HashMap<Dim, Dim>)> {
    if inputs.len() != graph.inputs.len() || captures.len() != graph.captures.len() {
        let (given, needed) = (inputs.len(), graph.inputs.len());
        bail!(InvalidGraph, "graph '{}' takes {needed} inputs but is given {given}", graph.name);
    }
    let mut facts = Facts::default();
    let mut inside: HashMap<Dim, Dim> = HashMap::new();
    let mut enter = |fact: &Fact, symbols: &mut Symbols| {
        let mut dim = |d: &Dim| match d {
            Dim::Known(_) => d.clone(),
            _ => inside.entry(d.clone()).or_insert_with(|| symbols.fresh()).clone(),
        };
        let shape = fact.shape.as_ref().map(|s| s.iter().map(&mut dim).collect());
        let value = fact.value.as_ref().map(|v| v.iter().map(&mut dim).collect());
        Fact { shape, value, ..fact.clone() }
    };
    let given = graph.inputs.iter().zip(inputs).chain(graph.captures.iter().zip(captures));
    for (v, fact) in given {
        let mut symbols = std::mem::take(&mut facts.symbols);
        let fact = enter(fact, &mut symbols);
        facts.symbols = symbols;
        facts.set(*v, fact);
    }
    ir::infer(graph, &mut facts, oracle)?;
    Ok((facts, inside.into_iter().map(|(outer, inner)| (inner, outer)).collect()))
}

/// The fact of an inner value for the graph outside: inner symbols that stand for outer sizes become these, others are new.
fn seen_outside(fact: &Fact, outside: &HashMap<Dim, Dim>, symbols: &mut Symbols) -> Fact {
    let mut dim = |d: &Dim| match (d, outside.get(d)) {
        (Dim::Known(_), _) => d.clone(),
        (_, Some(outer)) => outer.clone(),
        _ => symbols.fresh(),
    };
    let shape = fact.shape.as_ref().map(|s| s.iter().map(&mut dim).collect());
    let value = fact.value.clone().filter(|v| v.iter().all(|d| d.known().is_some()));
    Fact { shape, value, ..fact.clone() }
}
