//! Graphs and the values that enter and leave them.

use crate::message::message;
use crate::model::StringStringEntryProto;
use crate::node::NodeProto;
use crate::tensor::{SparseTensorProto, TensorProto};
use crate::text::Text;
use crate::types::TypeProto;

message! {
    /// Nodes in topological order, the constants they read, and the graph's inputs and outputs.
    pub struct GraphProto<'a> {
        node: Vec<NodeProto<'a>> = 1,
        name: Text<'a> = 2,
        initializer: Vec<TensorProto<'a>> = 5,
        doc_string: Text<'a> = 10,
        input: Vec<ValueInfoProto<'a>> = 11,
        output: Vec<ValueInfoProto<'a>> = 12,
        /// Types of values in between, where the exporter knew them.
        value_info: Vec<ValueInfoProto<'a>> = 13,
        quantization_annotation: Vec<TensorAnnotation<'a>> = 14,
        /// Constants that carry the name of their `values`.
        sparse_initializer: Vec<SparseTensorProto<'a>> = 15,
        metadata_props: Vec<StringStringEntryProto<'a>> = 16,
    }
}

message! {
    /// The name and type of a value.
    pub struct ValueInfoProto<'a> {
        name: Text<'a> = 1,
        r#type: Option<Box<TypeProto<'a>>> = 2,
        doc_string: Text<'a> = 3,
        metadata_props: Vec<StringStringEntryProto<'a>> = 4,
    }
}

message! {
    /// The tensors that hold the scale and zero point of a quantized one.
    pub struct TensorAnnotation<'a> {
        tensor_name: Text<'a> = 1,
        quant_parameter_tensor_names: Vec<StringStringEntryProto<'a>> = 2,
    }
}
