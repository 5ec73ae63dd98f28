//! ONNX protobuf and the ORT format, read and written.
//!
//! A message is a plain struct whose members are named as in `onnx-ml.proto` and borrow from the bytes it was read from:
//! texts, `raw_data` and packed arrays are not copied. The same structs, built by hand, are written with [`Message::encode`]
//! or [`write_model`]. Fields that no struct has are skipped.
//!
//! Reading never panics, and its memory and depth are bounded by [`Limits`].
//!
//! ```
//! use proto::{Message, ModelProto, OperatorSetIdProto};
//!
//! let model = ModelProto {
//!     ir_version: Some(10),
//!     opset_import: vec![OperatorSetIdProto { version: Some(21), ..Default::default() }],
//!     producer_name: "example".into(),
//!     ..Default::default()
//! };
//! let bytes = model.encode();
//! assert_eq!(ModelProto::decode(&bytes)?, model);
//! # Ok::<(), base::Error>(())
//! ```

#![forbid(unsafe_code)]

mod adapter;
mod array;
mod attribute;
mod external;
mod field;
mod flat;
mod function;
mod graph;
mod limits;
mod message;
mod model;
mod node;
mod ort;
mod reader;
mod sharding;
mod tensor;
mod tensor_data;
mod text;
mod types;
mod wire;
mod write;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile;

pub use adapter::Adapter;
pub use array::{Array, Iter, Scalar};
pub use attribute::{AttributeProto, AttributeType};
pub use external::{DataRange, ExternalData, ModelFolder};
pub use function::FunctionProto;
pub use graph::{GraphProto, TensorAnnotation, ValueInfoProto};
pub use limits::Limits;
pub use message::Message;
pub use model::{DeviceConfigurationProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TrainingInfoProto};
pub use node::NodeProto;
pub use ort::{OrtOperator, OrtParameter, decode_ort, encode_ort, is_ort};
pub use reader::Reader;
pub use sharding::{
    IntIntListEntryProto, NodeDeviceConfigurationProto, ShardedDimProto, ShardedDimValue, ShardingSpecProto, SimpleShardedDimProto,
};
pub use tensor::{DataLocation, MAX_RANK, Segment, SparseTensorProto, TensorProto};
pub use tensor_data::TensorData;
pub use text::Text;
pub use types::{
    Dimension, DimensionValue, MapType, OpaqueType, OptionalType, SequenceType, SparseTensorType, TensorShapeProto, TensorType, TypeProto,
    TypeValue,
};
pub use wire::Sink;
pub use write::{ExternalPolicy, write_file, write_model};
