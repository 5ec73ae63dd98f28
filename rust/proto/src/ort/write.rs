//! Writing the ORT format.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::{Result, bail, ensure, error};

use super::schema::{attribute, dim, dim_value, edges, entry, graph, kind, map_type, model, node, opset, resolver, sequence_type, session};
use super::schema::{shape, size, sparse, tensor, tensor_type, ty, value};
use super::{IDENTIFIER, OrtOperator, VERSION};
use crate::flat::{TableSpec, Vector, write};
use crate::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorData,
    TensorProto, TensorShapeProto, TypeProto, TypeValue, ValueInfoProto,
};

/// Every node runs there unless whoever loads the file chooses otherwise.
const PROVIDER: &str = "CPUExecutionProvider";

/// `model` in the ORT format; `operators` tells of each node which operator it is.
///
/// Every value that a node reads or writes needs a type: as input or output of its graph, in `value_info`, or as an initializer.
/// Nodes of a graph must be in topological order.
///
/// # Errors
/// `NotImplemented` for what the format cannot hold: functions, types that are no tensors, sequences or maps, attributes of types.
/// `InvalidGraph` when a value has no type; `Fail` when the file would be longer than 2 GiB.
pub fn encode_ort(model: &ModelProto<'_>, operators: &dyn Fn(&NodeProto<'_>) -> Result<OrtOperator>) -> Result<Vec<u8>> {
    ensure!(model.functions.is_empty(), NotImplemented, "the ORT format cannot hold functions");
    let Some(proto) = &model.graph else { bail!(InvalidGraph, "the model has no graph") };
    let mut writer = Writer { operators, kernel_types: BTreeMap::new() };
    let graph = writer.graph(proto, &Scope::default())?;
    let opsets =
        model.opset_import.iter().map(|o| TableSpec::default().text(opset::DOMAIN, &o.domain).i64(opset::VERSION, o.version.unwrap_or(1)));
    let entries = model.metadata_props.iter().map(|p| TableSpec::default().text(entry::KEY, &p.key).text(entry::VALUE, &p.value));
    let table = TableSpec::default()
        .i64(model::IR_VERSION, model.ir_version.unwrap_or(0))
        .tables(model::OPSETS, opsets.collect())
        .text(model::PRODUCER_NAME, &model.producer_name)
        .text(model::PRODUCER_VERSION, &model.producer_version)
        .text(model::DOMAIN, &model.domain)
        .i64(model::MODEL_VERSION, model.model_version.unwrap_or(0))
        .text(model::DOC, &model.doc_string)
        .table(model::GRAPH, graph)
        .text(model::GRAPH_DOC, &proto.doc_string)
        .tables(model::METADATA, entries.collect());
    let kernel_types = std::mem::take(&mut writer.kernel_types).into_values().collect();
    let root = TableSpec::default()
        .text(session::VERSION, VERSION)
        .table(session::MODEL, table)
        .table(session::KERNEL_TYPES, TableSpec::default().tables(resolver::OPERATORS, kernel_types));
    write(&root, IDENTIFIER)
}

/// The types of values by name, of a graph and those around it.
#[derive(Clone, Default)]
struct Scope<'m> {
    types: HashMap<&'m str, TypeOf<'m>>,
}

/// How the type of a value is known.
#[derive(Clone, Copy)]
enum TypeOf<'m> {
    Stated(&'m TypeProto<'m>),
    /// The type of a constant.
    Constant(i32, &'m [i64]),
}

struct Writer<'w> {
    operators: &'w dyn Fn(&NodeProto<'_>) -> Result<OrtOperator>,
    kernel_types: BTreeMap<String, TableSpec<'static>>,
}

