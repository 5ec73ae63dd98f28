//! The ORT format: a model as ONNX Runtime's FlatBuffers file (`ort.fbs`), read into and written from the messages of ONNX.
//!
//! A file holds the graph as it was optimized, with the type of every value, the operator version of every node, and, for kernels that
//! are found without operator definitions, which arguments have which type (`KernelTypeStrResolver`). Records of optimizations that
//! ONNX Runtime would make when it loads the file are left unread: our own passes see the graph anyway.

mod kernel_types;
mod read;
mod schema;
mod write;

#[cfg(test)]
mod tests;

pub use kernel_types::{OrtOperator, OrtParameter};
pub use read::{decode_ort, is_ort};
pub use write::encode_ort;

/// The format version that is written; ONNX Runtime reads it since 1.15.
const VERSION: &str = "6";
/// The file identifier.
const IDENTIFIER: &[u8; 4] = b"ORTM";
