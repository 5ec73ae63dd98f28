//! Tensors of any floating-point type, read and written row by row in the type that a kernel computes in.

use std::ops::Range;

use base::threads::SharedMut;
use base::{DType, Result, TensorMut, TensorRef, bail};
use half::{bf16, f16};

use crate::real::Real;

/// The elements of a dense float tensor, borrowed for reading.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Floats<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    F16(&'a [f16]),
    BF16(&'a [bf16]),
}

/// The elements of a dense float tensor, of which threads write disjoint rows.
#[derive(Debug)]
pub(crate) enum FloatsMut<'a> {
    F32(SharedMut<'a, f32>),
    F64(SharedMut<'a, f64>),
    F16(SharedMut<'a, f16>),
    BF16(SharedMut<'a, bf16>),
}

/// Whether kernels compute in `f64` for this element type.
pub(crate) fn is_wide(dtype: DType) -> bool {
    dtype == DType::F64
}

impl<'a> Floats<'a> {
    /// The elements of `t`.
    ///
    /// # Errors
    /// `NotImplemented` when it is no float tensor of 16 bits or more, `Fail` when it is not dense.
    pub(crate) fn of(t: TensorRef<'a>) -> Result<Self> {
        Ok(match t.dtype() {
            DType::F32 => Self::F32(t.slice()?),
            DType::F64 => Self::F64(t.slice()?),
            DType::F16 => Self::F16(t.slice()?),
            DType::BF16 => Self::BF16(t.slice()?),
            other => bail!(NotImplemented, "no floating-point kernel for {other}"),
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::BF16(x) => x.len(),
        }
    }

    /// Element `i`.
    pub(crate) fn get<A: Real>(&self, i: usize) -> A {
        A::of(match self {
            Self::F32(x) => x[i].into(),
            Self::F64(x) => x[i],
            Self::F16(x) => x[i].to_f64(),
            Self::BF16(x) => x[i].to_f64(),
        })
    }

    /// Copies elements from `start` on into `to`.
    pub(crate) fn read<A: Real>(&self, start: usize, to: &mut [A]) {
        let range = start..start + to.len();
        if let Some(x) = self.same::<A>() {
            to.copy_from_slice(&x[range]);
            return;
        }
        match (self, as_f32_mut(to)) {
            (Self::F16(x), Some(to)) => simd::f16_to_f32(&x[range], to),
            (Self::BF16(x), Some(to)) => simd::bf16_to_f32(&x[range], to),
            _ => to.iter_mut().zip(range).for_each(|(to, i)| *to = self.get(i)),
        }
    }

    /// The elements of `range`: themselves if they are of type `A`, else copied into `buffer`.
    pub(crate) fn row<'b, A: Real>(&self, range: Range<usize>, buffer: &'b mut [A]) -> &'b [A]
    where
        'a: 'b,
    {
        if let Some(x) = self.same::<A>() {
            return &x[range];
        }
        let buffer = &mut buffer[..range.len()];
        self.read(range.start, buffer);
        buffer
    }

    /// All elements, if they are of type `A`.
    pub(crate) fn same<A: Real>(&self) -> Option<&'a [A]> {
        match self {
            Self::F32(x) => cast(x),
            Self::F64(x) => cast(x),
            _ => None,
        }
    }
}

impl<'a> FloatsMut<'a> {
    /// The elements of `t`.
    ///
    /// # Errors
    /// As [`Floats::of`].
    pub(crate) fn of(t: TensorMut<'a>) -> Result<Self> {
        Ok(match t.dtype() {
            DType::F32 => Self::F32(SharedMut::new(t.slice()?)),
            DType::F64 => Self::F64(SharedMut::new(t.slice()?)),
            DType::F16 => Self::F16(SharedMut::new(t.slice()?)),
            DType::BF16 => Self::BF16(SharedMut::new(t.slice()?)),
            other => bail!(NotImplemented, "no floating-point kernel for {other}"),
        })
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::F64(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::BF16(x) => x.len(),
        }
    }

    /// Copies elements from `start` on into `to`.
    ///
    /// # Safety
    /// Nobody writes these elements meanwhile.
    pub(crate) unsafe fn read<A: Real>(&self, start: usize, to: &mut [A]) {
        let range = start..start + to.len();
        // SAFETY: the caller keeps others away from the range.
        let part = unsafe {
            match self {
                Self::F32(y) => Floats::F32(y.part(range)),
                Self::F64(y) => Floats::F64(y.part(range)),
                Self::F16(y) => Floats::F16(y.part(range)),
                Self::BF16(y) => Floats::BF16(y.part(range)),
            }
        };
        part.read(0, to);
    }

    /// Writes `from`, rounded, to the elements from `start` on.
    ///
    /// # Safety
    /// Nobody else uses these elements meanwhile.
    pub(crate) unsafe fn write<A: Real>(&self, start: usize, from: &[A]) {
        let range = start..start + from.len();
        // SAFETY: the caller keeps others away from the range.
        unsafe {
            match self {
                Self::F32(y) => match cast::<A, f32>(from) {
                    Some(from) => y.part(range).copy_from_slice(from),
                    None => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = x.f64() as f32),
                },
                Self::F64(y) => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = x.f64()),
                Self::F16(y) => match cast::<A, f32>(from) {
                    Some(from) => simd::f32_to_f16(from, y.part(range)),
                    None => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = f16::from_f64(x.f64())),
                },
                Self::BF16(y) => match cast::<A, f32>(from) {
                    Some(from) => simd::f32_to_bf16(from, y.part(range)),
                    None => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = bf16::from_f64(x.f64())),
                },
            }
        }
    }

    /// Lets `f` fill the elements of `range`: in place if they are of type `A`, else in `buffer`, from which they are rounded.
    ///
    /// # Safety
    /// Nobody else uses these elements meanwhile.
    pub(crate) unsafe fn fill<A: Real>(&self, range: Range<usize>, buffer: &mut [A], f: impl FnOnce(&mut [A])) {
        // SAFETY: the caller keeps others away from the range.
        let direct = unsafe {
            match self {
                Self::F32(y) if A::DTYPE == DType::F32 => cast_mut(y.part(range.clone())),
                Self::F64(y) if A::DTYPE == DType::F64 => cast_mut(y.part(range.clone())),
                _ => None,
            }
        };
        match direct {
            Some(y) => f(y),
            None => {
                let buffer = &mut buffer[..range.len()];
                f(buffer);
                // SAFETY: the caller keeps others away from the range.
                unsafe { self.write(range.start, buffer) }
            }
        }
    }
}

