//! An inference runtime for ONNX models.
//!
//! ```
//! use ort_rs::{Session, inputs};
//!
//! # let path = "examples/digits/digits.onnx";
//! let session = Session::builder().threads(2).from_file(path)?;
//! let image = [0f32; 64];
//! let outputs = session.run(inputs!["images" => ([1, 1, 8, 8], &image)])?;
//! let (shape, probabilities) = outputs["probabilities"].elements::<f32>()?;
//! assert_eq!(shape, [1, 10]);
//! assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-5);
//! # Ok::<(), ort_rs::Error>(())
//! ```
//!
//! A [`Session`] is a model, ready to run from any number of threads at once; [`Session::builder`] says how it is made. Values go in by
//! [`inputs!`] and come out as [`Outputs`]. Whatever fails gives an [`Error`] that names the node, the input, and what was expected.
//!
//! Operators of one's own are written with [`operator`]; [`runtime`] holds the parts that other faces, such as the Python package, are made
//! of. With the feature `cli`, the module `cli` is the command line `ort-rs`.

mod builder;
#[cfg(feature = "cli")]
pub mod cli;
mod doctor;
mod feed;
mod inputs;
pub mod operator;
mod outputs;
pub mod runtime;
mod session;

pub use ::session::{
    BadNode, Explained, Explanation, Level, MemoryUse, Metadata, Observer, Placement, Port, PortDim, RunOptions, Spending, Spent,
    Statistics,
};
pub use base::threads::Cancel;
pub use base::{DType, Element, Error, ErrorKind, Map, Optional, Result, Sequence, Shape, SparseTensor, Strings, Tensor, Type, Value};
pub use builder::Builder;
pub use doctor::{Diagnosis, Section, doctor};
pub use feed::Feed;
pub use inputs::Inputs;
pub use outputs::Outputs;
pub use session::Session;

/// The snippets of the guide, run as tests of documentation.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
}
