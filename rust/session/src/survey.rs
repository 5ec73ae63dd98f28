//! What a model consists of, and everything of it that cannot run here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use base::{Buffer, DType, Error, Result, error};
use exec::{Operators, Target};
use ir::{Fact, Facts, Graph, NodeId, Oracle};
use op::Registry;
use proto::{AttributeProto, GraphProto, ModelFolder, ModelProto, NodeProto};

use crate::format::Format;
use crate::import::{self, Imported, Opsets};
use crate::metadata::metadata;
use crate::ports::input_facts;
use crate::session::decode;
use crate::weights::Weights;
use crate::{Environment, Metadata, Port, Source, functions};

/// What a model consists of, and everything of it that cannot run here.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The version of the format.
    pub ir_version: i64,
    /// What the model says of itself.
    pub metadata: Metadata,
    /// The versions of the operator sets that it imports, by domain; the standard domain is empty.
    pub opsets: BTreeMap<String, u32>,
    /// What must be fed. Empty when the model could not be read so far.
    pub inputs: Vec<Port>,
    /// What it gives, as it declares it; an output without a type has only a name.
    pub outputs: Vec<(String, Option<Port>)>,
    /// What may be fed in place of a default.
    pub overridable: Vec<Port>,
    /// Its operators, and how many nodes of the model are each: also in functions and in the graphs of nodes.
    pub operators: BTreeMap<Operator, usize>,
    /// Its own functions.
    pub functions: Vec<ModelFunction>,
    /// Its initializers by element type.
    pub initializers: BTreeMap<DType, Amount>,
    /// Whatever cannot run, each operator and reason once.
    pub problems: Vec<Problem>,
}

/// An operator as a model uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operator {
    /// The domain; empty for the standard one.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// The version since which it is as the model's opset has it; `None` for functions of the model and operators that are not known.
    pub since: Option<u32>,
}

/// A function that a model brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFunction {
    /// Its domain.
    pub domain: String,
    /// Its name.
    pub name: String,
    /// How many nodes its body has.
    pub nodes: usize,
}

/// How much of something there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many tensors.
    pub tensors: usize,
    /// How many elements they have together.
    pub elements: usize,
    /// How many bytes these take when stored; those of strings count as none.
    pub bytes: usize,
}

/// Something that cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The operator, when it is one.
    pub op: Option<String>,
    /// The names of the nodes; where a node has none, its first output.
    pub nodes: Vec<String>,
    /// What is wrong.
    pub reason: String,
}

impl Survey {
    /// Looks through the model at `source` without making it ready to run.
    ///
    /// # Errors
    /// `NoSuchFile` and `InvalidProtobuf` when there is no model to look at. What is wrong with the model is a problem, not an error.
    pub fn of(environment: &Environment, source: Source<'_>) -> Result<Self> {
        let none = BTreeMap::new();
        let in_memory = |bytes: &[u8], file: Option<Arc<Buffer>>| {
            let proto = decode(bytes, Format::to_load(None, bytes, &none))?;
            Self::look(environment, &proto, &mut Weights::new(file, None, true))
        };
        match source {
            Source::Bytes(bytes) => in_memory(bytes, None),
            Source::Buffer(buffer) => in_memory(buffer.bytes().unwrap_or_default(), Some(buffer.clone())),
            Source::File(path) => {
                let map = base::knobs::MMAP.get().0;
                let file = base::file::open(path, map)?;
                let folder = ModelFolder::of_model(path)?;
                let bytes = file.bytes().unwrap_or_default();
                let proto = decode(bytes, Format::to_load(Some(path), bytes, &none)).map_err(|e| named(&e, path))?;
                Self::look(environment, &proto, &mut Weights::new(Some(file.clone()), Some(folder), map))
            }
        }
    }

