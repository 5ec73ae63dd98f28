//! An inference runtime for ONNX models.
//!
//! ```
//! use ort_rs::{RunOptions, Session, Source, Tensor};
//!
//! # fn model() -> Vec<u8> {
//! #     use proto::*;
//! #     let float = || Some(Box::new(TypeProto {
//! #         value: Some(TypeValue::Tensor(TensorType { elem_type: Some(1), shape: None })),
//! #         ..Default::default()
//! #     }));
//! #     let value = |name: &'static str| ValueInfoProto { name: name.into(), r#type: float(), ..Default::default() };
//! #     let node = NodeProto {
//! #         op_type: "Gather".into(),
//! #         input: vec!["x".into(), "i".into()],
//! #         output: vec!["y".into()],
//! #         ..Default::default()
//! #     };
//! #     let index = TensorProto { name: "i".into(), data_type: Some(7), int64_data: vec![1].into(), ..Default::default() };
//! #     let graph = GraphProto {
//! #         node: vec![node],
//! #         input: vec![value("x")],
//! #         output: vec![value("y")],
//! #         initializer: vec![index],
//! #         ..Default::default()
//! #     };
//! #     let opset = OperatorSetIdProto { version: Some(21), ..Default::default() };
//! #     ModelProto { ir_version: Some(10), graph: Some(Box::new(graph)), opset_import: vec![opset], ..Default::default() }.encode()
//! # }
//! let environment = ort_rs::environment()?;
//! let session = Session::load(&environment, Source::Bytes(&model()), Default::default())?;
//! let x = Tensor::from_slice([3], &[1f32, 2.0, 3.0])?;
//! let outputs = session.run(&[("x", x.into())], &[], &RunOptions::default())?;
//! assert_eq!(outputs[0].tensor()?.slice::<f32>()?, [2.0]);
//! # Ok::<(), ort_rs::Error>(())
//! ```

pub use base::{
    Buffer, DType, Element, Error, ErrorKind, Foreign, Layout, Map, Memory, Optional, Places, Result, Sequence, Shape, SparseTensor,
    Strings, Tensor, Type, Value,
};
pub use base::{check_bools, knobs, packed, threads};
pub use op::{OpDef, Provider, Registry};
pub use session::{
    Destination, Environment, Given, Level, Metadata, Node, Observer, Options, Placement, Port, PortDim, Ran, RunOptions, Seen, Session,
    Source,
};

/// Every operator that is built in.
pub fn operators() -> impl Iterator<Item = &'static OpDef> {
    [ops_math::OPS, ops_tensor::OPS, ops_nn::OPS, ops_media::OPS, ops_misc::OPS].into_iter().flatten().copied()
}

/// The environment with every operator that is built in, and the CPU.
///
/// # Errors
/// `Fail` when two operators have one name.
pub fn environment() -> Result<Environment> {
    Ok(Environment::new(Registry::new(operators())?)?.with_block(ops_nn::channel_block()))
}
