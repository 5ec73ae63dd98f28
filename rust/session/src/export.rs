//! Writing a graph as a model that other runtimes load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use base::{Places, Result, SparseTensor, Tensor, Type, Value, bail, ensure};
use exec::{Operators, PRIVATE};
use ir::{Attribute, Dims, Fact, Facts, Graph, Loaded, Node, NodeId, Oracle, ValueId};
use op::Registry;
use proto::{
    AttributeProto, Dimension, DimensionValue, ExternalPolicy, GraphProto, MapType, ModelProto, NodeProto, OperatorSetIdProto,
    OptionalType, SequenceType, SparseTensorProto, SparseTensorType, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType,
    Text, TypeProto, TypeValue, ValueInfoProto, write_file, write_model,
};

use crate::format::Format;
use crate::import::Opsets;
use crate::metadata::{Metadata, NO_VERSION};

mod constants;
mod inside;
mod ort;

/// Models with more bytes of weights than this keep them in a file of their own: protobuf ends at 2 GiB.
const INLINE_LIMIT: usize = 1 << 30;
/// The version of the file format that is written for models of old opsets.
const IR_VERSION: i64 = 10;

/// A graph to be saved, and what it is saved with.
pub(crate) struct Export<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) facts: &'g Facts,
    pub(crate) registry: &'g Registry,
    pub(crate) oracle: &'g Operators,
    /// Those of the model that the graph was made of.
    pub(crate) opsets: &'g Opsets,
    /// What that model says of itself.
    pub(crate) metadata: &'g Metadata,
    /// The file that initializers go to from a number of bytes on, if they are to.
    pub(crate) apart: Option<(String, usize)>,
}

impl Export<'_> {
    /// Writes the graph to `path` as a model of one opset, private operators and those of other opsets taken apart.
    ///
    /// # Errors
    /// `NotImplemented` that names a node which no single opset has with the others, or what the format cannot hold; `Fail` when the
    /// file cannot be written.
    pub(crate) fn save(&self, path: &Path, format: Format) -> Result<()> {
        let (mut graph, mut facts) = (self.graph.clone(), self.facts.clone());
        let (registry, oracle) = (self.registry, self.oracle);
        constants::spell_out(&mut graph);
        ir::infer(&graph, &mut facts, oracle)?;
        take_apart(&mut graph, &mut facts, oracle, &is_own)?;
        let chosen = choose_opset(&graph, registry, self.opsets.get("").copied().unwrap_or(1));
        take_apart(&mut graph, &mut facts, oracle, &|node| !fits(registry, node, chosen))?;
        promote(&mut graph, registry, chosen);
        let mut domains = BTreeSet::new();
        check_opset(&graph, registry, chosen, &mut domains)?;
        if format == Format::Ort {
            take_apart(&mut graph, &mut facts, oracle, &ort::has_no_kernel)?;
            ort::complete(&mut graph, &mut facts, registry, oracle)?;
        }
        let model = self.model(Exporter::new(&graph, oracle).graph(&graph, &facts)?, &domains, chosen);
        match format {
            Format::Onnx => write_model(model, path, &self.external_policy(&graph, path)),
            Format::Ort => write_file(path, &ort::encode(&model, registry)?),
        }
    }

    /// The model of `graph`, whose nodes are of `domains`, those of `ai.onnx` in version `opset`.
    fn model<'g>(&'g self, graph: GraphProto<'g>, domains: &BTreeSet<String>, opset: u32) -> ModelProto<'g> {
        let m = self.metadata;
        let version = |d: &String| if d.is_empty() { opset } else { self.opsets.get(d).copied().unwrap_or(1) };
        let imports = domains.iter().map(|d| OperatorSetIdProto { domain: d.clone().into(), version: Some(version(d).into()) });
        ModelProto {
            // Opset 23 came with version 11 of the format, and each later one with the next, up to 13.
            ir_version: Some((i64::from(opset) - 12).clamp(IR_VERSION, 13)),
            producer_name: m.producer_name.as_str().into(),
            producer_version: m.producer_version.as_str().into(),
            domain: m.domain.as_str().into(),
            doc_string: m.description.as_str().into(),
            model_version: Some(m.version).filter(|v| *v != NO_VERSION),
            metadata_props: m.custom.iter().map(|(k, v)| StringStringEntryProto::new(k.as_str(), v.as_str())).collect(),
            opset_import: imports.collect(),
            graph: Some(Box::new(GraphProto { doc_string: m.graph_description.as_str().into(), ..graph })),
            ..Default::default()
        }
    }

    /// Where the weights of `graph` go when it is saved at `path` as ONNX.
    fn external_policy(&self, graph: &Graph, path: &Path) -> ExternalPolicy {
        if let Some((name, threshold)) = &self.apart {
            return ExternalPolicy::File { name: name.clone(), threshold: *threshold };
        }
        let size = |value: &Value| value.tensor().ok().and_then(|t| t.as_ref().bytes().ok().map(<[u8]>::len)).unwrap_or(0);
        let weights: usize = graph.values().filter_map(|(_, v)| v.constant.as_ref()).map(size).sum();
        let name = path.file_name().map(|n| format!("{}.data", n.to_string_lossy())).unwrap_or_default();
        if weights > INLINE_LIMIT { ExternalPolicy::File { name, threshold: 1024 } } else { ExternalPolicy::Inline }
    }
}

