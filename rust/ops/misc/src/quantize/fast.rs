//! The usual case: floats of 32 bits to or from integers of 8 or 16, without a detour over buffers.

use base::threads::{SharedMut, try_parallel_for};
use base::{DType, Element, Result, TensorMut, TensorRef, ensure, error};
use simd::{Kernel, Simd, dispatch};

use super::grid::{Grid, Segment};
use super::write::rounded;
use super::{CHUNK, range};

/// An integer type of 8 or 16 bits.
pub(crate) trait Narrow: Element + Into<i32> {
    /// The low bits of `value`.
    fn low_bits(value: i32) -> Self;
}

macro_rules! narrow {
    ($($t:ty),*) => {
        $(impl Narrow for $t {
            #[inline(always)]
            fn low_bits(value: i32) -> Self {
                value as $t
            }
        })*
    };
}

narrow!(u8, i8, u16, i16);

/// What belongs to the elements of a segment, borrowed from the tensor itself.
#[derive(Clone, Copy)]
enum Own<'a, T> {
    All(T),
    One(&'a [T]),
}

/// The part of `values` that belongs to `segment`.
fn own<'a, T: Copy>(values: &'a [T], segment: &Segment) -> Result<Own<'a, T>> {
    let len = if segment.uniform { 1 } else { segment.len };
    let part = segment.scale.checked_add(len).and_then(|end| values.get(segment.scale..end));
    let part = part.ok_or_else(|| error!(InvalidArgument, "{} scales or zero points are too few", values.len()))?;
    Ok(if segment.uniform { Own::All(part[0]) } else { Own::One(part) })
}

/// Scales and zero points of integers of type `T`.
struct Parameters<'a, T> {
    grid: Grid,
    scale: &'a [f32],
    zero: Option<&'a [T]>,
}

impl<'a, T: Narrow> Parameters<'a, T> {
    fn new(grid: Grid, scale: TensorRef<'a>, zero: Option<TensorRef<'a>>) -> Result<Self> {
        Ok(Self { grid, scale: scale.slice()?, zero: zero.map(|z| z.slice()).transpose()? })
    }

    fn quantize(&self, x: TensorRef<'_>, out: TensorMut<'_>) -> Result<()> {
        let (low, high) = range(T::DTYPE).unwrap_or_default();
        let bounds = (low as f32, high as f32);
        self.each(x.slice::<f32>()?, out.slice::<T>()?, |x, scale, zero, out| dispatch(Quantize { x, scale, zero, bounds, out }))
    }

    /// Runs `f` for every segment of `x` and `out`, with its scales and zero points.
    fn each<X: Element, Y: Element>(
        &self,
        x: &[X],
        out: &mut [Y],
        f: impl Fn(&[X], Own<'_, f32>, Own<'_, T>, &mut [Y]) + Sync,
    ) -> Result<()> {
        ensure!(x.len() == out.len(), Fail, "{} elements do not fill {}", x.len(), out.len());
        let (len, out) = (x.len(), SharedMut::new(out));
        try_parallel_for(len.div_ceil(CHUNK), &|chunk| {
            self.grid.segments(chunk * CHUNK..len.min((chunk + 1) * CHUNK)).try_for_each(|s| {
                // SAFETY: segments of a grid do not overlap, and a region runs each chunk once.
                let out = unsafe { out.part(s.start..s.start + s.len) };
                let zero = self.zero.map_or(Ok(Own::All(T::default())), |z| own(z, &s))?;
                f(&x[s.start..s.start + s.len], own(self.scale, &s)?, zero, out);
                Ok(())
            })
        })
    }
}

/// Whether floats of type `float` with scales of type `scale` and integers of type `int` are the usual case.
pub(crate) fn is_usual(float: DType, scale: DType, int: DType) -> bool {
    float == DType::F32 && scale == DType::F32 && matches!(int, DType::U8 | DType::I8 | DType::U16 | DType::I16)
}

/// Quantizes `x`; types are as [`is_usual`] has them.
pub(crate) fn quantize<T: Narrow>(
    grid: Grid,
    x: TensorRef<'_>,
    scale: TensorRef<'_>,
    zero: Option<TensorRef<'_>>,
    out: TensorMut<'_>,
) -> Result<()> {
    Parameters::<T>::new(grid, scale, zero)?.quantize(x, out)
}

/// Quantizes `x` by one scale and one zero point.
pub(crate) fn quantize_tensor<T: Narrow>(x: TensorRef<'_>, scale: f32, zero: T, out: TensorMut<'_>) -> Result<()> {
    Parameters { grid: Grid::tensor(x.shape()), scale: &[scale], zero: Some(&[zero]) }.quantize(x, out)
}

struct Quantize<'a, T> {
    x: &'a [f32],
    scale: Own<'a, f32>,
    zero: Own<'a, T>,
    bounds: (f32, f32),
    out: &'a mut [T],
}

impl<T: Narrow> Kernel for Quantize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (low, high) = self.bounds;
        let one = |x: f32, scale: f32, zero: T| {
            let zero: i32 = zero.into();
            T::low_bits(rounded(x / scale, low - zero as f32, high - zero as f32) + zero)
        };
        let elements = self.out.iter_mut().zip(self.x);
        match (self.scale, self.zero) {
            (Own::All(scale), Own::All(zero)) => elements.for_each(|(y, x)| *y = one(*x, scale, zero)),
            (Own::All(scale), Own::One(zeros)) => elements.zip(zeros).for_each(|((y, x), zero)| *y = one(*x, scale, *zero)),
            (Own::One(scales), Own::All(zero)) => elements.zip(scales).for_each(|((y, x), scale)| *y = one(*x, *scale, zero)),
            (Own::One(scales), Own::One(zeros)) => {
                elements.zip(scales).zip(zeros).for_each(|(((y, x), scale), zero)| *y = one(*x, *scale, *zero));
            }
        }
    }
}

/// Dequantizes `x`; types are as [`is_usual`] has them.
pub(crate) fn dequantize<T: Narrow>(
    grid: Grid,
    x: TensorRef<'_>,
    scale: TensorRef<'_>,
    zero: Option<TensorRef<'_>>,
    out: TensorMut<'_>,
) -> Result<()> {
    let parameters = Parameters::<T>::new(grid, scale, zero)?;
    parameters.each(x.slice::<T>()?, out.slice::<f32>()?, |x, scale, zero, out| dispatch(Dequantize { x, scale, zero, out }))
}

struct Dequantize<'a, T> {
    x: &'a [T],
    scale: Own<'a, f32>,
    zero: Own<'a, T>,
    out: &'a mut [f32],
}

impl<T: Narrow> Kernel for Dequantize<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let one = |x: T, scale: f32, zero: T| (x.into() - zero.into()) as f32 * scale;
        let elements = self.out.iter_mut().zip(self.x);
        match (self.scale, self.zero) {
            (Own::All(scale), Own::All(zero)) => elements.for_each(|(y, x)| *y = one(*x, scale, zero)),
            (Own::All(scale), Own::One(zeros)) => elements.zip(zeros).for_each(|((y, x), zero)| *y = one(*x, scale, *zero)),
            (Own::One(scales), Own::All(zero)) => elements.zip(scales).for_each(|((y, x), scale)| *y = one(*x, *scale, zero)),
            (Own::One(scales), Own::One(zeros)) => {
                elements.zip(scales).zip(zeros).for_each(|(((y, x), scale), zero)| *y = one(*x, *scale, *zero));
            }
        }
    }
}
