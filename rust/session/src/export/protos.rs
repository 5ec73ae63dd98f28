//! Graphs as messages.

use base::{Places, Result, SparseTensor, Tensor, Type, bail};
use exec::Operators;
use ir::{Attribute, Dims, Fact, Facts, Graph, Node, ValueId};
use proto::{
    AttributeProto, Dimension, DimensionValue, GraphProto, MapType, NodeProto, OptionalType, SequenceType, SparseTensorProto,
    SparseTensorType, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};

use super::inside;
use super::names::Names;

/// The message that `graph` is, whose values have `facts` and are called `names`.
///
/// # Errors
/// What operators say of their inputs; `NotImplemented` for what model files cannot hold.
pub(super) fn graph<'g>(graph: &'g Graph, facts: &Facts, names: &Names, oracle: &Operators) -> Result<GraphProto<'g>> {
    let info = |v: &ValueId| ValueInfoProto {
        name: names.of(Some(*v)),
        r#type: facts.get(*v).map(|f| Box::new(fact_type(f, facts))),
        ..Default::default()
    };
    let mut initializers = Vec::new();
    for (id, value) in graph.values() {
        let read = !graph.uses(id).is_empty() || graph.is_output(id) || graph.inputs.contains(&id);
        if let (Some(constant), true) = (&value.constant, read) {
            initializers.push(TensorProto { name: names.of(Some(id)), ..tensor(constant.tensor()?)? });
        }
    }
    let writing = Writing { facts, names, oracle };
    let nodes = graph.order()?.into_iter().map(|id| writing.node(graph.node(id), names.of_node(id))).collect::<Result<_>>()?;
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

/// What the nodes of a graph are written with.
struct Writing<'w> {
    facts: &'w Facts,
    names: &'w Names,
    oracle: &'w Operators,
}

impl Writing<'_> {
    fn node<'g>(&self, node: &'g Node, name: &str) -> Result<NodeProto<'g>> {
        let mut attributes = node.attributes.iter().map(|(name, a)| attribute(name, a)).collect::<Result<Vec<_>>>()?;
        for (sub, facts) in node.subgraphs.iter().zip(inside::facts(node, self.facts, self.oracle)?) {
            let inner = graph(&sub.graph, &facts, &self.names.within(sub), self.oracle)?;
            let name = sub.attribute.as_str().into();
            attributes.push(AttributeProto { name, g: Some(Box::new(inner)), r#type: Some(5), ..Default::default() });
        }
        Ok(NodeProto {
            op_type: (&*node.key.name).into(),
            domain: (&*node.key.domain).into(),
            name: name.to_owned().into(),
            input: node.inputs.iter().map(|v| self.names.of(*v)).collect(),
            output: node.outputs.iter().map(|v| self.names.of(*v)).collect(),
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
