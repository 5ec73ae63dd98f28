//! Cast on CUDA devices.

use base::Result;
use op::cuda::{Cuda, CudaClaim, CudaKernel, suffix};

use super::Cast;

impl CudaKernel for Cast {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.needs(&format!("cast_{}_{}", suffix(cx.dtype(0)?), suffix(self.to)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let x = cx.dense(0)?;
        let y = cx.output_of(0, x.shape())?;
        let kernel = format!("cast_{}_{}", suffix(x.dtype()), suffix(self.to));
        // SAFETY: both tensors have as many elements; `cast.cu` declares these arguments.
        unsafe { cx.for_each(&kernel, x.len(), (x.address() as u64, y.address() as u64, x.len() as u64)) }
    }
}