    fn look(environment: &Environment, proto: &ModelProto<'_>, weights: &mut Weights) -> Result<Self> {
        let mut count = Count::new(environment.registry(), proto);
        let mut survey = Self {
            ir_version: proto.ir_version.unwrap_or_default(),
            metadata: metadata(proto),
            functions: proto.functions.iter().map(|f| count.function(f)).collect(),
            ..Self::default()
        };
        match import::opsets(&proto.opset_import) {
            Ok(opsets) => {
                proto.graph.iter().for_each(|graph| count.graph(graph, &opsets));
                survey.opsets = opsets;
            }
            Err(e) => count.problems.push(e),
        }
        (survey.operators, survey.initializers) = (count.operators, count.initializers);
        let mut problems = count.problems;
        match import::import_known(proto, environment.registry(), weights) {
            Ok(imported) => {
                let failed = survey.try_to_prepare(imported, environment).unwrap_or_else(|e| vec![e]);
                // A node fails with an unknown operator in one of its graphs, which is said already.
                let unknown = |name: &str| survey.operators.keys().any(|o| o.since.is_none() && o.name == name);
                problems.extend(failed.into_iter().filter(|e| !e.op().is_some_and(unknown)));
            }
            Err(e) => problems.push(e),
        }
        survey.problems = grouped(&problems);
        Ok(survey)
    }

    /// Keeps the ports of the model, and gives the errors of inferring its nodes and building their kernels.
    fn try_to_prepare(&mut self, imported: Imported, environment: &Environment) -> Result<Vec<Error>> {
        let Imported { mut graph, inputs, outputs, overridable, .. } = imported;
        (self.inputs, self.overridable) = (inputs, overridable);
        let names = graph.outputs.iter().map(|v| graph.value(*v).name.to_string());
        self.outputs = names.zip(outputs).collect();
        let options = crate::Options::default();
        functions::inline_calls(&mut graph, options.function_nodes()?)?;
        ir::verify(&graph)?;
        let ports: Vec<&Port> = self.inputs.iter().chain(&self.overridable).collect();
        let mut facts = input_facts(&graph, &ports, true)?;
        failures(&mut graph, &mut facts, &environment.target(&options)?)
    }
}

/// What fails of inferring `graph` and building its kernels, each node for itself. Nodes whose inputs nothing is known of, since an
/// earlier one failed, are passed over.
fn failures(graph: &mut Graph, facts: &mut Facts, target: &Arc<Target>) -> Result<Vec<Error>> {
    let oracle = Operators::new(target.clone());
    let mut failed = Vec::new();
    for (v, value) in graph.values() {
        if let (Some(constant), false) = (&value.constant, graph.inputs.contains(&v)) {
            facts.set(v, Fact::constant(constant.clone()));
        }
    }
    let mut open = graph.order()?;
    open.reverse();
    while let Some(id) = open.pop() {
        let known = target.registry.def(graph.node(id)).is_ok() && graph.node(id).reads().all(|v| facts.get(v).is_some());
        if !known {
            continue;
        }
        match check(graph, facts, target, &oracle, id) {
            Ok(added) => open.extend(added.into_iter().rev()),
            Err(e) => failed.push(e),
        }
    }
    Ok(failed)
}

/// Infers node `id` and builds its kernel; puts its body in its place when it has none, and gives the nodes of that.
fn check(graph: &mut Graph, facts: &mut Facts, target: &Arc<Target>, oracle: &Operators, id: NodeId) -> Result<Vec<NodeId>> {
    ir::infer_node(graph, id, facts, oracle)?;
    let node = graph.node(id);
    let at = |e: Error| e.at(&node.key.name, &node.name);
    let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
    let outputs: Vec<Option<&Fact>> = node.outputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
    match exec::claimant(target, node, &inputs, &outputs) {
        Ok(claimant) => {
            let provider = claimant.provider.name().to_owned();
            graph.node_mut(id).provider = Some(provider.as_str().into());
            exec::check_kernel(target, graph, facts, id).map(|()| Vec::new())
        }
        Err(refused) => {
            let Some(body) = oracle.body(node, &inputs).map_err(at)? else { return Err(at(refused)) };
            let added = graph.inline(id, &body)?;
            for (v, value) in graph.values().skip(graph.value_count() - body.value_count()) {
                if let Some(constant) = &value.constant {
                    facts.set(v, Fact::constant(constant.clone()));
                }
            }
            Ok(added)
        }
    }
}