impl Writer<'_> {
    fn graph<'m>(&mut self, proto: &'m GraphProto<'m>, around: &Scope<'m>) -> Result<TableSpec<'m>> {
        let mut scope = around.clone();
        scope.enter(proto);
        let mut nodes = Vec::with_capacity(proto.node.len());
        let mut used: BTreeSet<&str> = BTreeSet::new();
        let mut links = Links::new(proto.node.len());
        for (index, node) in proto.node.iter().enumerate() {
            let captures = captures_of(node);
            links.node(index, node, &captures);
            used.extend(node.input.iter().chain(&node.output).map(|n| n.as_str()).chain(captures.iter().copied()));
            nodes.push(self.node(index, node, &captures, &scope).map_err(|e| e.at(&node.op_type, &node.name))?);
        }
        used.extend(proto.initializer.iter().map(|t| t.name.as_str()));
        used.extend(proto.sparse_initializer.iter().filter_map(|s| Some(s.values.as_ref()?.name.as_str())));
        used.extend(proto.input.iter().chain(&proto.output).map(|v| v.name.as_str()));
        let values = used.into_iter().map(|name| scope.value(name)).collect::<Result<_>>()?;
        let names = |list: &'m [ValueInfoProto<'m>]| Vector::texts(list.iter().map(|v| v.name.as_str()));
        Ok(TableSpec::default()
            .tables(graph::INITIALIZERS, proto.initializer.iter().map(tensor_table).collect::<Result<_>>()?)
            .tables(graph::VALUES, values)
            .tables(graph::NODES, nodes)
            .i32(graph::MAX_NODE, proto.node.len() as i32)
            .tables(graph::EDGES, links.tables())
            .vector(graph::INPUTS, names(&proto.input))
            .vector(graph::OUTPUTS, names(&proto.output))
            .tables(graph::SPARSE, proto.sparse_initializer.iter().map(sparse_table).collect::<Result<_>>()?))
    }

    fn node<'m>(&mut self, index: usize, proto: &'m NodeProto<'m>, captures: &[&'m str], scope: &Scope<'m>) -> Result<TableSpec<'m>> {
        let operator = (self.operators)(proto)?;
        let id = format!("{}:{}:{}", proto.domain, proto.op_type, operator.since);
        self.kernel_types.entry(id.clone()).or_insert_with(|| operator.entry(id));
        let attributes = proto.attribute.iter().map(|a| self.attribute(a, scope)).collect::<Result<_>>()?;
        Ok(TableSpec::default()
            .text(node::NAME, &proto.name)
            .text(node::DOC, &proto.doc_string)
            .text(node::DOMAIN, &proto.domain)
            .i32(node::SINCE, operator.since as i32)
            .i32(node::INDEX, index as i32)
            .text(node::OP_TYPE, &proto.op_type)
            .text(node::PROVIDER, PROVIDER)
            .vector(node::INPUTS, Vector::texts(proto.input.iter().map(|n| n.as_str())))
            .vector(node::OUTPUTS, Vector::texts(proto.output.iter().map(|n| n.as_str())))
            .tables(node::ATTRIBUTES, attributes)
            .vector(node::COUNTS, Vector::i32s(operator.input_counts(proto)?))
            .vector(node::CAPTURES, Vector::texts(captures.iter().copied())))
    }

    fn attribute<'m>(&mut self, proto: &'m AttributeProto<'m>, scope: &Scope<'m>) -> Result<TableSpec<'m>> {
        use AttributeType::*;
        let kind = proto.attribute_type()?;
        let missing = || error!(InvalidGraph, "attribute '{}' has no value", proto.name);
        let table = TableSpec::default()
            .text(attribute::NAME, &proto.name)
            .text(attribute::DOC, &proto.doc_string)
            .i32(attribute::TYPE, kind as i32);
        Ok(match kind {
            Float => table.f32(attribute::F, proto.f.unwrap_or_default()),
            Int => table.i64(attribute::I, proto.i.unwrap_or_default()),
            String => table.string(attribute::S, proto.s.as_deref().unwrap_or_default()),
            Tensor => table.table(attribute::T, tensor_table(proto.t.as_ref().ok_or_else(missing)?)?),
            Graph => table.table(attribute::G, self.graph(proto.g.as_ref().ok_or_else(missing)?, scope)?),
            Floats => table.vector(attribute::FLOATS, Vector::f32s(&proto.floats)),
            Ints => table.vector(attribute::INTS, Vector::i64s(&proto.ints)),
            Strings => table.vector(attribute::STRINGS, Vector::Texts(proto.strings.iter().map(|s| (&**s).into()).collect())),
            Tensors => table.tables(attribute::TENSORS, proto.tensors.iter().map(tensor_table).collect::<Result<_>>()?),
            Graphs => table.tables(attribute::GRAPHS, proto.graphs.iter().map(|g| self.graph(g, scope)).collect::<Result<_>>()?),
            SparseTensor | SparseTensors | TypeProto | TypeProtos => {
                bail!(NotImplemented, "the ORT format cannot hold attribute '{}', which is of kind {kind:?}", proto.name)
            }
        })
    }
}

