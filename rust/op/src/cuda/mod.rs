//! Kernels of CUDA devices: what an operator states of them, and what they see while they are launched.

mod axes;
mod claim;
mod context;
mod fault;
mod rows;
mod swap;
mod tools;

pub use ::cuda::{Argument, Gemm, GemmOperand, GemmType, memory_name};
pub use axes::{Axes, MAX_RANK, joined_row};
pub use claim::{CudaClaim, suffix};
pub use context::{Cuda, blocks_for};
pub use fault::{Faults, Report};
pub use rows::Rows;
pub use tools::Tools;

/// An operator with kernels for CUDA devices. Their names and arguments are those of `kernels_cuda`.
pub trait CudaKernel: Send + Sync {
    /// Which kernel it is: the path of its type.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }

    /// Whether the device can run the node; if not, why.
    ///
    /// # Errors
    /// The reason, for whoever asks why a node runs elsewhere.
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String>;

    /// Starts what computes the outputs. Nothing is waited for.
    ///
    /// # Errors
    /// `InvalidArgument` when the inputs cannot be, and what the driver says.
    fn launch(&self, cx: &mut Cuda<'_, '_>) -> base::Result<()>;
}