/// The slice as one of `B`, if that is its type.
pub(crate) fn cast<A: 'static, B: 'static>(x: &[A]) -> Option<&[B]> {
    // SAFETY: the types are the same.
    (std::any::TypeId::of::<A>() == std::any::TypeId::of::<B>()).then(|| unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) })
}

/// The slice as one of `B`, if that is its type.
pub(crate) fn cast_mut<A: 'static, B: 'static>(x: &mut [A]) -> Option<&mut [B]> {
    let same = std::any::TypeId::of::<A>() == std::any::TypeId::of::<B>();
    // SAFETY: the types are the same.
    same.then(|| unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) })
}

fn as_f32_mut<A: 'static>(x: &mut [A]) -> Option<&mut [f32]> {
    cast_mut(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;

    #[test]
    fn rows_are_widened_and_rounded() {
        let x = Tensor::from_slice([4], &[1.0, 2.5, -3.0, 0.25].map(f16::from_f32)).unwrap();
        let x = Floats::of(x.as_ref()).unwrap();
        let mut buffer = [0f32; 3];
        assert_eq!(x.row::<f32>(1..4, &mut buffer), [2.5, -3.0, 0.25]);
        assert_eq!(x.get::<f64>(1), 2.5);
        let mut y = Tensor::zeros(DType::BF16, [3]).unwrap();
        {
            let y = FloatsMut::of(y.as_mut().unwrap()).unwrap();
            // SAFETY: nobody else uses `y`.
            unsafe { y.fill(1..3, &mut [0f64; 2], |row| row.copy_from_slice(&[1.0, 1.00390625])) };
            assert_eq!(y.len(), 3);
        }
        assert_eq!(y.slice::<bf16>().unwrap(), [0.0, 1.0, 1.0].map(bf16::from_f32));
    }

    #[test]
    fn rows_of_the_same_type_are_not_copied() {
        let data = [1f32, 2.0];
        let x = Floats::F32(&data);
        assert_eq!(x.row::<f32>(0..2, &mut []).as_ptr(), data.as_ptr());
        assert!(x.same::<f64>().is_none());
    }
}