impl<'m> Scope<'m> {
    /// Adds what `proto` says of its own values.
    fn enter(&mut self, proto: &'m GraphProto<'m>) {
        for tensor in &proto.initializer {
            self.types.insert(&tensor.name, TypeOf::Constant(tensor.data_type.unwrap_or_default(), &tensor.dims));
        }
        for sparse in &proto.sparse_initializer {
            if let Some(values) = &sparse.values {
                self.types.insert(&values.name, TypeOf::Constant(values.data_type.unwrap_or_default(), &sparse.dims));
            }
        }
        for value in proto.value_info.iter().chain(&proto.output).chain(&proto.input) {
            if let Some(stated) = value.r#type.as_deref().filter(|t| t.value.is_some()) {
                self.types.insert(&value.name, TypeOf::Stated(stated));
            }
        }
    }

    fn value(&self, name: &'m str) -> Result<TableSpec<'m>> {
        let table = TableSpec::default().text(value::NAME, name).text(value::DOC, "");
        // An input that is left out, or an output that nobody wants.
        if name.is_empty() {
            return Ok(table);
        }
        Ok(table.table(
            value::TYPE,
            match self.types.get(name) {
                Some(TypeOf::Stated(stated)) => type_table(stated).map_err(|e| error!(NotImplemented, "value '{name}': {}", e.detail()))?,
                Some(TypeOf::Constant(element, dims)) => {
                    let dims = dims.iter().map(|d| dim_table(size::KNOWN, *d, "")).collect();
                    tensor_type_table(*element, Some(TableSpec::default().tables(shape::DIMS, dims)))
                }
                None => bail!(InvalidGraph, "the type of value '{name}' is not known"),
            },
        ))
    }
}

/// What the graphs of `node` read from the graphs around, in order.
fn captures_of<'m>(node: &'m NodeProto<'m>) -> Vec<&'m str> {
    let mut captures = Vec::new();
    for attribute in &node.attribute {
        for graph in attribute.g.as_deref().into_iter().chain(&attribute.graphs) {
            free_names(graph, &mut captures);
        }
    }
    captures
}

/// Adds the names that `graph` reads but does not define.
fn free_names<'m>(graph: &'m GraphProto<'m>, free: &mut Vec<&'m str>) {
    let mut defined: BTreeSet<&str> = graph.input.iter().map(|v| v.name.as_str()).collect();
    defined.extend(graph.initializer.iter().map(|t| t.name.as_str()));
    defined.extend(graph.sparse_initializer.iter().filter_map(|s| Some(s.values.as_ref()?.name.as_str())));
    defined.extend(graph.node.iter().flat_map(|n| &n.output).map(|n| n.as_str()));
    let reads = graph.node.iter().flat_map(|n| n.input.iter().map(|n| n.as_str()).chain(captures_of(n)));
    for name in reads.chain(graph.output.iter().map(|v| v.name.as_str())) {
        if !name.is_empty() && !defined.contains(name) && !free.contains(&name) {
            free.push(name);
        }
    }
}

/// An edge as one of its nodes sees it: the other node, the output, the input.
type Edge = [u32; 3];

/// Which nodes read what which nodes write.
struct Links<'m> {
    /// For each value, the node that writes it, and as which output.
    writers: HashMap<&'m str, (usize, usize)>,
    /// For each node, the edges that end there.
    ends: Vec<Vec<Edge>>,
    /// For each node, the edges that begin there.
    begins: Vec<Vec<Edge>>,
}

impl<'m> Links<'m> {
    fn new(nodes: usize) -> Self {
        Self { writers: HashMap::new(), ends: vec![Vec::new(); nodes], begins: vec![Vec::new(); nodes] }
    }

    /// Adds node `index`; what it captures counts as inputs behind its own.
    fn node(&mut self, index: usize, node: &'m NodeProto<'m>, captures: &[&'m str]) {
        let reads = node.input.iter().map(|n| n.as_str()).chain(captures.iter().copied());
        for (input, name) in reads.enumerate() {
            if let Some((writer, output)) = self.writers.get(name).copied() {
                self.ends[index].push([writer as u32, output as u32, input as u32]);
                self.begins[writer].push([index as u32, output as u32, input as u32]);
            }
        }
        for (output, name) in node.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            self.writers.insert(name, (index, output));
        }
    }

    fn tables(self) -> Vec<TableSpec<'m>> {
        let table = |(index, (ends, begins)): (usize, (Vec<Edge>, Vec<Edge>))| {
            let node = TableSpec::default().i32(edges::NODE, index as i32);
            node.vector(edges::INPUTS, Vector::structs(ends)).vector(edges::OUTPUTS, Vector::structs(begins))
        };
        self.ends.into_iter().zip(self.begins).enumerate().map(table).collect()
    }
}

