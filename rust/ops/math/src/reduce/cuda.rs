//! Reductions on CUDA devices: one block for each element of the result.

use base::{Result, Shape, dense_strides};
use op::cuda::{Axes, Cuda, CudaClaim, CudaKernel, suffix};
use smallvec::SmallVec;

use super::operator::ReduceOp;

/// Threads of a block.
const THREADS: u32 = 256;

impl CudaKernel for ReduceOp {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.ranks_fit()?;
        cx.needs(&format!("reduce_{}_{}", cx.node.key.name, suffix(cx.dtype(0)?)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let given = cx.host().optional(1)?.map(|axes| axes.ints()).transpose()?;
        let x = cx.dense(0)?;
        let (dims, reduced) = self.reduction(x.shape(), given.as_deref())?;
        let y = cx.output_of(0, &dims)?;
        let strides = dense_strides(x.shape());
        let axes = |wanted: bool| {
            let chosen = |i: &usize| reduced(*i) == wanted;
            let dims: Shape = (0..x.rank()).filter(chosen).map(|i| x.shape()[i]).collect();
            let strides: SmallVec<[isize; 6]> = (0..x.rank()).filter(chosen).map(|i| strides[i]).collect();
            Axes::<1>::new(&dims, [&strides]).map(|axes| (axes, dims.iter().product::<usize>()))
        };
        let ((kept, _), (gone, count)) = (axes(false)?, axes(true)?);
        let kernel = format!("reduce_{}_{}", cx.op(), suffix(x.dtype()));
        let addresses = (x.address() as u64, y.address() as u64);
        // SAFETY: the axes together are those of the input, those kept have as many indices as the output; `reduce.cu` declares these
        // arguments.
        unsafe { cx.launch(&kernel, y.len(), THREADS, (kept, gone, addresses.0, addresses.1, count as u64)) }
    }
}
