//! Element-wise operators on CUDA devices. A kernel is named after the operator and the type of input 0: `unary_Exp_f32`.

use base::{Result, Shape};
use op::cuda::{Axes, Cuda, CudaClaim, CudaKernel, suffix};

use super::{Binary, Unary};

impl CudaKernel for Unary {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.needs(&format!("unary_{}_{}", cx.node.key.name, suffix(cx.dtype(0)?)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let x = cx.dense(0)?;
        let y = cx.output_of(0, x.shape())?;
        let kernel = format!("unary_{}_{}", cx.op(), suffix(x.dtype()));
        let [a, b] = self.parameters;
        // SAFETY: both tensors have as many elements; `unary.cu` declares these arguments.
        unsafe { cx.for_each(&kernel, x.len(), (x.address() as u64, y.address() as u64, x.len() as u64, a, b)) }
    }
}

impl CudaKernel for Binary {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        cx.ranks_fit()?;
        cx.needs(&format!("binary_{}_{}", cx.node.key.name, suffix(cx.dtype(0)?)))
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let (a, b) = (cx.dense(0)?, cx.dense(1)?);
        let (placed, shape) = self.align.shapes(&Shape::from(a.shape()), &Shape::from(b.shape()))?;
        let y = cx.output_of(0, &shape)?;
        let axes = Axes::broadcast(&shape, [a.shape(), &placed])?;
        let kernel = format!("binary_{}_{}", cx.op(), suffix(a.dtype()));
        let (n, addresses) = (y.len(), (a.address() as u64, b.address() as u64, y.address() as u64));
        // SAFETY: the axes stay inside of both inputs, which have one type, and of the output; `binary.cu` declares these arguments.
        unsafe { cx.for_each(&kernel, n, (axes, addresses.0, addresses.1, addresses.2, n as u64)) }
    }
}
