//! Reading the ORT format.

use std::borrow::Cow;
use std::collections::HashMap;

use base::{DType, Result, bail, ensure, error};

use super::schema::{attribute, dim, dim_value, entry, graph, kind, map_type, model, node, opset, sequence_type, session};
use super::schema::{shape, size, sparse, tensor, tensor_type, ty, value};
use super::{IDENTIFIER, VERSION};
use crate::flat::{File, Table};
use crate::limits::Limits;
use crate::{
    AttributeProto, Dimension, DimensionValue, GraphProto, MapType, ModelProto, NodeProto, OperatorSetIdProto, SequenceType,
    SparseTensorProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, Text, TypeProto, TypeValue, ValueInfoProto,
};

/// Whether `bytes` are a model in the ORT format, by its identifier.
pub fn is_ort(bytes: &[u8]) -> bool {
    File::is(bytes, IDENTIFIER)
}

/// Reads a model in the ORT format; texts and weights are borrowed from `bytes`.
///
/// Each node carries the version of its operator ([`NodeProto::since_version`]), since a file may hold nodes of several opsets.
///
/// # Errors
/// `Fail`, with the table and the position, if the bytes are no such model or exceed the default [`Limits`].
pub fn decode_ort(bytes: &[u8]) -> Result<ModelProto<'_>> {
    ensure!(is_ort(bytes), Fail, "ORT model verification failed: the file does not say that it is one");
    let file = File::new(bytes, &Limits::default());
    let session = file.root("InferenceSession")?;
    let version = session.text(session::VERSION)?;
    let known = |v: &str| v.parse::<u32>().is_ok_and(|v| v >= 1) && v.len() == VERSION.len() && v <= VERSION;
    ensure!(
        known(&version),
        Fail,
        "The ORT format model version [{version}] is not supported by this build; the newest known is {VERSION}"
    );
    match session.table(session::MODEL, "Model")? {
        Some(table) => read_model(table),
        None => Err(session.fault("the file has no model")),
    }
}

fn read_model<'a>(t: Table<'a, '_>) -> Result<ModelProto<'a>> {
    let Some(graph) = t.table(model::GRAPH, "Graph")? else { return Err(t.fault("the model has no graph")) };
    let graph = GraphProto { doc_string: t.text(model::GRAPH_DOC)?, ..read_graph(graph)? };
    let opset = |t: Table<'a, '_>| Ok(OperatorSetIdProto { domain: t.text(opset::DOMAIN)?, version: t.i64(opset::VERSION)? });
    let entry = |t: Table<'a, '_>| Ok(StringStringEntryProto { key: t.text(entry::KEY)?, value: t.text(entry::VALUE)? });
    Ok(ModelProto {
        ir_version: t.i64(model::IR_VERSION)?,
        opset_import: t.tables(model::OPSETS, "OperatorSetId", opset)?,
        producer_name: t.text(model::PRODUCER_NAME)?,
        producer_version: t.text(model::PRODUCER_VERSION)?,
        domain: t.text(model::DOMAIN)?,
        model_version: Some(t.i64(model::MODEL_VERSION)?.unwrap_or(0)),
        doc_string: t.text(model::DOC)?,
        metadata_props: t.tables(model::METADATA, "StringStringEntry", entry)?,
        graph: Some(Box::new(graph)),
        ..Default::default()
    })
}

fn read_graph<'a>(t: Table<'a, '_>) -> Result<GraphProto<'a>> {
    let values = t.tables(graph::VALUES, "ValueInfo", read_value)?;
    let mut by_name: HashMap<Cow<'a, str>, ValueInfoProto<'a>> = HashMap::with_capacity(values.len());
    for value in values {
        by_name.insert(value.name.clone().into_cow(), value);
    }
    let ports = |slot: usize| -> Result<Vec<ValueInfoProto<'a>>> {
        let described = |name: Text<'a>| match by_name.get(name.as_str()) {
            Some(value) => Ok(value.clone()),
            None => Err(t.fault(format_args!("'{name}' is an input or output without a description"))),
        };
        t.texts(slot)?.into_iter().map(described).collect()
    };
    let (input, output) = (ports(graph::INPUTS)?, ports(graph::OUTPUTS)?);
    Ok(GraphProto {
        initializer: t.tables(graph::INITIALIZERS, "Tensor", read_tensor)?,
        sparse_initializer: t.tables(graph::SPARSE, "SparseTensor", read_sparse)?,
        node: t.tables(graph::NODES, "Node", read_node)?,
        input,
        output,
        ..Default::default()
    })
}

