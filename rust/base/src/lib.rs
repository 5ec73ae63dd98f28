//! Values of ort_rs: element types, shapes, buffers, tensors, errors, threads. It knows nothing of graphs.

mod buffer;
pub mod copy;
pub mod dtype;
mod error;
pub mod file;
pub mod knobs;
mod layout;
mod memory;
pub mod minifloat;
pub mod packed;
mod room;
mod shape;
mod sparse;
mod stored;
mod strings;
mod tensor;
pub mod threads;
mod value;
mod view;

pub use buffer::{ALIGNMENT, Buffer, Foreign, Heap};
pub use dtype::{DType, Element};
pub use error::{Cause, Error, ErrorKind, Result};
pub use layout::{Layout, Strides, dense_strides};
pub use memory::{DeviceBuffer, Memory};
pub use room::ensure_room;
pub use shape::{Shape, axis_index, broadcast};
pub use sparse::{Places, SparseTensor};
pub use stored::Stored;
pub use strings::Strings;
pub use tensor::{Tensor, check_bools};
pub use value::{Map, Optional, Sequence, Type, Value};
pub use view::{TensorMut, TensorRef, View, ViewMut};
