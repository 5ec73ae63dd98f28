//! Reductions on CUDA devices.

use base::{Result, Shape, dense_strides};
use op::cuda::{Axes, Cuda, CudaClaim, CudaKernel, suffix};
use smallvec::SmallVec;

use super::operator::ReduceOp;

/// Threads of a block, and of a warp.
const THREADS: u32 = 256;
const WARP: u32 = 32;
/// So many results keep a device busy if each is made by one thread.
const MANY: usize = 1 << 16;

/// How many threads make one of `results` elements out of `count`; `apart` says that neighbours of the result are neighbours in the input,
/// which threads of one warp then read together.
fn threads(results: usize, count: usize, apart: bool) -> u32 {
    let by_warp = count <= 512 || (count <= 8192 && results >= MANY / 8);
    if count <= 4 || (apart && (results >= MANY || count <= WARP as usize)) {
        1
    } else if by_warp {
        WARP
    } else {
        THREADS
    }
}

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
        let ((kept, results), (gone, count)) = (axes(false)?, axes(true)?);
        let apart = x.rank().checked_sub(1).is_some_and(|last| !reduced(last));
        let threads = threads(results, count, apart);
        let blocks = (results * threads as usize).div_ceil(THREADS as usize);
        let kernel = format!("reduce_{}_{}", cx.op(), suffix(x.dtype()));
        let addresses = (x.address() as u64, y.address() as u64);
        // SAFETY: the axes together are those of the input, those kept have as many indices as the output; `reduce.cu` declares these
        // arguments.
        unsafe { cx.launch(&kernel, blocks, THREADS, (kept, gone, addresses.0, addresses.1, results as u64, count as u64, threads)) }
    }
}