/// The activations that `FusedConv` has in other runtimes.
const ACTIVATIONS: [&[u8]; 7] = [b"Relu", b"Sigmoid", b"Tanh", b"LeakyRelu", b"HardSigmoid", b"HardSwish", b"Clip"];

/// Whether no other runtime runs `node`: operators of this one, and convolutions with activations that others do not apply.
fn is_own(node: &Node) -> bool {
    let beyond = match node.attributes.get("activation") {
        Some(Attribute::String(name)) => &*node.key.name == "FusedConv" && !ACTIVATIONS.contains(&&**name),
        _ => false,
    };
    *node.key.domain == *PRIVATE || beyond
}

/// Whether opset `opset` has the operator of `node` as it is; other domains have one version of each.
fn has(registry: &Registry, node: &Node, opset: u32) -> bool {
    let same = |since: u32| since == node.key.since;
    !node.key.domain.is_empty() || registry.resolve("", &node.key.name, opset).is_ok_and(|k| same(k.since))
}

/// Operators that mean something else from a version on, although nodes of older versions still load: an input, a default or an axis
/// changed its meaning.
const CHANGED: &[(&str, u32)] = &[
    ("Softmax", 13),
    ("LogSoftmax", 13),
    ("Hardmax", 13),
    ("Resize", 11),
    ("RoiAlign", 16),
    ("DFT", 20),
    ("GroupNormalization", 21),
    ("Scan", 9),
];

/// `node` as a node of opset `opset`, if a newer version means the same.
fn promoted(registry: &Registry, node: &Node, opset: u32) -> Option<Node> {
    let key = registry.resolve(&node.key.domain, &node.key.name, opset).ok()?;
    let changed = CHANGED.iter().any(|(name, since)| *name == &*key.name && node.key.since < *since && *since <= key.since);
    let newer = Node { key, loaded: Loaded::default(), ..node.clone() };
    (newer.key.since > node.key.since && !changed && registry.load(&newer).is_ok()).then_some(newer)
}

/// Whether `node` can be a node of opset `opset`, as it is or promoted.
fn fits(registry: &Registry, node: &Node, opset: u32) -> bool {
    has(registry, node, opset) || promoted(registry, node, opset).is_some()
}

/// Calls `f` for every node, also in the graphs of nodes.
fn each_node<'g>(graph: &'g Graph, f: &mut dyn FnMut(&'g Node)) {
    for (_, node) in graph.nodes() {
        f(node);
        node.subgraphs.iter().for_each(|s| each_node(&s.graph, f));
    }
}

/// The opset that fits most nodes: the model's own, if it serves as well as any.
fn choose_opset(graph: &Graph, registry: &Registry, own: u32) -> u32 {
    let mut nodes = Vec::new();
    each_node(graph, &mut |n| nodes.push(n));
    let served = |opset: u32| nodes.iter().filter(|n| fits(registry, n, opset)).count();
    let candidates: BTreeSet<u32> = nodes.iter().filter(|n| n.key.domain.is_empty()).map(|n| n.key.since).filter(|s| *s > own).collect();
    let best = (own, served(own));
    candidates.into_iter().map(|c| (c, served(c))).fold(best, |best, c| if c.1 > best.1 { c } else { best }).0
}

/// Replaces the nodes that `wanted` names by their bodies, again and again, also in the graphs of nodes.
fn take_apart(graph: &mut Graph, facts: &mut Facts, oracle: &Operators, wanted: &dyn Fn(&Node) -> bool) -> Result<()> {
    for id in inside::hosts(graph) {
        let known = inside::facts(graph.node(id), facts, oracle)?;
        for (sub, mut known) in graph.node_mut(id).subgraphs.iter_mut().zip(known) {
            take_apart(Arc::make_mut(&mut sub.graph), &mut known, oracle, wanted)?;
        }
    }
    loop {
        let found: Vec<NodeId> = graph.nodes().filter(|(_, n)| wanted(n)).map(|(id, _)| id).collect();
        let mut changed = false;
        for id in found {
            let node = graph.node(id);
            let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
            if let Some(body) = oracle.body(node, &inputs)? {
                graph.inline(id, &body)?;
                changed = true;
            }
        }
        if !changed {
            return Ok(());
        }
        ir::infer(graph, facts, oracle)?;
    }
}

