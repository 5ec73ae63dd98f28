//! `CUDAExecutionProvider`: the kernels as PTX, and who runs them.
#![allow(missing_docs)]
pub static KERNELS: cuda::Kernels = cuda::Kernels(include!(concat!(env!("OUT_DIR"), "/kernels.rs")));
