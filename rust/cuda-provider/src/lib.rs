//! `CUDAExecutionProvider`: the kernels as PTX, and who runs them.

mod factory;
mod kernel;
mod options;
mod provider;

pub use factory::CudaFactory;
pub use options::CudaOptions;
pub use provider::CudaProvider;

/// The name that sessions ask for.
pub const NAME: &str = "CUDAExecutionProvider";

/// The kernels that this crate was built with.
static KERNELS: cuda::Kernels = cuda::Kernels(include!(concat!(env!("OUT_DIR"), "/kernels.rs")));
