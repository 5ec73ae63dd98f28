//! LpNormalization: each row along an axis divided by its norm; a row of norm 0 becomes 0.

use std::marker::PhantomData;

use base::threads::paced;
use base::{ErrorKind, Result, Shape, axis_index, bail, ensure};
use op::types::{FLOATS, FLOATS_V1};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// LpNormalization of `ai.onnx`.
pub static LP_NORMALIZATION: OpDef = OpDef {
    name: "LpNormalization",
    versions: &[since(1, "input:T -> output:T", &[("T", FLOATS_V1)]), since(22, "input:T -> output:T", &[("T", FLOATS)])],
    load: |a| match a.int("p", 2)? {
        p @ (1 | 2) => Ok(Box::new(LpNormalization { axis: a.int("axis", -1)?, squares: p == 2 })),
        p => bail!(InvalidGraph, "attribute 'p' is {p}, neither 1 nor 2"),
    },
    kernels: Kernels::NONE.cpu::<LpNormalization>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct LpNormalization {
    axis: i64,
    squares: bool,
}

impl LpNormalization {
    fn axis(&self, rank: usize) -> Result<usize> {
        axis_index(self.axis, rank).map_err(|e| e.with_kind(ErrorKind::InvalidGraph))
    }
}

impl Op for LpNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            self.axis(dims.len())?;
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for LpNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: LpNormalization,
    real: PhantomData<A>,
}

/// Columns that are handled together: their norms fit in scratch memory.
const COLUMNS: usize = 512;

impl<A: Real> Kernel<A> {
    /// Divides the columns from `column` on of the matrix `[len, inner]` at `start`.
    fn columns(&self, x: Floats<'_>, y: &FloatsMut<'_>, [start, len, inner, column]: [usize; 4], scratch: &mut [A]) {
        let width = COLUMNS.min(inner - column);
        let (norms, rest) = scratch.split_at_mut(COLUMNS);
        let (before, after) = rest.split_at_mut(COLUMNS);
        let (norms, at) = (&mut norms[..width], |k: usize| start + k * inner + column);
        norms.fill(A::zero());
        for k in paced(0..len, width + 8) {
            let x = x.row(at(k)..at(k) + width, before);
            let add = |(n, x): (&mut A, &A)| *n += if self.op.squares { *x * *x } else { x.abs() };
            norms.iter_mut().zip(x).for_each(add);
        }
        if self.op.squares {
            norms.iter_mut().for_each(|n| *n = n.sqrt());
        }
        for k in paced(0..len, width + 8) {
            let x = x.row(at(k)..at(k) + width, before);
            let divide = |y: &mut [A]| {
                let each = |(y, (x, n)): (&mut A, (&A, &A))| *y = if *n == A::zero() { *n } else { *x / *n };
                y.iter_mut().zip(x.iter().zip(norms.iter())).for_each(each);
            };
            // SAFETY: each tile of columns belongs to one chunk.
            unsafe { y.fill(at(k)..at(k) + width, after, divide) }
        }
    }

    /// Divides the row `start..start + len`, a piece at a time.
    fn row(&self, x: Floats<'_>, y: &FloatsMut<'_>, start: usize, len: usize, scratch: &mut [A]) {
        let (before, after) = scratch.split_at_mut(COLUMNS);
        let pieces = || paced((0..len).step_by(COLUMNS), COLUMNS).map(|p| start + p..start + (p + COLUMNS).min(len));
        let size = |x: &[A]| if self.op.squares { A::sum_of_squares(x) } else { A::sum_of_sizes(x) };
        let sum = A::of(pieces().map(|p| size(x.row(p, before)).f64()).sum());
        let norm = if self.op.squares { sum.sqrt() } else { sum };
        for p in pieces() {
            let x = x.row(p.clone(), before);
            let divide = |y: &mut [A]| match norm == A::zero() {
                true => y.fill(norm),
                false => y.iter_mut().zip(x).for_each(|(y, x)| *y = *x / norm),
            };
            // SAFETY: each row belongs to one chunk.
            unsafe { y.fill(p, after, divide) }
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, _: &Sizes<'_>) -> usize {
        scratch_bytes::<A>(3 * COLUMNS)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let axis = self.op.axis(shape.len())?;
        let (outer, len): (usize, _) = (shape[..axis].iter().product(), shape[axis]);
        let inner: usize = shape[axis + 1..].iter().product();
        let (x, y) = (Floats::of(cx.input(0)?)?, FloatsMut::of(cx.output(0)?)?);
        ensure!(y.len() == x.len(), Fail, "the output has {} elements, not {}", y.len(), x.len());
        let scratch = cx.scratch::<A>()?;
        if x.len() == 0 {
            return Ok(());
        }
        if inner == 1 {
            return for_rows(scratch, 3 * COLUMNS, outer, rows_per_chunk(len * size_of::<A>()), &|scratch, rows| {
                rows.for_each(|row| self.row(x, &y, row * len, len, scratch));
            });
        }
        let tiles = inner.div_ceil(COLUMNS);
        let grain = rows_per_chunk(len * inner.min(COLUMNS) * size_of::<A>());
        for_rows(scratch, 3 * COLUMNS, outer * tiles, grain, &|scratch, range| {
            range.for_each(|t| self.columns(x, &y, [t / tiles * len * inner, len, inner, t % tiles * COLUMNS], scratch));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    fn plain(x: &[f32], outer: usize, len: usize, inner: usize, p: i32) -> Vec<f64> {
        let mut y = vec![0.0; x.len()];
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |k: usize| (o * len + k) * inner + i;
            let norm = (0..len).map(|k| f64::from(x[at(k)]).abs().powi(p)).sum::<f64>().powf(1.0 / f64::from(p));
            (0..len).for_each(|k| y[at(k)] = f64::from(x[at(k)]) / norm);
        }
        y
    }

    #[test]
    fn both_norms_on_every_axis() {
        let x = data(3 * 5 * 700);
        for (axis, outer, len, inner) in [(0i64, 1, 3, 3500), (1, 3, 5, 700), (-1, 15, 700, 1)] {
            for p in [1, 2] {
                let y = single(&LP_NORMALIZATION, 1).attr("axis", axis).attr("p", p).input([3, 5, 700], &x).tensor().unwrap();
                assert_close(&y, &plain(&x, outer, len, inner, p as i32), 1e-5, 1e-6);
            }
        }
    }

    #[test]
    fn zero_stays_zero() {
        let y = single(&LP_NORMALIZATION, 22).input([2, 2], &[0f32, 0.0, 3.0, 4.0]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0, 0.0, 0.6, 0.8]);
        let x = [0.0, 3.0, 0.0, 4.0].map(bf16::from_f32);
        let y = single(&LP_NORMALIZATION, 22).attr("axis", 0i64).input([2, 2], &x).tensor().unwrap();
        assert_eq!(y.slice::<bf16>().unwrap(), [0.0, 0.6, 0.0, 0.8].map(bf16::from_f32));
    }

    #[test]
    fn errors() {
        assert!(single(&LP_NORMALIZATION, 1).attr("p", 3i64).input([1], &[0f32]).tensor().is_err());
        assert!(single(&LP_NORMALIZATION, 1).attr("axis", 1i64).input([1], &[0f32]).tensor().is_err());
    }
}
