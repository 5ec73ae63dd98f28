//! Moving elements on CUDA devices.

use base::{Result, TensorMut, TensorRef, ensure, error};
use op::cuda::{Cuda, CudaClaim};
use smallvec::SmallVec;

use super::Region;
use super::output::inside;

/// Fails unless kernels can move the elements of input 0, of as many axes.
///
/// # Errors
/// Why they cannot.
pub(crate) fn movable(cx: &CudaClaim<'_>) -> std::result::Result<(), String> {
    cx.ranks_fit()?;
    cx.needs(&format!("copy_{}", cx.element_size(0)?))
}

/// Copies the elements `source` of `input` to `target`, a region of `output` with the same sizes.
///
/// # Errors
/// `Fail` when sizes differ, or a region lies outside of its tensor.
pub(crate) fn copy(cx: &Cuda<'_, '_>, input: &TensorRef<'_>, source: &Region, output: &TensorMut<'_>, target: &Region) -> Result<()> {
    ensure!(source.dims() == target.dims(), Fail, "{} cannot be copied to {}", source.dims(), target.dims());
    if source.len() == 0 {
        return Ok(());
    }
    inside(source, &Region::of(input)?)?;
    inside(target, &Region::of_output(output)?)?;
    let size = input.dtype().size().filter(|_| input.dtype() == output.dtype());
    let size = size.ok_or_else(|| error!(Fail, "{} cannot be copied to {}", input.dtype(), output.dtype()))?;
    let strides = |region: &Region| region.axes().iter().map(|a| a.by[0]).collect::<SmallVec<[isize; 8]>>();
    let start = |address: u64, region: &Region| address.wrapping_add_signed(region.offset() as i64 * size as i64);
    let from = start(input.address() as u64, source);
    let to = start(output.address() as u64, target);
    // SAFETY: both regions lie inside of their tensors.
    unsafe { cx.copy(size, &source.dims(), (from, &strides(source)), (to, &strides(target))) }
}
