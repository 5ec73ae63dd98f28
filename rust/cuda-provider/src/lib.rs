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

/// Whether there are kernels: they are built where there is a compiler for them.
pub fn has_kernels() -> bool {
    !KERNELS.0.is_empty()
}

/// The kernels that this crate was built with.
static KERNELS: cuda::Kernels = cuda::Kernels(include!(concat!(env!("OUT_DIR"), "/kernels.rs")));
