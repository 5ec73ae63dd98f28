//! ConvTranspose: each input element spreads the kernel over the output, `stride` elements apart.

use std::marker::PhantomData;

use base::{Result, Shape, ensure};
use gemm::{Epilogue, Mat, MatMut, Scalar, gemm, scratch_len};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use super::windows::elements;
use crate::chunks::{for_rows, rows_per_chunk};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::fold::fold;
use crate::real::Real;
use crate::window::{AutoPad, Axes, Axis, WindowAttrs, sizes};

const SIGNATURE: &str = "X:T, W:T, B:T? -> Y:T";

/// ConvTranspose of `ai.onnx`.
pub static CONV_TRANSPOSE: OpDef = OpDef {
    name: "ConvTranspose",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(11, SIGNATURE, &[("T", FLOATS_V1)]),
        since(22, SIGNATURE, &[("T", FLOATS)]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<ConvTranspose>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ConvTranspose {
    window: WindowAttrs,
    groups: usize,
    /// Elements added after each axis of the output.
    more: Option<Vec<usize>>,
    /// The output's spatial sizes, from which the padding follows.
    shape: Option<Vec<usize>>,
}

fn load(a: &Attrs<'_>) -> Result<ConvTranspose> {
    let groups = a.int("group", 1)?;
    ensure!((1..=i64::from(i32::MAX)).contains(&groups), InvalidGraph, "attribute 'group' is {groups}");
    Ok(ConvTranspose {
        window: WindowAttrs::read(a, true, false)?,
        groups: groups as usize,
        more: sizes(a, "output_padding", 0)?,
        shape: sizes(a, "output_shape", 0)?.filter(|s| !s.is_empty()),
    })
}

impl ConvTranspose {
    fn more(&self, i: usize) -> usize {
        self.more.as_ref().and_then(|m| m.get(i)).copied().unwrap_or(0)
    }

    /// The output's size along axis `i` of `rank`.
    fn output_dim(&self, input: &Dim, kernel: &Dim, i: usize, rank: usize) -> Dim {
        let (stride, dilation, one) = (Dim::from(self.window.stride(i)), Dim::from(self.window.dilation(i)), Dim::Known(1));
        match (&self.shape, self.window.auto) {
            // Some list all axes, batch and channels too.
            (Some(shape), _) => Dim::from(shape[shape.len() - rank + i]),
            (None, AutoPad::SameUpper | AutoPad::SameLower) => input.mul(&stride),
            (None, auto) => {
                let (before, after) = if auto == AutoPad::Valid { (0, 0) } else { self.window.pads(i, rank) };
                let reach = kernel.sub(&one).mul(&dilation).add(&one);
                let more = Dim::Known(self.more(i) as i64 - before - after);
                input.sub(&one).mul(&stride).add(&reach).add(&more)
            }
        }
    }

    /// The windows of the output that the elements of the input spread over.
    fn axis(&self, input: usize, kernel: usize, i: usize, rank: usize) -> Result<Axis> {
        let (stride, dilation) = (self.window.stride(i), self.window.dilation(i));
        let output = self.output_dim(&Dim::from(input), &Dim::from(kernel), i, rank);
        let Some(output) = output.size().filter(|o| *o <= i32::MAX as usize) else {
            base::bail!(InvalidArgument, "an output of {output} elements along axis {i}");
        };
        let spread = (input.max(1) - 1) * stride + (kernel.max(1) - 1) * dilation + 1 + self.more(i);
        let total = spread.saturating_sub(output);
        let before = match (&self.shape, self.window.auto) {
            (Some(_), AutoPad::SameUpper) | (None, AutoPad::SameUpper) => total / 2,
            (Some(_), _) | (None, AutoPad::SameLower) => total - total / 2,
            (None, AutoPad::Valid) => 0,
            (None, AutoPad::Explicit) => {
                let before = self.window.pads(i, rank).0;
                return Ok(Axis { input: output, output: input, kernel, stride, dilation, before: before as isize, after: 0 });
            }
        };
        Ok(Axis { input: output, output: input, kernel, stride, dilation, before: before as isize, after: 0 })
    }

    fn check(&self, x: usize, w: usize) -> Result<()> {
        ensure!(x > 2 && x == w, InvalidGraph, "weights of {w} axes for an input of {x}");
        self.window.check_rank(x - 2)?;
        let fits = |list: &Option<Vec<usize>>| list.as_ref().is_none_or(|l| l.is_empty() || l.len() == x - 2);
        ensure!(fits(&self.more), InvalidGraph, "attribute 'output_padding' is {:?}", self.more);
        ensure!(fits(&self.shape) || self.shape.as_ref().is_some_and(|s| s.len() == x), InvalidGraph, "output_shape is {:?}", self.shape);
        Ok(())
    }

    fn problem(&self, x: &[usize], w: &[usize]) -> Result<Problem> {
        self.check(x.len(), w.len())?;
        let (shown_x, shown_w) = (Shape::from(x), Shape::from(w));
        let fits = x[1] == w[0] && x[1].is_multiple_of(self.groups) && !w[2..].contains(&0);
        ensure!(fits, InvalidArgument, "weights of shape {shown_w} in {} groups for an input of shape {shown_x}", self.groups);
        let axes: Result<Axes> = (0..x.len() - 2).map(|i| self.axis(x[i + 2], w[i + 2], i, x.len() - 2)).collect();
        Ok(Problem { batch: x[0], groups: self.groups, ic: x[1] / self.groups, oc: w[1], axes: axes? })
    }
}

/// A transposed convolution of concrete sizes.
#[derive(Debug)]
struct Problem {
    batch: usize,
    groups: usize,
    ic: usize,
    oc: usize,
    /// Windows over the output: their positions are the elements of the input.
    axes: Axes,
}

impl Problem {
    fn in_plane(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    fn out_plane(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    fn taps(&self) -> usize {
        self.axes.iter().map(|a| a.kernel).product()
    }

    fn shape(&self) -> Shape {
        [self.batch, self.groups * self.oc].into_iter().chain(self.axes.iter().map(|a| a.input)).collect()
    }

    /// Elements that the input of one group spreads.
    fn spread(&self) -> usize {
        self.oc * self.taps() * self.in_plane()
    }
}

impl Op for ConvTranspose {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(x), Some(w)) = (cx.dims(0)?, cx.dims(1)?) else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        self.check(x.len(), w.len())?;
        let differ = x[1].known().zip(w[0].known()).is_some_and(|(a, b)| a != b);
        ensure!(!differ, InvalidGraph, "weights of shape {w:?} for an input of shape {x:?}");
        let rank = x.len() - 2;
        let channels = w[1].mul(&Dim::from(self.groups));
        let spatial = (0..rank).map(|i| self.output_dim(&x[i + 2], &w[i + 2], i, rank));
        let dims: Dims = [x[0].clone(), channels].into_iter().chain(spatial).collect();
        if let Some(d) = dims.iter().find(|d| d.known().is_some_and(|d| d < 0)) {
            base::bail!(InvalidGraph, "the output of shape {dims:?} has an axis of {d} elements");
        }
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

impl CpuKernel for ConvTranspose {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) {
            true => Box::new(Kernel::<f64> { op: self.clone(), real: PhantomData }),
            false => Box::new(Kernel::<f32> { op: self.clone(), real: PhantomData }),
        })
    }
}

struct Kernel<A> {
    op: ConvTranspose,
    real: PhantomData<A>,
}

/// Bytes of `len` elements, up to a cache line.
fn padded<A>(len: usize) -> usize {
    (len * size_of::<A>()).next_multiple_of(64)
}

/// Cuts room for `len` elements off.
fn room<'a, A: Real>(scratch: &mut &'a mut [u8], len: usize) -> Result<&'a mut [A]> {
    let bytes = padded::<A>(len).min(scratch.len());
    let bytes = crate::widen::take(scratch, bytes)?;
    elements(bytes, len)
}