fn read_node<'a>(t: Table<'a, '_>) -> Result<NodeProto<'a>> {
    let node = NodeProto {
        name: t.text(node::NAME)?,
        doc_string: t.text(node::DOC)?,
        domain: t.text(node::DOMAIN)?,
        op_type: t.text(node::OP_TYPE)?,
        input: t.texts(node::INPUTS)?,
        output: t.texts(node::OUTPUTS)?,
        attribute: t.tables(node::ATTRIBUTES, "Attribute", read_attribute)?,
        ..Default::default()
    };
    t.charge(size_of::<StringStringEntryProto<'_>>())?;
    Ok(node.with_since_version(t.i32(node::SINCE)?))
}

fn read_attribute<'a>(t: Table<'a, '_>) -> Result<AttributeProto<'a>> {
    let boxed = |slot: usize| Ok(t.table(slot, "Tensor")?.map(read_tensor).transpose()?.map(Box::new));
    let graph = t.table(attribute::G, "Graph")?.map(read_graph).transpose()?;
    let kind = t.i32(attribute::TYPE)?;
    Ok(AttributeProto {
        name: t.text(attribute::NAME)?,
        doc_string: t.text(attribute::DOC)?,
        r#type: Some(kind),
        f: (kind == 1).then(|| t.f32(attribute::F)).transpose()?,
        i: (kind == 2).then(|| t.i64(attribute::I)).transpose()?.map(Option::unwrap_or_default),
        s: t.bytes(attribute::S)?.map(Cow::Borrowed),
        t: boxed(attribute::T)?,
        g: graph.map(Box::new),
        floats: t.f32s(attribute::FLOATS)?,
        ints: t.i64s(attribute::INTS)?,
        strings: t.strings(attribute::STRINGS)?.into_iter().map(Cow::Borrowed).collect(),
        tensors: t.tables(attribute::TENSORS, "Tensor", read_tensor)?,
        graphs: t.tables(attribute::GRAPHS, "Graph", read_graph)?,
        ..Default::default()
    })
}

fn read_tensor<'a>(t: Table<'a, '_>) -> Result<TensorProto<'a>> {
    let name = t.text(tensor::NAME)?;
    let external = t.i64(tensor::EXTERNAL_OFFSET)?.is_some_and(|offset| offset >= 0);
    ensure!(!external, NotImplemented, "tensor '{name}' has its data in the file of a training checkpoint");
    let strings = t.strings(tensor::STRINGS)?;
    t.charge(strings.len() * size_of::<Cow<'_, [u8]>>())?;
    Ok(TensorProto {
        name,
        doc_string: t.text(tensor::DOC)?,
        dims: t.i64s(tensor::DIMS)?,
        data_type: Some(t.i32(tensor::DATA_TYPE)?),
        raw_data: t.bytes(tensor::RAW)?.map(Cow::Borrowed),
        string_data: strings.into_iter().map(Cow::Borrowed).collect(),
        ..Default::default()
    })
}

fn read_sparse<'a>(t: Table<'a, '_>) -> Result<SparseTensorProto<'a>> {
    let part = |slot: usize| t.table(slot, "Tensor")?.map(read_tensor).transpose();
    let indices = part(sparse::INDICES)?.map(|indices| widen(t, indices)).transpose()?;
    Ok(SparseTensorProto { values: part(sparse::VALUES)?.map(Box::new), indices: indices.map(Box::new), dims: t.i64s(sparse::DIMS)? })
}

/// Indices as ONNX has them, of 64 bits: ONNX Runtime writes those that fit in fewer.
fn widen<'a>(t: Table<'a, '_>, indices: TensorProto<'a>) -> Result<TensorProto<'a>> {
    let raw = indices.raw_data.as_deref().unwrap_or_default();
    let width = match indices.dtype()? {
        DType::I8 => 1,
        DType::I16 => 2,
        DType::I32 => 4,
        _ => return Ok(indices),
    };
    t.charge(raw.len() / width * 8)?;
    let wide = |number: &[u8]| {
        // The number, its sign extended.
        let mut bytes = [if number.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
        bytes[..width].copy_from_slice(number);
        bytes
    };
    let raw_data = Some(Cow::Owned(raw.chunks_exact(width).flat_map(wide).collect()));
    Ok(TensorProto { raw_data, data_type: Some(DType::I64 as i32), ..indices })
}

fn read_value<'a>(t: Table<'a, '_>) -> Result<ValueInfoProto<'a>> {
    let r#type = t.table(value::TYPE, "TypeInfo")?.map(read_type).transpose()?.map(Box::new);
    Ok(ValueInfoProto { name: t.text(value::NAME)?, doc_string: t.text(value::DOC)?, r#type, ..Default::default() })
}

fn read_type<'a>(t: Table<'a, '_>) -> Result<TypeProto<'a>> {
    let member = |name| t.table(ty::VALUE, name)?.ok_or_else(|| t.fault("a type says nothing"));
    let inner = |t: Table<'a, '_>, slot: usize| -> Result<Option<Box<TypeProto<'a>>>> {
        t.charge(size_of::<TypeProto<'_>>())?;
        Ok(t.table(slot, "TypeInfo")?.map(read_type).transpose()?.map(Box::new))
    };
    let value = match t.u8(ty::KIND)? {
        kind::TENSOR => {
            let tensor = member("TensorTypeAndShape")?;
            let shape = tensor.table(tensor_type::SHAPE, "Shape")?.map(read_shape).transpose()?;
            TypeValue::Tensor(TensorType { elem_type: Some(tensor.i32(tensor_type::ELEMENT)?), shape })
        }
        kind::SEQUENCE => TypeValue::Sequence(SequenceType { elem_type: inner(member("SequenceType")?, sequence_type::ELEMENT)? }),
        kind::MAP => {
            let map = member("MapType")?;
            TypeValue::Map(MapType { key_type: Some(map.i32(map_type::KEY)?), value_type: inner(map, map_type::VALUE)? })
        }
        other => bail!(Fail, "{}", t.fault(format_args!("a type of kind {other}, which does not exist")).detail()),
    };
    Ok(TypeProto { denotation: t.text(ty::DENOTATION)?, value: Some(value) })
}

fn read_shape<'a>(t: Table<'a, '_>) -> Result<TensorShapeProto<'a>> {
    let dim = |t: Table<'a, '_>| {
        let value = match t.table(dim::VALUE, "DimensionValue")? {
            Some(v) => match v.u8(dim_value::KIND)? {
                size::KNOWN => Some(DimensionValue::Value(v.i64(dim_value::SIZE)?.unwrap_or(0))),
                size::NAMED => Some(DimensionValue::Param(v.text(dim_value::NAME)?)),
                _ => None,
            },
            None => None,
        };
        Ok(Dimension { denotation: t.text(dim::DENOTATION)?, value })
    };
    Ok(TensorShapeProto { dim: t.tables(shape::DIMS, "Dimension", dim)? })
}

/// The entry of `metadata_props` that holds the version of a node's operator.
const SINCE: &str = "ai.ort_rs.since_version";

impl<'a> NodeProto<'a> {
    /// The opset version since which the operator is as the node means it, if the model says that of each node: the ORT format does.
    ///
    /// # Errors
    /// `InvalidGraph` if what it says is no number.
    pub fn since_version(&self) -> Result<Option<u32>> {
        let said = self.metadata_props.iter().find(|p| p.key == SINCE);
        let number = |p: &StringStringEntryProto<'_>| {
            p.value
                .parse()
                .map_err(|_| error!(InvalidGraph, "node '{}' is of operator version '{}', which is no number", self.name, p.value))
        };
        said.map(number).transpose()
    }

    fn with_since_version(mut self, version: i32) -> Self {
        self.metadata_props = vec![StringStringEntryProto::new(SINCE, version.to_string())];
        self
    }
}
