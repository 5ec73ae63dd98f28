//! GlobalAveragePool, GlobalMaxPool and GlobalLpPool: each channel becomes one element.

use std::marker::PhantomData;

use base::threads::pieces;
use base::{Layout, Result, Shape, ensure};
use ir::{Dim, Fact};
use op::types::{FLOATS, FLOATS_V1};
use op::{CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run, Since, Sizes, since};

use super::rows::{Source, Target};
use super::window::exponent;
use super::{Reduction, output_layout, side_by_side};
use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::is_wide;
use crate::real::Real;

const PLAIN: &str = "X:T -> Y:T";
const VERSIONS: &[Since] = &[since(1, PLAIN, &[("T", FLOATS_V1)]), since(22, PLAIN, &[("T", FLOATS)])];

/// GlobalAveragePool of `ai.onnx`.
pub static GLOBAL_AVERAGE_POOL: OpDef =
    OpDef { name: "GlobalAveragePool", load: |_| Ok(Box::new(GlobalPool(Reduction::Average { padding: false }))), ..DEFINITION };

/// GlobalMaxPool of `ai.onnx`.
pub static GLOBAL_MAX_POOL: OpDef = OpDef { name: "GlobalMaxPool", load: |_| Ok(Box::new(GlobalPool(Reduction::Max))), ..DEFINITION };

/// GlobalLpPool of `ai.onnx`.
pub static GLOBAL_LP_POOL: OpDef = OpDef {
    name: "GlobalLpPool",
    versions: &[since(1, PLAIN, &[("T", FLOATS_V1)]), since(2, PLAIN, &[("T", FLOATS_V1)]), since(22, PLAIN, &[("T", FLOATS)])],
    load: |a| Ok(Box::new(GlobalPool(Reduction::Norm(exponent(a)?)))),
    ..DEFINITION
};

const DEFINITION: OpDef =
    OpDef { versions: VERSIONS, kernels: Kernels::NONE.cpu::<GlobalPool>(), layouts: Layouts::Blocked, ..OpDef::ONNX };

#[derive(Clone, Debug)]
struct GlobalPool(Reduction);

impl Op for GlobalPool {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, layout) = (cx.dtype(0)?, output_layout(&cx.input(0)?.layout, cx.dtype(0)?));
        let Some(x) = cx.dims(0)? else {
            cx.set(0, Fact { layout, ..Fact::of(cx.input(0)?.ty.clone()) });
            return Ok(());
        };
        ensure!(x.len() >= 2, InvalidGraph, "an input of images and channels is needed, not shape {x:?}");
        let dims = x.iter().enumerate().map(|(i, d)| if i < 2 { d.clone() } else { Dim::Known(1) });
        cx.set(0, Fact { layout, ..Fact::tensor(dtype, dims) });
        Ok(())
    }
}

impl CpuKernel for GlobalPool {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        side_by_side(&cx.input(0)?.layout, cx.dtype(0)?)?;
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(GlobalKernel::<f64> { reduction: self.0, real: PhantomData }),
            false => Box::new(GlobalKernel::<f32> { reduction: self.0, real: PhantomData }),
        })
    }
}

struct GlobalKernel<A> {
    reduction: Reduction,
    real: PhantomData<A>,
}

/// Elements that are widened at a time: a multiple of any block.
const PIECE: usize = 2048;

impl<A: Real> GlobalKernel<A> {
    /// Reduces one plane of `lanes` channels side by side.
    fn plane(&self, x: Source<'_>, start: usize, len: usize, lanes: usize, buffer: &mut [A]) -> [A; simd::MAX_LANES] {
        let mut result = [self.reduction.start::<A>(); simd::MAX_LANES];
        if len == 0 {
            return result;
        }
        if lanes == 1 {
            result[0] = self.row(x, start, len, buffer);
        } else {
            for piece in pieces(len * lanes, PIECE) {
                let range = start + piece.start..start + piece.end;
                for vector in x.row::<A>(range, buffer).chunks_exact(lanes) {
                    result.iter_mut().zip(vector).for_each(|(r, v)| *r = self.reduction.fold(*r, *v));
                }
            }
        }
        result.map(|r| self.reduction.finish(r, len))
    }

