//! Reading inputs of one element.

use base::minifloat::Format;
use base::{DType, Result, TensorRef, bail, ensure};
use half::{bf16, f16};

/// The one element of a tensor of `int32` or `int64`.
///
/// # Errors
/// `InvalidArgument` when there are more or none, `Fail` when the type is another.
pub(crate) fn int(tensor: TensorRef<'_>) -> Result<i64> {
    match tensor.dtype() {
        DType::I32 => tensor.scalar::<i32>().map(i64::from),
        _ => tensor.scalar(),
    }
}

/// The one element of a tensor of floats of any width.
///
/// # Errors
/// `InvalidArgument` when there are more or none, `Fail` when the elements are no floats.
pub(crate) fn float(tensor: TensorRef<'_>) -> Result<f64> {
    Ok(match tensor.dtype() {
        DType::F32 => tensor.scalar::<f32>()?.into(),
        DType::F16 => tensor.scalar::<f16>()?.to_f64(),
        DType::BF16 => tensor.scalar::<bf16>()?.to_f64(),
        DType::F64 => tensor.scalar()?,
        dtype => {
            let Some(format) = Format::of(dtype) else { bail!(Fail, "a float is needed, not {dtype}") };
            ensure!(tensor.len() == 1, InvalidArgument, "one element is needed, not shape {:?}", tensor.shape());
            format.decode(tensor.bytes()?[0]).into()
        }
    })
}
