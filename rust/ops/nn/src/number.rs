//! Tensors of any number type, read and written element by element as `f64`.

use base::threads::Pace;
use base::{DType, Result, TensorMut, TensorRef, bail, ensure};
use half::{bf16, f16};

use crate::real::Real;

/// The elements of a dense tensor of numbers.
pub(crate) enum Numbers<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
    I8(&'a [i8]),
    U8(&'a [u8]),
    I16(&'a [i16]),
    U16(&'a [u16]),
    I32(&'a [i32]),
    U32(&'a [u32]),
    I64(&'a [i64]),
    U64(&'a [u64]),
    Bool(&'a [bool]),
}

impl<'a> Numbers<'a> {
    /// The elements of `t`.
    ///
    /// # Errors
    /// `NotImplemented` for a type that is no number of eight bits or more.
    pub(crate) fn of(t: TensorRef<'a>) -> Result<Self> {
        Ok(match t.dtype() {
            DType::F32 => Self::F32(t.slice()?),
            DType::F64 => Self::F64(t.slice()?),
            DType::F16 => Self::F16(t.slice()?),
            DType::BF16 => Self::BF16(t.slice()?),
            DType::I8 => Self::I8(t.slice()?),
            DType::U8 => Self::U8(t.slice()?),
            DType::I16 => Self::I16(t.slice()?),
            DType::U16 => Self::U16(t.slice()?),
            DType::I32 => Self::I32(t.slice()?),
            DType::U32 => Self::U32(t.slice()?),
            DType::I64 => Self::I64(t.slice()?),
            DType::U64 => Self::U64(t.slice()?),
            DType::Bool => Self::Bool(t.slice()?),
            other => bail!(NotImplemented, "arithmetic on {other}"),
        })
    }

    /// Element `i`.
    pub(crate) fn get(&self, i: usize) -> f64 {
        match self {
            Self::F32(x) => x[i].into(),
            Self::F64(x) => x[i],
            Self::F16(x) => x[i].to_f64(),
            Self::BF16(x) => x[i].to_f64(),
            Self::I8(x) => x[i].into(),
            Self::U8(x) => x[i].into(),
            Self::I16(x) => x[i].into(),
            Self::U16(x) => x[i].into(),
            Self::I32(x) => x[i].into(),
            Self::U32(x) => x[i].into(),
            Self::I64(x) => x[i] as f64,
            Self::U64(x) => x[i] as f64,
            Self::Bool(x) => f64::from(u8::from(x[i])),
        }
    }
}

/// Writes `from` to `to`, rounded to its type; integers are cut towards zero.
///
/// # Errors
/// `NotImplemented` for a type that is no number, `Fail` when the lengths differ.
pub(crate) fn write<A: Real>(from: &[A], to: TensorMut<'_>) -> Result<()> {
    ensure!(from.len() == to.len(), Fail, "{} elements for an output of {}", from.len(), to.len());
    let pace = Pace::default();
    macro_rules! each {
        ($t:ty, $convert:expr) => {
            for (to, v) in to.slice::<$t>()?.iter_mut().zip(from) {
                pace.spend(2);
                *to = $convert(v.f64());
            }
        };
    }
    match to.dtype() {
        DType::F32 => each!(f32, |v| v as f32),
        DType::F64 => each!(f64, |v| v),
        DType::F16 => each!(f16, f16::from_f64),
        DType::BF16 => each!(bf16, bf16::from_f64),
        DType::I8 => each!(i8, |v| v as i8),
        DType::U8 => each!(u8, |v| v as u8),
        DType::I16 => each!(i16, |v| v as i16),
        DType::U16 => each!(u16, |v| v as u16),
        DType::I32 => each!(i32, |v| v as i32),
        DType::U32 => each!(u32, |v| v as u32),
        DType::I64 => each!(i64, |v| v as i64),
        DType::U64 => each!(u64, |v| v as u64),
        DType::Bool => each!(bool, |v: f64| v != 0.0),
        other => bail!(NotImplemented, "arithmetic on {other}"),
    }
    Ok(())
}