    /// Reduces one dense channel: pieces by whole-row functions, added in order.
    fn row(&self, x: Source<'_>, start: usize, len: usize, buffer: &mut [A]) -> A {
        let pieces = pieces(len, PIECE).map(|p| start + p.start..start + p.end);
        pieces.fold(self.reduction.start(), |sum, range| {
            let row = x.row::<A>(range, buffer);
            match self.reduction {
                Reduction::Max => self.reduction.fold(sum, A::greatest(row)),
                Reduction::Average { .. } => sum + A::sum_of(row),
                Reduction::Norm(2.0) => sum + A::sum_of_squares(row),
                Reduction::Norm(_) => row.iter().fold(sum, |s, v| self.reduction.fold(s, *v)),
            }
        })
    }
}

impl<A: Real> Prepared for GlobalKernel<A> {
    fn scratch(&self, _: &Sizes<'_>) -> usize {
        scratch_bytes::<A>(PIECE)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        ensure!(shape.len() >= 2, InvalidArgument, "an input of images and channels is needed, not shape {shape}");
        let lanes = side_by_side(cx.input(0)?.layout(), dtype)?;
        let output: Shape = shape.iter().enumerate().map(|(i, &d)| if i < 2 { d } else { 1 }).collect();
        cx.allocate(0, dtype, output)?;
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        let planned = matches!(y.layout(), Layout::Blocked(_)) == (lanes > 1) || y.is_empty();
        ensure!(planned, Fail, "input {:?}, output {:?}", x.layout(), y.layout());
        let (x, y) = (Source::of(x)?, Target::of(y)?);
        let (planes, len): (usize, usize) = (shape[0] * shape[1].div_ceil(lanes), shape[2..].iter().product());
        ensure!((x.len(), y.len()) == (planes * len * lanes, planes * lanes), Fail, "{} and {} elements", x.len(), y.len());
        for_rows(cx.scratch()?, PIECE, planes, rows_per_chunk(len * lanes * size_of::<A>()), &|buffer, range| {
            for plane in range {
                let result = self.plane(x, plane * len * lanes, len, lanes, buffer);
                // SAFETY: each plane belongs to one chunk.
                unsafe { y.write(plane * lanes, &result[..lanes]) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    #[test]
    fn all_three() {
        let x: Vec<f32> = (0..2 * 3 * 5000).map(|i| ((i * 37 + 5) % 101) as f32 - 50.0).collect();
        let rows = || x.chunks(5000).map(|r| r.iter().map(|v| f64::from(*v)));
        let op = |def| single(def, 1).input([2, 3, 50, 100], &x).tensor().unwrap();
        let mean: Vec<f64> = rows().map(|r| r.sum::<f64>() / 5000.0).collect();
        assert_close(&op(&GLOBAL_AVERAGE_POOL), &mean, 1e-5, 1e-5);
        assert_eq!(&**op(&GLOBAL_AVERAGE_POOL).shape(), [2, 3, 1, 1]);
        assert_close(&op(&GLOBAL_MAX_POOL), &rows().map(|r| r.fold(f64::MIN, f64::max)).collect::<Vec<_>>(), 0.0, 0.0);
        let norm: Vec<f64> = rows().map(|r| r.map(|v| v * v).sum::<f64>().sqrt()).collect();
        assert_close(&op(&GLOBAL_LP_POOL), &norm, 1e-5, 0.0);
    }

    #[test]
    fn halves_and_other_norms() {
        let x = [1.0, 2.0, 3.0, 6.0].map(f16::from_f32);
        let y = single(&GLOBAL_AVERAGE_POOL, 1).input([1, 1, 4], &x).tensor().unwrap();
        assert_eq!(y.slice::<f16>().unwrap(), [f16::from_f32(3.0)]);
        let y = single(&GLOBAL_LP_POOL, 2).attr("p", 1i64).input([1, 1, 2], &[-1f64, 2.0]).tensor().unwrap();
        assert_eq!(y.slice::<f64>().unwrap(), [3.0]);
    }
}
