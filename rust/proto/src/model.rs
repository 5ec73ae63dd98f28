//! The model and what it says of itself.

use crate::function::FunctionProto;
use crate::graph::GraphProto;
use crate::message::message;
use crate::text::Text;

message! {
    /// A model: a graph, the operator sets and functions its nodes are from, and metadata.
    pub struct ModelProto<'a> {
        ir_version: Option<i64> = 1,
        producer_name: Text<'a> = 2,
        producer_version: Text<'a> = 3,
        domain: Text<'a> = 4,
        model_version: Option<i64> = 5,
        doc_string: Text<'a> = 6,
        graph: Option<Box<GraphProto<'a>>> = 7,
        opset_import: Vec<OperatorSetIdProto<'a>> = 8,
        metadata_props: Vec<StringStringEntryProto<'a>> = 14,
        training_info: Vec<TrainingInfoProto<'a>> = 20,
        /// Functions local to the model.
        functions: Vec<FunctionProto<'a>> = 25,
        configuration: Vec<DeviceConfigurationProto<'a>> = 26,
    }
}

message! {
    /// The version of a domain's operator set; the empty domain is `ai.onnx`.
    pub struct OperatorSetIdProto<'a> {
        domain: Text<'a> = 1,
        version: Option<i64> = 2,
    }
}

message! {
    /// A key and its value.
    pub struct StringStringEntryProto<'a> {
        key: Text<'a> = 1,
        value: Text<'a> = 2,
    }
}

message! {
    /// How a model is trained: graphs for initialization and for one step, and which initializers their outputs set.
    pub struct TrainingInfoProto<'a> {
        initialization: Option<Box<GraphProto<'a>>> = 1,
        algorithm: Option<Box<GraphProto<'a>>> = 2,
        initialization_binding: Vec<StringStringEntryProto<'a>> = 3,
        update_binding: Vec<StringStringEntryProto<'a>> = 4,
    }
}

message! {
    /// A named set of devices that nodes may be spread over.
    pub struct DeviceConfigurationProto<'a> {
        name: Text<'a> = 1,
        num_devices: Option<i32> = 2,
        device: Vec<Text<'a>> = 3,
    }
}

impl<'a> StringStringEntryProto<'a> {
    /// The entry of `key` and `value`.
    pub fn new(key: impl Into<Text<'a>>, value: impl Into<Text<'a>>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}
