//! MeanVarianceNormalization: over any axes, to mean 0 and variance 1.

use std::marker::PhantomData;

use base::threads::paced;
use base::{DType, ErrorKind, Result, Shape, Strides, axis_index, dense_strides, ensure};
use ir::{Attribute, Fact, Graph, Node};
use op::body::{Body, dtype_of};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use super::layer::mean;
use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// What is added to the deviation, so that a constant input becomes 0.
const EPSILON: f32 = 1e-9;

/// MeanVarianceNormalization of `ai.onnx`.
pub static MEAN_VARIANCE_NORMALIZATION: OpDef = OpDef {
    name: "MeanVarianceNormalization",
    versions: &[since(9, "X:T -> Y:T", &[("T", FLOATS_V1)]), since(13, "X:T -> Y:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<MeanVariance>(),
    body: Some(body),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

fn load(a: &Attrs<'_>) -> Result<MeanVariance> {
    Ok(MeanVariance { axes: a.opt_ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec() })
}

impl MeanVariance {
    /// Which axes are reduced.
    fn reduced(&self, rank: usize) -> Result<Vec<bool>> {
        let mut reduced = vec![false; rank];
        for &axis in &self.axes {
            reduced[axis_index(axis, rank).map_err(|e| e.with_kind(ErrorKind::InvalidGraph))?] = true;
        }
        Ok(reduced)
    }
}

impl Op for MeanVariance {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            self.reduced(dims.len())?;
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for MeanVariance {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: MeanVariance,
    real: PhantomData<A>,
}

/// Axes to walk along, with their distances; neighbouring axes that can be walked as one are one.
#[derive(Debug, Default)]
struct Walk {
    dims: Shape,
    strides: Strides,
}

impl Walk {
    /// The axes of `shape` that `keep` names.
    fn over(shape: &[usize], keep: impl Fn(usize) -> bool) -> Self {
        let strides = dense_strides(shape);
        let mut walk = Self::default();
        for i in (0..shape.len()).filter(|i| keep(*i) && shape[*i] != 1) {
            match walk.strides.last_mut() {
                Some(last) if *last == strides[i] * shape[i] as isize => {
                    let n = walk.dims.len() - 1;
                    walk.dims.dims_mut()[n] *= shape[i];
                    *last = strides[i];
                }
                _ => {
                    walk.dims.push(shape[i]);
                    walk.strides.push(strides[i]);
                }
            }
        }
        walk
    }

    fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Where step `i` leads.
    fn offset(&self, mut i: usize) -> usize {
        let mut offset = 0;
        for (d, s) in self.dims.iter().zip(&self.strides).rev() {
            offset += i % d * *s as usize;
            i /= d;
        }
        offset
    }

    /// How many steps from one on lead to neighbours in memory.
    fn run(&self) -> usize {
        if self.strides.last() == Some(&1) { self.dims[self.dims.len() - 1] } else { 1 }
    }
}

/// Elements of a run that are handled at a time.
const PIECE: usize = 1024;

impl<A: Real> Kernel<A> {
    fn group(&self, inner: &Walk, start: usize, x: Floats<'_>, y: &FloatsMut<'_>, scratch: &mut [A]) {
        let (before, after) = scratch.split_at_mut(PIECE);
        let (len, run) = (inner.len(), inner.run());
        let pieces = || {
            let runs = (0..len).step_by(run).map(|i| start + inner.offset(i));
            let pieces = runs.flat_map(move |at| (0..run).step_by(PIECE).map(move |p| at + p..at + (p + PIECE).min(run)));
            paced(pieces, run.min(PIECE) + 16)
        };
        let n = len as f64;
        let mean = A::of(pieces().map(|p| A::sum_of(x.row(p, before)).f64()).sum::<f64>() / n);
        let square = |v: &A| (*v - mean).f64() * (*v - mean).f64();
        let squares: f64 = pieces().map(|p| x.row(p, before).iter().map(square).sum::<f64>()).sum();
        let factor = A::of(1.0 / ((squares / n).sqrt() + f64::from(EPSILON)));
        for p in pieces() {
            let x = x.row(p.clone(), before);
            // SAFETY: each group of elements belongs to one chunk.
            unsafe { y.fill(p, after, |y| A::normalize(x, y, mean, factor, None, None)) }
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, _: &Sizes<'_>) -> usize {
        scratch_bytes::<A>(2 * PIECE)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let reduced = self.op.reduced(shape.len())?;
        let (outer, inner) = (Walk::over(&shape, |i| !reduced[i]), Walk::over(&shape, |i| reduced[i]));
        let (x, y) = (Floats::of(cx.input(0)?)?, FloatsMut::of(cx.output(0)?)?);
        ensure!(y.len() == x.len(), Fail, "the output has {} elements, not {}", y.len(), x.len());
        let groups = if x.len() == 0 { 0 } else { outer.len() };
        for_rows(cx.scratch()?, 2 * PIECE, groups, rows_per_chunk(inner.len() * size_of::<A>()), &|scratch, range| {
            range.for_each(|g| self.group(&inner, outer.offset(g), x, &y, scratch));
        })
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let op = load(&Attrs::new(node))?;
    let dtype = dtype_of(facts, 0)?;
    let mut b = Body::of(node);
    let Some(x) = b.input(0) else { base::bail!(InvalidGraph, "input X is missing") };
    let wide = if dtype == DType::F64 { dtype } else { DType::F32 };
    let x = b.cast(x, wide);
    let mean_of_x = mean(&mut b, x, &op.axes)?;
    let deviation = b.node(("Sub", 14), &[x, mean_of_x], &[]);
    let square = b.node(("Mul", 14), &[deviation, deviation], &[]);
    let variance = mean(&mut b, square, &op.axes)?;
    let root = b.node(("Sqrt", 13), &[variance], &[]);
    let epsilon = b.float(EPSILON)?;
    let epsilon = b.cast(epsilon, wide);
    let root = b.node(("Add", 14), &[root, epsilon], &[]);
    let y = b.node(("Div", 14), &[deviation, root], &[]);
    let y = b.node(("Cast", 13), &[y], &[("to", Attribute::Int(dtype as i64))]);
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    /// Over the elements for which `key` gives the same.
    fn plain(x: &[f32], key: impl Fn(usize) -> usize) -> Vec<f64> {
        let group = |k: usize| x.iter().enumerate().filter(|(i, _)| key(*i) == k).map(|(_, v)| f64::from(*v)).collect::<Vec<_>>();
        let each = |i: usize| {
            let g = group(key(i));
            let mean = g.iter().sum::<f64>() / g.len() as f64;
            let deviation = (g.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / g.len() as f64).sqrt();
            (f64::from(x[i]) - mean) / (deviation + 1e-9)
        };
        (0..x.len()).map(each).collect()
    }

    #[test]
    fn axes_that_lie_together_and_apart() {
        let x = data(2 * 3 * 4 * 5);
        let op = || single(&MEAN_VARIANCE_NORMALIZATION, 13).input([2, 3, 4, 5], &x);
        assert_close(&op().tensor().unwrap(), &plain(&x, |i| i / 20 % 3), 1e-4, 1e-5);
        let y = op().attr("axes", vec![1i64, -1]).tensor().unwrap();
        assert_close(&y, &plain(&x, |i| i / 60 * 4 + i / 5 % 4), 1e-4, 1e-5);
        let y = op().attr("axes", vec![0i64, 1]).tensor().unwrap();
        assert_close(&y, &plain(&x, |i| i % 20), 1e-4, 1e-5);
        let y = op().attr("axes", vec![0i64, 1, 2, 3]).tensor().unwrap();
        assert_close(&y, &plain(&x, |_| 0), 1e-4, 1e-5);
    }

    #[test]
    fn a_constant_becomes_zero() {
        let y = single(&MEAN_VARIANCE_NORMALIZATION, 9).attr("axes", vec![0i64]).input([4], &[3f32; 4]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0; 4]);
        let y = single(&MEAN_VARIANCE_NORMALIZATION, 9).input([0, 1, 1, 1], &[0f32; 0]).tensor().unwrap();
        assert!(y.is_empty());
        assert!(single(&MEAN_VARIANCE_NORMALIZATION, 9).input([4], &[3f32; 4]).tensor().is_err());
    }
}
