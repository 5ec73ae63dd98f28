//! LRN: each element divided by a power of the sum of squares of its neighbours in the channels around.

use std::marker::PhantomData;

use base::threads::Pace;
use base::{Result, Shape, bail, ensure};
use op::types::{FLOATS, FLOATS_V1};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::chunks::{for_rows, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// LRN of `ai.onnx`.
pub static LRN: OpDef = OpDef {
    name: "LRN",
    versions: &[since(1, "X:T -> Y:T", &[("T", FLOATS_V1)]), since(13, "X:T -> Y:T", &[("T", FLOATS)])],
    load: |a| {
        let size = a.required_int("size")?;
        let Some(size) = usize::try_from(size).ok().filter(|s| *s > 0) else { bail!(InvalidGraph, "attribute 'size' is {size}") };
        Ok(Box::new(Lrn { size, alpha: a.float("alpha", 1e-4)?, beta: a.float("beta", 0.75)?, bias: a.float("bias", 1.0)? }))
    },
    kernels: Kernels::NONE.cpu::<Lrn>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Lrn {
    size: usize,
    alpha: f32,
    beta: f32,
    bias: f32,
}

impl Op for Lrn {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            ensure!(dims.len() >= 2, InvalidGraph, "an input of images and channels is needed, not shape {dims:?}");
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for Lrn {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: Lrn,
    real: PhantomData<A>,
}

/// Neighbouring positions that are handled together.
const TILE: usize = 64;

impl<A: Real> Kernel<A> {
    /// `x / (bias + alpha / size * sum) ^ beta`.
    fn divide(&self, x: &[A], sums: &[A], y: &mut [A]) {
        let (bias, alpha) = (A::of(self.op.bias.into()), A::of(f64::from(self.op.alpha) / self.op.size as f64));
        let each = y.iter_mut().zip(x.iter().zip(sums));
        if self.op.beta == 0.75 {
            each.for_each(|(y, (x, s))| {
                let root = (bias + alpha * *s).sqrt();
                *y = *x / (root * root.sqrt());
            });
        } else {
            let beta = A::of(self.op.beta.into());
            each.for_each(|(y, (x, s))| *y = *x / (bias + alpha * *s).powf(beta));
        }
    }

    /// The tile of positions from `first` on of one image, whose planes of `plane` elements begin at `start`.
    fn tile(&self, x: Floats<'_>, y: &FloatsMut<'_>, [start, channels, plane, first]: [usize; 4], scratch: &mut [A]) {
        let width = TILE.min(plane - first);
        let at = |c: usize| start + c * plane + first;
        let (before, after) = ((self.op.size - 1) / 2, self.op.size / 2);
        let (squares, rest) = scratch.split_at_mut(TILE);
        let (row, out) = rest.split_at_mut(TILE);
        let pace = Pace::default();
        for c in 0..channels {
            pace.spend(width * (self.op.size.min(channels) + 4) / 4);
            let sums = &mut squares[..width];
            sums.fill(A::zero());
            for neighbour in c.saturating_sub(before)..c.saturating_add(after + 1).min(channels) {
                let x = x.row(at(neighbour)..at(neighbour) + width, row);
                sums.iter_mut().zip(x).for_each(|(s, x)| *s += *x * *x);
            }
            let x = x.row(at(c)..at(c) + width, row);
            // SAFETY: each tile belongs to one chunk.
            unsafe { y.fill(at(c)..at(c) + width, out, |y| self.divide(x, sums, y)) }
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, _: &Sizes<'_>) -> usize {
        scratch_bytes::<A>(3 * TILE)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let [images, channels, spatial @ ..] = &*shape else { bail!(InvalidArgument, "LRN needs channels, not shape {shape}") };
        let plane: usize = spatial.iter().product();
        let (x, y) = (Floats::of(cx.input(0)?)?, FloatsMut::of(cx.output(0)?)?);
        ensure!(y.len() == x.len(), Fail, "the output has {} elements, not {}", y.len(), x.len());
        let tiles = plane.div_ceil(TILE);
        for_rows(cx.scratch()?, 3 * TILE, images * tiles, 1, &|scratch, range| {
            range.for_each(|t| self.tile(x, &y, [t / tiles * channels * plane, *channels, plane, t % tiles * TILE], scratch));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    fn plain(x: &[f32], channels: usize, plane: usize, size: usize, beta: f64) -> Vec<f64> {
        let each = |i: usize| {
            let (n, c, p) = (i / (channels * plane), i / plane % channels, i % plane);
            let window = c.saturating_sub((size - 1) / 2)..(c + size / 2 + 1).min(channels);
            let sum: f64 = window.map(|c| f64::from(x[(n * channels + c) * plane + p]).powi(2)).sum();
            f64::from(x[i]) / (1.0 + 0.5 / size as f64 * sum).powf(beta)
        };
        (0..x.len()).map(each).collect()
    }

    #[test]
    fn windows_odd_and_even() {
        let x = data(2 * 5 * 70);
        for (size, beta) in [(1i64, 0.75f32), (3, 0.75), (4, 0.5), (11, 1.0)] {
            let op = single(&LRN, 13).attr("size", size).attr("alpha", 0.5f32).attr("beta", beta).input([2, 5, 7, 10], &x);
            assert_close(&op.tensor().unwrap(), &plain(&x, 5, 70, size as usize, beta.into()), 1e-5, 1e-6);
        }
        let halves: Vec<f16> = x.iter().map(|&v| f16::from_f32(v)).collect();
        let op = single(&LRN, 13).attr("size", 3i64).attr("alpha", 0.5f32).input([2, 5, 70], &halves);
        assert_close(&op.tensor().unwrap(), &plain(&x, 5, 70, 3, 0.75), 2e-3, 1e-3);
    }

    #[test]
    fn errors_and_nothing() {
        assert!(single(&LRN, 13).input([1, 1], &[0f32]).tensor().is_err());
        assert!(single(&LRN, 13).attr("size", 0i64).input([1, 1], &[0f32]).tensor().is_err());
        assert!(single(&LRN, 13).attr("size", 3i64).input([1, 0, 2], &[0f32; 0]).tensor().unwrap().is_empty());
    }
}
