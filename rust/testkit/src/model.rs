//! Building small models by calls.

use base::{DType, Tensor, Type};
use proto::{
    AttributeProto, Dimension, DimensionValue, FunctionProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, OptionalType,
    SequenceType, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};

/// A graph being built; calls add to its end.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    graph: GraphProto<'static>,
    opsets: Vec<(String, i64)>,
    functions: Vec<FunctionProto<'static>>,
}

/// An empty graph whose nodes are of opset `opset` of `ai.onnx`.
pub fn model(opset: i64) -> Builder {
    Builder {
        graph: GraphProto { name: "graph".into(), ..Default::default() },
        opsets: vec![(String::new(), opset)],
        functions: Vec::new(),
    }
}

/// An empty graph for an attribute of a node.
pub fn graph() -> Builder {
    model(0)
}

impl Builder {
    /// With an import of another operator set.
    pub fn opset(mut self, domain: &str, version: i64) -> Self {
        self.opsets.push((domain.to_owned(), version));
        self
    }

    /// With an input of `dtype`; each size is a number, a name, or `?`.
    pub fn input(self, name: &str, dtype: DType, dims: &[&str]) -> Self {
        let shape = TensorShapeProto { dim: dims.iter().map(|d| dimension(d)).collect() };
        self.typed_input(name, tensor_type(dtype, Some(shape)))
    }

    /// With an input of any type, of whose shape nothing is said.
    pub fn value_input(self, name: &str, ty: &Type) -> Self {
        self.typed_input(name, type_proto(ty))
    }

    fn typed_input(mut self, name: &str, ty: TypeProto<'static>) -> Self {
        self.graph.input.push(ValueInfoProto { name: name.to_owned().into(), r#type: Some(Box::new(ty)), ..Default::default() });
        self
    }

    /// With an output; its type is left to inference.
    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(ValueInfoProto { name: name.to_owned().into(), ..Default::default() });
        self
    }

    /// With a tensor that the model fixes.
    pub fn constant(mut self, name: &str, tensor: &Tensor) -> Self {
        self.graph.initializer.push(TensorProto { name: name.to_owned().into(), ..tensor_proto(tensor) });
        self
    }

    /// With a node of `ai.onnx`; an empty name is an input or output left out.
    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_of("", op, inputs, outputs)
    }

    /// With a node of `domain`.
    pub fn node_of(mut self, domain: &str, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let texts = |names: &[&str]| names.iter().map(|n| (*n).to_owned().into()).collect();
        self.graph.node.push(NodeProto {
            op_type: op.to_owned().into(),
            name: format!("{}_{}", op.to_lowercase(), self.graph.node.len()).into(),
            domain: domain.to_owned().into(),
            input: texts(inputs),
            output: texts(outputs),
            ..Default::default()
        });
        self
    }

    fn attribute(mut self, attribute: AttributeProto<'static>) -> Self {
        self.graph.node.last_mut().expect("an attribute follows its node").attribute.push(attribute);
        self
    }

    /// With an integer attribute of the last node.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(AttributeProto { name: name.to_owned().into(), i: Some(value), r#type: Some(2), ..Default::default() })
    }

    /// With a float attribute of the last node.
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(AttributeProto { name: name.to_owned().into(), f: Some(value), r#type: Some(1), ..Default::default() })
    }

    /// With an attribute of the last node that is a list of integers.
    pub fn ints(self, name: &str, value: &[i64]) -> Self {
        self.attribute(AttributeProto { name: name.to_owned().into(), ints: value.to_vec(), r#type: Some(7), ..Default::default() })
    }

    /// With an attribute of the last node that is a list of floats.
    pub fn floats(self, name: &str, value: &[f32]) -> Self {
        self.attribute(AttributeProto { name: name.to_owned().into(), floats: value.to_vec(), r#type: Some(6), ..Default::default() })
    }

    /// With a string attribute of the last node.
    pub fn string(self, name: &str, value: &str) -> Self {
        let s = Some(value.as_bytes().to_vec().into());
        self.attribute(AttributeProto { name: name.to_owned().into(), s, r#type: Some(3), ..Default::default() })
    }

    /// With an attribute of the last node that is a graph.
    pub fn graph(self, name: &str, graph: Builder) -> Self {
        let g = Some(Box::new(graph.graph));
        self.attribute(AttributeProto { name: name.to_owned().into(), g, r#type: Some(5), ..Default::default() })
    }

    /// With a function of the model: the nodes of `body`, from its inputs to its outputs.
    pub fn function(mut self, domain: &str, name: &str, body: Builder) -> Self {
        let names = |infos: Vec<ValueInfoProto<'static>>| infos.into_iter().map(|i| i.name).collect();
        self.functions.push(FunctionProto {
            name: name.to_owned().into(),
            domain: domain.to_owned().into(),
            input: names(body.graph.input),
            output: names(body.graph.output),
            node: body.graph.node,
            opset_import: opset_imports(&body.opsets),
            ..Default::default()
        });
        self
    }

    /// The model as a message.
    pub fn proto(self) -> ModelProto<'static> {
        ModelProto {
            ir_version: Some(10),
            opset_import: opset_imports(&self.opsets),
            graph: Some(Box::new(self.graph)),
            functions: self.functions,
            ..Default::default()
        }
    }

    /// The bytes of the model.
    pub fn bytes(self) -> Vec<u8> {
        self.proto().encode()
    }
}

fn opset_imports(opsets: &[(String, i64)]) -> Vec<OperatorSetIdProto<'static>> {
    opsets.iter().map(|(d, v)| OperatorSetIdProto { domain: d.clone().into(), version: Some(*v) }).collect()
}

fn dimension(text: &str) -> Dimension<'static> {
    let value = match text.parse() {
        Ok(n) => Some(DimensionValue::Value(n)),
        Err(_) if text == "?" => None,
        Err(_) => Some(DimensionValue::Param(text.to_owned().into())),
    };
    Dimension { value, ..Default::default() }
}

fn tensor_type(dtype: DType, shape: Option<TensorShapeProto<'static>>) -> TypeProto<'static> {
    TypeProto { value: Some(TypeValue::Tensor(TensorType { elem_type: Some(dtype as i32), shape })), ..Default::default() }
}

fn type_proto(ty: &Type) -> TypeProto<'static> {
    let inner = |t: &Type| Some(Box::new(type_proto(t)));
    let value = match ty {
        Type::Tensor(d) => return tensor_type(*d, None),
        Type::Sequence(t) => TypeValue::Sequence(SequenceType { elem_type: inner(t) }),
        Type::Optional(t) => TypeValue::Optional(OptionalType { elem_type: inner(t) }),
        other => panic!("no test needs an input of type {other}"),
    };
    TypeProto { value: Some(value), ..Default::default() }
}

fn tensor_proto(tensor: &Tensor) -> TensorProto<'static> {
    let mut proto = TensorProto {
        data_type: Some(tensor.dtype() as i32),
        dims: tensor.shape().iter().map(|d| *d as i64).collect(),
        ..Default::default()
    };
    match tensor.as_ref().strings() {
        Ok(strings) => proto.string_data = strings.iter().map(|s| s.as_bytes().to_vec().into()).collect(),
        Err(_) => proto.raw_data = Some(tensor.as_ref().bytes().expect("a dense tensor").to_vec().into()),
    }
    proto
}