impl<A: Real + Scalar<Acc = A>> Kernel<A> {
    fn scratch_len(p: &Problem) -> usize {
        let (x, w) = (p.ic * p.in_plane(), p.ic * p.oc * p.taps());
        let rows = p.out_plane().saturating_mul(base::threads::slots());
        padded::<A>(x) + padded::<A>(w) + padded::<A>(p.spread()) + Self::product_len(p) + padded::<A>(rows)
    }

    /// Bytes of scratch memory that the matrix product takes.
    fn product_len(p: &Problem) -> usize {
        scratch_len::<A>(1, p.oc * p.taps(), p.in_plane(), p.ic, false, false).next_multiple_of(64)
    }

    fn convolve(p: &Problem, cx: &Run<'_>) -> Result<()> {
        let (x, w) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?);
        let bias = cx.optional(2)?.map(Floats::of).transpose()?;
        let channels = p.groups * p.oc;
        ensure!(bias.is_none_or(|b| b.len() == channels), InvalidArgument, "a bias of {:?} elements", bias.map(|b| b.len()));
        let y = FloatsMut::of(cx.output(0)?)?;
        let (plane, input, kernel) = (p.out_plane(), p.ic * p.in_plane(), p.oc * p.taps());
        let mut scratch = cx.scratch::<u8>()?;
        let (wide_x, wide_w) = (room::<A>(&mut scratch, input)?, room::<A>(&mut scratch, p.ic * kernel)?);
        let spread = room::<A>(&mut scratch, p.spread())?;
        let len = Self::product_len(p).min(scratch.len());
        let product = crate::widen::take(&mut scratch, len)?;
        // What is left holds a row for each thread that was there when the memory was set aside.
        let count = scratch.len() / size_of::<A>();
        let rows = elements::<A>(scratch, count)?;
        for i in 0..p.batch * p.groups {
            let g = i % p.groups;
            let x = x.row(i * input..(i + 1) * input, wide_x);
            let w = w.row(g * p.ic * kernel..(g + 1) * p.ic * kernel, wide_w);
            let (a, b) = (Mat::row_major(w, p.ic, kernel)?.transposed(), Mat::row_major(x, p.ic, p.in_plane())?);
            gemm(a, b, &Epilogue::default(), MatMut::row_major(&mut *spread, kernel, p.in_plane())?, product)?;
            let (spread, y) = (&*spread, &y);
            let per_channel = p.taps() * p.in_plane();
            for_rows(&mut *rows, plane, p.oc, rows_per_chunk(per_channel * size_of::<A>()), &|row, range| {
                for c in range {
                    let start = bias.map_or(A::zero(), |b| b.get(g * p.oc + c));
                    let at = (i * p.oc + c) * plane;
                    let sum = |y: &mut [A]| {
                        y.fill(start);
                        fold(&p.axes, &spread[c * per_channel..(c + 1) * per_channel], y);
                    };
                    // SAFETY: each channel belongs to one chunk.
                    unsafe { y.fill(at..at + plane, &mut row[..plane], sum) }
                }
            })?;
        }
        Ok(())
    }
}