/// Lets nodes of older versions be nodes of opset `opset`, where a newer version means the same; also in the graphs of nodes.
fn promote(graph: &mut Graph, registry: &Registry, opset: u32) {
    for id in graph.nodes().map(|(id, _)| id).collect::<Vec<_>>() {
        if !has(registry, graph.node(id), opset)
            && let Some(newer) = promoted(registry, graph.node(id), opset)
        {
            *graph.node_mut(id) = newer;
        }
        for sub in &mut graph.node_mut(id).subgraphs {
            promote(Arc::make_mut(&mut sub.graph), registry, opset);
        }
    }
}

fn check_opset(graph: &Graph, registry: &Registry, opset: u32, domains: &mut BTreeSet<String>) -> Result<()> {
    for (_, node) in graph.nodes() {
        let at = |e: base::Error| e.at(&node.key.name, &node.name);
        let fits = has(registry, node, opset) && *node.key.domain != *PRIVATE;
        ensure!(fits, NotImplemented, "{} '{}' cannot be written as a node of opset {opset}", node.key, node.name);
        domains.insert(node.key.domain.to_string());
        node.subgraphs.iter().try_for_each(|s| check_opset(&s.graph, registry, opset, domains)).map_err(at)?;
    }
    Ok(())
}

/// Gives every value a name of its own.
struct Exporter<'o> {
    oracle: &'o Operators,
    names: BTreeMap<ValueId, String>,
    /// Names that the graphs around use.
    taken: BTreeSet<String>,
}

impl<'o> Exporter<'o> {
    fn new(graph: &Graph, oracle: &'o Operators) -> Self {
        let mut exporter = Self { oracle, names: BTreeMap::new(), taken: BTreeSet::new() };
        exporter.name_values(graph, &BTreeMap::new());
        exporter
    }

    /// What names the values of a graph that a node runs.
    fn nested(&self, graph: &Graph, captures: &[ValueId]) -> Self {
        let captured =
            graph.captures.iter().zip(captures).filter_map(|(inner, outer)| Some((*inner, self.names.get(outer)?.clone()))).collect();
        let mut exporter = Self { oracle: self.oracle, names: BTreeMap::new(), taken: self.taken.clone() };
        exporter.name_values(graph, &captured);
        exporter
    }

    fn name_values(&mut self, graph: &Graph, captured: &BTreeMap<ValueId, String>) {
        for (id, value) in graph.values() {
            let name = match captured.get(&id) {
                Some(name) => name.clone(),
                None if value.name.is_empty() || self.taken.contains(&*value.name) => {
                    let fresh = (id.index()..).map(|i| format!("value_{i}")).find(|n| !self.taken.contains(n));
                    fresh.unwrap_or_default()
                }
                None => value.name.to_string(),
            };
            self.taken.insert(name.clone());
            self.names.insert(id, name);
        }
    }

    fn name(&self, v: Option<ValueId>) -> Text<'static> {
        v.and_then(|v| self.names.get(&v)).cloned().unwrap_or_default().into()
    }

    fn graph<'g>(&self, graph: &'g Graph, facts: &Facts) -> Result<GraphProto<'g>> {
        let info = |v: &ValueId| ValueInfoProto {
            name: self.name(Some(*v)),
            r#type: facts.get(*v).map(|f| Box::new(fact_type(f, facts))),
            ..Default::default()
        };
        let mut initializers = Vec::new();
        for (id, value) in graph.values() {
            let read = !graph.uses(id).is_empty() || graph.is_output(id) || graph.inputs.contains(&id);
            if let (Some(constant), true) = (&value.constant, read) {
                initializers.push(TensorProto { name: self.name(Some(id)), ..tensor(constant.tensor()?)? });
            }
        }
        let nodes = graph.order()?.into_iter().map(|id| self.node(graph.node(id), facts)).collect::<Result<_>>()?;
        let written = graph.values().filter(|(id, v)| v.producer.is_some() && !graph.is_output(*id) && facts.get(*id).is_some());
        Ok(GraphProto {
            name: if graph.name.is_empty() { "graph".into() } else { graph.name.as_str().into() },
            node: nodes,
            initializer: initializers,
            input: graph.inputs.iter().map(info).collect(),
            output: graph.outputs.iter().map(info).collect(),
            value_info: written.map(|(id, _)| info(&id)).collect(),
            ..Default::default()
        })
    }

    fn node<'g>(&self, node: &'g Node, facts: &Facts) -> Result<NodeProto<'g>> {
        let mut attributes = node.attributes.iter().map(|(name, a)| attribute(name, a)).collect::<Result<Vec<_>>>()?;
        for (sub, facts) in node.subgraphs.iter().zip(inside::facts(node, facts, self.oracle)?) {
            let graph = self.nested(&sub.graph, &sub.captures).graph(&sub.graph, &facts)?;
            let name = sub.attribute.as_str().into();
            attributes.push(AttributeProto { name, g: Some(Box::new(graph)), r#type: Some(5), ..Default::default() });
        }
        Ok(NodeProto {
            op_type: (&*node.key.name).into(),
            domain: (&*node.key.domain).into(),
            name: node.name.as_str().into(),
            input: node.inputs.iter().map(|v| self.name(*v)).collect(),
            output: node.outputs.iter().map(|v| self.name(*v)).collect(),
            attribute: attributes,
            ..Default::default()
        })
    }
}