fn tensor_table<'m>(proto: &'m TensorProto<'m>) -> Result<TableSpec<'m>> {
    let table = TableSpec::default()
        .text(tensor::NAME, &proto.name)
        .text(tensor::DOC, &proto.doc_string)
        .vector(tensor::DIMS, Vector::i64s(&proto.dims))
        .i32(tensor::DATA_TYPE, proto.data_type.unwrap_or_default());
    Ok(match proto.data()? {
        TensorData::Bytes(bytes) => table.vector(tensor::RAW, Vector::bytes(bytes)),
        TensorData::Strings(strings) => table.vector(tensor::STRINGS, Vector::Texts(strings.iter().map(|s| (&**s).into()).collect())),
        TensorData::External(_) => {
            bail!(NotImplemented, "the ORT format cannot hold tensor '{}', whose data is in another file", proto.name)
        }
    })
}

fn sparse_table<'m>(proto: &'m SparseTensorProto<'m>) -> Result<TableSpec<'m>> {
    let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
        bail!(InvalidGraph, "a sparse tensor needs values and indices");
    };
    Ok(TableSpec::default()
        .table(sparse::VALUES, tensor_table(values)?)
        .table(sparse::INDICES, tensor_table(indices)?)
        .vector(sparse::DIMS, Vector::i64s(&proto.dims)))
}

fn type_table<'m>(proto: &'m TypeProto<'m>) -> Result<TableSpec<'m>> {
    let inner = |t: &'m Option<Box<TypeProto<'m>>>| match t {
        Some(t) => type_table(t),
        None => bail!(InvalidGraph, "a sequence or map does not say what it holds"),
    };
    let table = match &proto.value {
        Some(TypeValue::Tensor(t)) => tensor_type_table(t.elem_type.unwrap_or_default(), t.shape.as_ref().map(shape_table)),
        Some(TypeValue::Sequence(t)) => type_info(kind::SEQUENCE, TableSpec::default().table(sequence_type::ELEMENT, inner(&t.elem_type)?)),
        Some(TypeValue::Map(t)) => {
            let map = TableSpec::default().i32(map_type::KEY, t.key_type.unwrap_or_default());
            type_info(kind::MAP, map.table(map_type::VALUE, inner(&t.value_type)?))
        }
        Some(TypeValue::Optional(_)) => bail!(NotImplemented, "the ORT format cannot hold optional types"),
        Some(TypeValue::SparseTensor(_)) => bail!(NotImplemented, "the ORT format cannot hold types of sparse tensors"),
        Some(TypeValue::Opaque(_)) | None => bail!(NotImplemented, "the ORT format cannot hold opaque types"),
    };
    Ok(if proto.denotation.is_empty() { table } else { table.text(ty::DENOTATION, &proto.denotation) })
}

fn type_info(kind: u8, value: TableSpec<'_>) -> TableSpec<'_> {
    TableSpec::default().u8(ty::KIND, kind).table(ty::VALUE, value)
}

fn tensor_type_table(element: i32, shape: Option<TableSpec<'_>>) -> TableSpec<'_> {
    let table = TableSpec::default().i32(tensor_type::ELEMENT, element);
    type_info(
        kind::TENSOR,
        match shape {
            Some(shape) => table.table(tensor_type::SHAPE, shape),
            None => table,
        },
    )
}

fn shape_table<'m>(proto: &'m TensorShapeProto<'m>) -> TableSpec<'m> {
    let dim = |d: &'m Dimension<'m>| {
        let table = match &d.value {
            Some(DimensionValue::Value(n)) => dim_table(size::KNOWN, *n, ""),
            Some(DimensionValue::Param(name)) => dim_table(size::NAMED, 0, name),
            None => dim_table(0, 0, ""),
        };
        if d.denotation.is_empty() { table } else { table.text(dim::DENOTATION, &d.denotation) }
    };
    TableSpec::default().tables(shape::DIMS, proto.dim.iter().map(dim).collect())
}

fn dim_table(kind: u8, known: i64, name: &str) -> TableSpec<'_> {
    let value = TableSpec::default().u8(dim_value::KIND, kind).i64(dim_value::SIZE, known);
    TableSpec::default().table(dim::VALUE, if name.is_empty() { value } else { value.text(dim_value::NAME, name) })
}
