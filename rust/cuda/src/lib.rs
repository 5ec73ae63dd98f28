//! CUDA devices: the driver found at run time, streams and events, memory with a limit, modules of kernels, cuBLASLt.
//!
//! Nothing of CUDA is linked. [`probe`] looks for the driver once and says by name why there is none; whatever else is here needs its
//! answer. Functions of the driver and of CUDA's libraries are called through tables whose entries were all found before the first call.

mod arguments;
mod blas;
mod commons;
mod device;
mod driver;
mod error;
mod event;
mod lent;
mod library;
mod memory;
mod modules;
mod pinned;
mod pool;
mod probe;
mod staging;
mod stream;

pub use arguments::{Argument, Arguments};
pub use blas::{Blas, Gemm, GemmForm, GemmOperand, GemmType, look_in};
pub use commons::{Commons, only_booleans};
pub use device::{Capability, Device};
pub use event::Event;
pub use lent::Lent;
pub use memory::{device_of, memory_name, memory_of};
pub use modules::{Image, Kernels, Modules, Ptx};
pub use pinned::Pinned;
pub use pool::{Extend, Pool};
pub use probe::{Absent, Found, probe};
pub use staging::Staging;
pub use stream::{Function, Stream};