/// Counts what a model is made of, and collects the operators that are not known.
struct Count<'m> {
    registry: &'m Registry,
    functions: HashSet<(&'m str, &'m str)>,
    operators: BTreeMap<Operator, usize>,
    initializers: BTreeMap<DType, Amount>,
    problems: Vec<Error>,
}

impl<'m> Count<'m> {
    fn new(registry: &'m Registry, proto: &'m ModelProto<'m>) -> Self {
        let functions = proto.functions.iter().map(|f| (import::domain(&f.domain), f.name.as_str())).collect();
        Self { registry, functions, operators: BTreeMap::new(), initializers: BTreeMap::new(), problems: Vec::new() }
    }

    fn function(&mut self, function: &'m proto::FunctionProto<'m>) -> ModelFunction {
        match import::opsets(&function.opset_import) {
            Ok(opsets) => function.node.iter().for_each(|node| self.node(node, &opsets)),
            Err(e) => self.problems.push(e),
        }
        let domain = import::domain(&function.domain).to_owned();
        ModelFunction { domain, name: function.name.to_string(), nodes: function.node.len() }
    }

    fn graph(&mut self, graph: &'m GraphProto<'m>, opsets: &Opsets) {
        for tensor in &graph.initializer {
            let (Ok(dtype), Ok(elements)) = (tensor.dtype(), tensor.element_count()) else { continue };
            let amount = self.initializers.entry(dtype).or_default();
            amount.tensors += 1;
            amount.elements = amount.elements.saturating_add(elements);
            amount.bytes = amount.bytes.saturating_add(dtype.bytes_of(elements).unwrap_or(0));
        }
        graph.node.iter().for_each(|node| self.node(node, opsets));
    }

    fn node(&mut self, node: &'m NodeProto<'m>, opsets: &Opsets) {
        let (domain, name) = (import::domain(&node.domain), node.op_type.as_str());
        let mut since = None;
        if !self.functions.contains(&(domain, name)) {
            let opset = opsets.get(domain).copied().unwrap_or(1);
            match self.registry.resolve(domain, name, opset) {
                Ok(key) => since = Some(key.since),
                Err(e) => {
                    let first = || node.output.iter().find(|o| !o.is_empty()).map_or("", |o| o.as_str());
                    let node = if node.name.is_empty() { first() } else { node.name.as_str() };
                    self.problems.push(e.at(&shown(domain, name), node));
                }
            }
        }
        *self.operators.entry(Operator { domain: domain.to_owned(), name: name.to_owned(), since }).or_default() += 1;
        for graph in node.attribute.iter().flat_map(graphs) {
            self.graph(graph, opsets);
        }
    }
}

fn graphs<'m>(attribute: &'m AttributeProto<'m>) -> impl Iterator<Item = &'m GraphProto<'m>> {
    attribute.g.as_deref().into_iter().chain(&attribute.graphs)
}

fn shown(domain: &str, name: &str) -> String {
    if domain.is_empty() { name.to_owned() } else { format!("{domain}.{name}") }
}

/// Each operator and reason once, with the nodes that it befalls.
fn grouped(errors: &[Error]) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    let mut places: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    for e in errors {
        let place = *places.entry((e.op(), e.detail())).or_insert_with(|| {
            problems.push(Problem { op: e.op().map(str::to_owned), nodes: Vec::new(), reason: e.detail().to_owned() });
            problems.len() - 1
        });
        problems[place].nodes.extend(e.node().map(str::to_owned));
    }
    problems
}

fn named(e: &Error, path: &Path) -> Error {
    error!(InvalidProtobuf, "{}: {}", path.display(), e.detail()).with_kind(e.kind())
}