impl<A: Real + Scalar<Acc = A>> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let problem = sizes.input(0).and_then(|x| self.op.problem(x, sizes.input(1)?));
        problem.map_or(0, |p| Self::scratch_len(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let p = self.op.problem(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        let (dtype, shape) = (cx.input(0)?.dtype(), p.shape());
        cx.allocate(0, dtype, shape.clone())?;
        if shape.contains(&0) {
            return Ok(());
        }
        ensure!(cx.output_shape(0) == Some(&*shape), Fail, "the output has shape {:?}, not {shape}", cx.output_shape(0));
        Self::convolve(&p, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + 5) % 11) as f32 - 5.0).collect()
    }

    /// One axis: `y[i * stride + k * dilation - pad] += x[i] * w[k]`.
    fn plain(x: &[f32], w: &[f32], [ic, oc, groups]: [usize; 3], [kernel, stride, dilation, pad, out]: [usize; 5]) -> Vec<f64> {
        let n = x.len() / ic;
        let (gi, go) = (ic / groups, oc / groups);
        let mut y = vec![0.0; oc * out];
        for (c, i) in (0..ic).flat_map(|c| (0..n).map(move |i| (c, i))) {
            for (o, k) in (0..go).flat_map(|o| (0..kernel).map(move |k| (o, k))) {
                let at = (i * stride + k * dilation) as isize - pad as isize;
                if (0..out as isize).contains(&at) {
                    let weight = w[(c * go + o) * kernel + k];
                    y[(c / gi * go + o) * out + at as usize] += f64::from(x[c * n + i]) * f64::from(weight);
                }
            }
        }
        y
    }

    #[test]
    fn strides_dilations_and_groups() {
        for (ic, oc, groups) in [(3, 4, 1), (4, 6, 2)] {
            for (kernel, stride, dilation, pad) in [(3, 1, 1, 0), (2, 2, 1, 0), (3, 2, 2, 1), (1, 3, 1, 0)] {
                let out = 6 * stride + (kernel - 1) * dilation + 1 - 2 * pad;
                let (x, w) = (data(ic * 7), data(ic * oc / groups * kernel));
                let op = single(&CONV_TRANSPOSE, 11).attr("group", groups as i64).attr("strides", vec![stride as i64]);
                let op = op.attr("dilations", vec![dilation as i64]).attr("pads", vec![pad as i64; 2]);
                let y = op.input([1, ic, 7], &x).input([ic, oc / groups, kernel], &w).tensor().unwrap();
                assert_close(&y, &plain(&x, &w, [ic, oc, groups], [kernel, stride, dilation, pad, out]), 1e-5, 1e-5);
            }
        }
    }

    #[test]
    fn sizes_may_be_asked_for() {
        let (x, w) = (data(5), data(3));
        let op = || single(&CONV_TRANSPOSE, 11).attr("strides", vec![2i64]).input([1, 1, 5], &x).input([1, 1, 3], &w);
        let y = op().attr("output_shape", vec![10i64]).tensor().unwrap();
        assert_close(&y, &plain(&x, &w, [1, 1, 1], [3, 2, 1, 1, 10]), 1e-5, 1e-5);
        let y = op().attr("output_shape", vec![10i64]).attr("auto_pad", "SAME_UPPER").tensor().unwrap();
        assert_close(&y, &plain(&x, &w, [1, 1, 1], [3, 2, 1, 0, 10]), 1e-5, 1e-5);
        let y = op().attr("output_padding", vec![1i64]).tensor().unwrap();
        assert_close(&y, &plain(&x, &w, [1, 1, 1], [3, 2, 1, 0, 12]), 1e-5, 1e-5);
    }

    #[test]
    fn halves_with_a_bias() {
        let h = |v: &[f32]| v.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>();
        let (x, w) = (data(8), data(12));
        let y = single(&CONV_TRANSPOSE, 11).input([1, 2, 4], &h(&x)).input([2, 2, 3], &h(&w)).input([2], &h(&[1.0, 2.0])).tensor().unwrap();
        let want = plain(&x, &w, [2, 2, 1], [3, 1, 1, 0, 6]);
        assert_close(&y, &want.iter().enumerate().map(|(i, v)| v + if i < 6 { 1.0 } else { 2.0 }).collect::<Vec<_>>(), 1e-3, 1e-3);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        assert!(single(&CONV_TRANSPOSE, 11).input([1, 2, 4], &[0f32; 8]).input([3, 1, 2], &[0f32; 6]).tensor().is_err());
    }
}