fn attribute<'g>(name: &'g str, attribute: &'g Attribute) -> Result<AttributeProto<'g>> {
    let mut a = AttributeProto { name: name.into(), ..Default::default() };
    let kind = match attribute {
        Attribute::Float(x) => (a.f = Some(*x), 1),
        Attribute::Int(i) => (a.i = Some(*i), 2),
        Attribute::String(s) => (a.s = Some(s.to_vec().into()), 3),
        Attribute::Tensor(t) => (a.t = Some(Box::new(tensor(t)?)), 4),
        Attribute::Floats(v) => (a.floats.clone_from(v), 6),
        Attribute::Ints(v) => (a.ints.clone_from(v), 7),
        Attribute::Strings(v) => (a.strings = v.iter().map(|s| s.to_vec().into()).collect(), 8),
        Attribute::Tensors(v) => (a.tensors = v.iter().map(tensor).collect::<Result<_>>()?, 9),
        Attribute::Sparse(s) => (a.sparse_tensor = Some(Box::new(sparse(s)?)), 11),
        Attribute::Type(t, _) => (a.tp = Some(Box::new(type_proto(t, None))), 13),
        Attribute::Types(v) => (a.type_protos = v.iter().map(|t| type_proto(t, None)).collect(), 14),
    };
    a.r#type = Some(kind.1);
    Ok(a)
}

fn tensor(t: &Tensor) -> Result<TensorProto<'_>> {
    let dims = t.shape().iter().map(|d| *d as i64).collect();
    let mut proto = TensorProto { data_type: Some(t.dtype() as i32), dims, ..Default::default() };
    match t.as_ref().strings() {
        Ok(strings) => proto.string_data = strings.iter().map(|s| s.as_bytes().into()).collect(),
        Err(_) => proto.raw_data = Some(t.as_ref().bytes()?.into()),
    }
    Ok(proto)
}

fn sparse(s: &SparseTensor) -> Result<SparseTensorProto<'_>> {
    let Places::Coo(indices) = &s.places else { bail!(NotImplemented, "ONNX keeps sparse tensors as coordinates only") };
    let (values, indices) = (Some(Box::new(tensor(&s.values)?)), Some(Box::new(tensor(indices)?)));
    Ok(SparseTensorProto { values, indices, dims: s.shape.iter().map(|d| *d as i64).collect() })
}

fn fact_type(fact: &Fact, facts: &Facts) -> TypeProto<'static> {
    type_proto(&fact.ty, fact.shape.as_ref().map(|s| shape(s, facts)))
}

fn shape(dims: &Dims, facts: &Facts) -> TensorShapeProto<'static> {
    let dim = dims.iter().map(|d| {
        let name = || d.as_symbol().and_then(|s| facts.symbols.name(s)).map(|n| DimensionValue::Param(n.to_owned().into()));
        Dimension { value: d.known().map(DimensionValue::Value).or_else(name), ..Default::default() }
    });
    TensorShapeProto { dim: dim.collect() }
}

fn type_proto(ty: &Type, shape: Option<TensorShapeProto<'static>>) -> TypeProto<'static> {
    let inner = |t: &Type| Some(Box::new(type_proto(t, None)));
    let value = match ty {
        Type::Tensor(d) => TypeValue::Tensor(TensorType { elem_type: Some(*d as i32), shape }),
        Type::Sparse(d) => TypeValue::SparseTensor(SparseTensorType { elem_type: Some(*d as i32), shape }),
        Type::Sequence(t) => TypeValue::Sequence(SequenceType { elem_type: inner(t) }),
        Type::Map(k, t) => TypeValue::Map(MapType { key_type: Some(*k as i32), value_type: inner(t) }),
        Type::Optional(t) => TypeValue::Optional(OptionalType { elem_type: inner(t) }),
    };
    TypeProto { value: Some(value), ..Default::default() }
}
