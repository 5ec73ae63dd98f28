//! Reading and writing tensors of any number type in double precision.

use base::{DType, Element, Result, TensorMut, TensorRef, bail};
use half::{bf16, f16};

/// The one element of a tensor of `int32` or `int64`.
///
/// # Errors
/// `InvalidArgument` when there are more or none, `Fail` when the type is another.
pub(super) fn int(t: TensorRef<'_>) -> Result<i64> {
    match t.dtype() {
        DType::I32 => t.scalar::<i32>().map(i64::from),
        _ => t.scalar(),
    }
}

/// The one element of a tensor of floats.
///
/// # Errors
/// As [`int`].
pub(super) fn float(t: TensorRef<'_>) -> Result<f64> {
    Ok(match t.dtype() {
        DType::F64 => t.scalar()?,
        DType::F16 => t.scalar::<f16>()?.to_f64(),
        DType::BF16 => t.scalar::<bf16>()?.to_f64(),
        _ => t.scalar::<f32>()?.into(),
    })
}

/// The elements of a dense tensor of floats.
#[derive(Clone, Copy)]
pub(super) enum Floats<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

impl<'a> Floats<'a> {
    pub(super) fn new(t: TensorRef<'a>) -> Result<Self> {
        Ok(match t.dtype() {
            DType::F32 => Self::F32(t.slice()?),
            DType::F64 => Self::F64(t.slice()?),
            DType::F16 => Self::F16(t.slice()?),
            DType::BF16 => Self::BF16(t.slice()?),
            other => bail!(Fail, "a float type is needed, not {other}"),
        })
    }

    /// Element `i`, which is one of them.
    #[inline]
    pub(super) fn get(&self, i: usize) -> f64 {
        match self {
            Self::F32(s) => s[i].into(),
            Self::F64(s) => s[i],
            Self::F16(s) => s[i].to_f64(),
            Self::BF16(s) => s[i].to_f64(),
        }
    }
}

/// A float type that doubles are rounded to.
pub(super) trait Real: Element {
    /// The nearest number to `x`.
    fn nearest(x: f64) -> Self;
}

impl Real for f32 {
    fn nearest(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    fn nearest(x: f64) -> Self {
        x
    }
}

impl Real for f16 {
    fn nearest(x: f64) -> Self {
        f16::from_f64(x)
    }
}

impl Real for bf16 {
    fn nearest(x: f64) -> Self {
        bf16::from_f64(x)
    }
}

/// Fills a tensor of any number type with `value(i)`, rounded to a float or cut to an integer.
///
/// # Errors
/// `NotImplemented` for types that are no numbers.
pub(super) fn fill(out: TensorMut<'_>, value: impl Fn(usize) -> f64) -> Result<()> {
    fn each<T: Element>(out: TensorMut<'_>, value: impl Fn(usize) -> f64, convert: impl Fn(f64) -> T) -> Result<()> {
        out.slice::<T>()?.iter_mut().enumerate().for_each(|(i, out)| *out = convert(value(i)));
        Ok(())
    }
    match out.dtype() {
        DType::F32 => each(out, value, f32::nearest),
        DType::F64 => each(out, value, f64::nearest),
        DType::F16 => each(out, value, f16::nearest),
        DType::BF16 => each(out, value, bf16::nearest),
        DType::I8 => each(out, value, |x| x as i8),
        DType::I16 => each(out, value, |x| x as i16),
        DType::I32 => each(out, value, |x| x as i32),
        DType::I64 => each(out, value, |x| x as i64),
        DType::U8 => each(out, value, |x| x as u8),
        DType::U16 => each(out, value, |x| x as u16),
        DType::U32 => each(out, value, |x| x as u32),
        DType::U64 => each(out, value, |x| x as u64),
        other => bail!(NotImplemented, "{other} is no number type"),
    }
}
