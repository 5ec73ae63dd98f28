//! BatchNormalization: each channel by a given mean and variance, or, in training, by those of the batch.

use std::marker::PhantomData;

use base::threads::paced;
use base::{DType, Result, Shape, ensure};
use ir::Dims;
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

const OLD: &str = "X:T, scale:T, B:T, mean:T, var:T -> Y:T, mean:T?, var:T?, saved_mean:T?, saved_var:T?";

/// BatchNormalization of `ai.onnx`.
pub static BATCH_NORMALIZATION: OpDef = OpDef {
    name: "BatchNormalization",
    versions: &[
        since(1, OLD, &[("T", FLOATS_V1)]),
        since(6, OLD, &[("T", FLOATS_V1)]),
        since(7, OLD, &[("T", FLOATS_V1)]),
        since(9, OLD, &[("T", FLOATS_V1)]),
        since(14, "X:T, scale:T, B:T, input_mean:U, input_var:U -> Y:T, running_mean:U?, running_var:U?", &[("T", FLOATS), ("U", FLOATS)]),
        since(
            15,
            "X:T, scale:T1, B:T1, input_mean:T2, input_var:T2 -> Y:T, running_mean:T2?, running_var:T2?",
            &[("T", FLOATS), ("T1", FLOATS), ("T2", FLOATS)],
        ),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<BatchNormalization>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct BatchNormalization {
    epsilon: f32,
    momentum: f32,
    training: bool,
    /// Whether one mean serves a whole channel; before opset 9 each position could have its own.
    spatial: bool,
}

fn load(a: &Attrs<'_>) -> Result<BatchNormalization> {
    let training = match a.since() {
        // Until opset 14 the number of outputs told, and, where there is one, `is_test` too.
        1 | 6 => {
            a.ignore("consumed_inputs");
            !a.flag("is_test", false)? && (1..a.output_count()).any(|i| a.has_output(i))
        }
        7 | 9 => (1..a.output_count()).any(|i| a.has_output(i)),
        _ => a.flag("training_mode", false)?,
    };
    let spatial = a.since() >= 9 || a.flag("spatial", true)?;
    ensure!(spatial || !training, NotImplemented, "training with a mean for each position");
    Ok(BatchNormalization { epsilon: a.float("epsilon", 1e-5)?, momentum: a.float("momentum", 0.9)?, training, spatial })
}

impl BatchNormalization {
    /// The shape of mean and variance.
    fn params<T: Clone>(&self, dims: &[T]) -> Vec<T> {
        if self.spatial { dims[1..2].to_vec() } else { dims[1..].to_vec() }
    }
}

impl Op for BatchNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let mut statistics: Option<Dims> = cx.dims(3)?.map(Into::into);
        if let Some(dims) = cx.dims(0)? {
            // A lone axis stands for images of one channel.
            let dims: Dims = if dims.len() == 1 { vec![dims[0].clone(), ir::Dim::Known(1)].into() } else { dims.into() };
            ensure!(dims.len() >= 2, InvalidGraph, "an input of images and channels is needed, not a scalar");
            let want = self.params(&dims);
            for i in 1..5 {
                let have = cx.dims(i)?;
                let differs = |(a, b): (&ir::Dim, &ir::Dim)| a.known().zip(b.known()).is_some_and(|(a, b)| a != b);
                let fits = have.is_none_or(|have| have.len() == want.len() && !have.iter().zip(&want).any(differs));
                ensure!(fits, InvalidGraph, "input {i} has shape {have:?}, not {want:?}");
            }
            statistics = Some(want.into());
        }
        crate::infer::same(cx, 0, 0)?;
        let dtype = cx.dtype(3)?;
        (1..5).for_each(|i| cx.tensor(i, dtype, statistics.clone()));
        Ok(())
    }
}

impl CpuKernel for BatchNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let plain = matches!(cx.dtype(0)?, DType::F32 | DType::F64);
        let wide = (0..5).any(|i| cx.dtype(i).is_ok_and(is_wide));
        Ok(if wide {
            Box::new(Kernel::<f64> { op: self.clone(), plain: plain && is_wide(cx.dtype(0)?), real: PhantomData })
        } else {
            Box::new(Kernel::<f32> { op: self.clone(), plain, real: PhantomData })
        })
    }
}

struct Kernel<A> {
    op: BatchNormalization,
    /// Whether elements are stored as they are computed.
    plain: bool,
    real: PhantomData<A>,
}

/// An input seen as `[images, channels, spatial]`.
#[derive(Clone, Copy, Debug)]
struct Split {
    images: usize,
    channels: usize,
    spatial: usize,
}

/// Elements of a row that are converted at a time.
const PIECE: usize = 4096;

impl<A: Real> Kernel<A> {
    fn split(&self, shape: &[usize]) -> Result<Split> {
        ensure!(!shape.is_empty(), InvalidArgument, "an input of images and channels is needed, not a scalar");
        let channels = shape.get(1).copied().unwrap_or(1);
        let spatial: usize = shape.iter().skip(2).product();
        Ok(match self.op.spatial {
            true => Split { images: shape[0], channels, spatial },
            false => Split { images: shape[0], channels: channels * spatial, spatial: 1 },
        })
    }

    /// Elements of scratch memory that threads share: factor and shift of each channel.
    fn shared(&self, split: Split) -> usize {
        2 * split.channels
    }

    fn own(&self) -> usize {
        if self.plain && !self.op.training { 0 } else { 2 * PIECE }
    }

    /// Mean and variance of one channel of the batch.
    fn statistics(&self, split: Split, x: Floats<'_>, channel: usize, buffer: &mut [A]) -> (A, A) {
        let mut each_piece = |f: &mut dyn FnMut(&[A])| {
            for image in 0..split.images {
                let start = (image * split.channels + channel) * split.spatial;
                for piece in paced((0..split.spatial).step_by(PIECE), PIECE) {
                    f(x.row(start + piece..start + (piece + PIECE).min(split.spatial), buffer));
                }
            }
        };
        let n = (split.images * split.spatial) as f64;
        let (mut sum, mut squares) = (0.0, 0.0);
        each_piece(&mut |x| sum += A::sum_of(x).f64());
        let mean = A::of(sum / n);
        each_piece(&mut |x| squares += x.iter().map(|v| (*v - mean).f64() * (*v - mean).f64()).sum::<f64>());
        (mean, A::of(squares / n))
    }

    /// Factor and shift of each channel from the statistics at hand.
    fn coefficients(&self, [scale, bias, mean, variance]: [Floats<'_>; 4], factors: &mut [A], shifts: &mut [A]) {
        for (c, (factor, shift)) in factors.iter_mut().zip(shifts).enumerate() {
            *factor = scale.get::<A>(c) / (variance.get::<A>(c) + A::of(self.op.epsilon.into())).sqrt();
            *shift = bias.get::<A>(c) - mean.get::<A>(c) * *factor;
        }
    }

    /// Factor and shift of each channel from the statistics of the batch, which are written to the outputs.
    fn train(
        &self,
        cx: &Run<'_>,
        split: Split,
        inputs: &[Floats<'_>; 5],
        factors: &mut [A],
        shifts: &mut [A],
        own: &mut [A],
    ) -> Result<()> {
        let [x, scale, bias, mean, variance] = inputs;
        let mut outputs = Vec::with_capacity(4);
        for i in 1..5 {
            outputs.push(if cx.has_output(i) { Some(FloatsMut::of(cx.output(i)?)?) } else { None });
            if let Some(Some(y)) = outputs.last() {
                ensure!(y.len() == split.channels, Fail, "output {i} has {} elements, not {}", y.len(), split.channels);
            }
        }
        let momentum = A::of(self.op.momentum.into());
        let mixed = |old: A, new: A| old * momentum + new * (A::one() - momentum);
        let coefficients = (base::threads::SharedMut::new(factors), base::threads::SharedMut::new(shifts));
        for_rows(own, self.own(), split.channels, 1, &|own, channels| {
            for c in channels {
                let (m, v) = self.statistics(split, *x, c, own);
                let running = [mixed(mean.get(c), m), mixed(variance.get(c), v), m, v];
                let factor = scale.get::<A>(c) / (v + A::of(self.op.epsilon.into())).sqrt();
                // SAFETY: each channel belongs to one chunk.
                unsafe {
                    outputs.iter().zip(running).for_each(|(y, value)| y.iter().for_each(|y| y.write(c, &[value])));
                    coefficients.0.part(c..c + 1)[0] = factor;
                    coefficients.1.part(c..c + 1)[0] = bias.get::<A>(c) - m * factor;
                }
            }
        })
    }

    fn apply(&self, split: Split, x: Floats<'_>, y: &FloatsMut<'_>, factors: &[A], shifts: &[A], own: &mut [A]) -> Result<()> {
        if split.spatial == 1 {
            return self.apply_positions(split, x, y, factors, shifts, own);
        }
        let pieces = split.spatial.div_ceil(PIECE);
        let grain = rows_per_chunk(split.spatial.min(PIECE) * size_of::<A>());
        for_rows(own, self.own(), split.images * split.channels * pieces, grain, &|own, range| {
            let (before, after) = own.split_at_mut(own.len() / 2);
            for piece in range {
                let (row, first) = (piece / pieces, piece % pieces * PIECE);
                let (start, end) = (row * split.spatial + first, row * split.spatial + (first + PIECE).min(split.spatial));
                let c = row % split.channels;
                let x = x.row(start..end, before);
                // SAFETY: each piece belongs to one chunk.
                unsafe { y.fill(start..end, after, |y| A::affine(x, y, factors[c], shifts[c])) }
            }
        })
    }

    /// Each element of an image has its own factor and shift.
    fn apply_positions(&self, split: Split, x: Floats<'_>, y: &FloatsMut<'_>, factors: &[A], shifts: &[A], own: &mut [A]) -> Result<()> {
        let pieces = split.channels.div_ceil(PIECE);
        let grain = rows_per_chunk(split.channels.min(PIECE) * size_of::<A>());
        for_rows(own, self.own(), split.images * pieces, grain, &|own, range| {
            let (before, after) = own.split_at_mut(own.len() / 2);
            for piece in range {
                let (image, first) = (piece / pieces, piece % pieces * PIECE);
                let channels = first..(first + PIECE).min(split.channels);
                let range = image * split.channels + channels.start..image * split.channels + channels.end;
                let x = x.row(range.clone(), before);
                let (factors, shifts) = (&factors[channels.clone()], &shifts[channels]);
                let each = |y: &mut [A]| {
                    y.iter_mut().zip(x).zip(factors.iter().zip(shifts)).for_each(|((y, x), (a, b))| *y = *x * *a + *b);
                };
                // SAFETY: each piece belongs to one chunk.
                unsafe { y.fill(range, after, each) }
            }
        })
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let split = sizes.input(0).and_then(|shape| self.split(shape));
        split.map_or(0, |s| self.shared(s).saturating_mul(size_of::<A>()).saturating_add(scratch_bytes::<A>(self.own())))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let (stash, kept) = (cx.input(3)?.dtype(), Shape::from(cx.input(3)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        (1..5).try_for_each(|i| cx.allocate(i, stash, kept.clone()))?;
        let split = self.split(&shape)?;
        let input = |i| cx.input(i).and_then(Floats::of);
        let inputs = [input(0)?, input(1)?, input(2)?, input(3)?, input(4)?];
        for (i, x) in inputs.iter().enumerate().skip(1) {
            ensure!(
                x.len() == split.channels,
                InvalidArgument,
                "input {i} has {} elements, not {}: the input has shape {shape}",
                x.len(),
                split.channels
            );
        }
        let y = FloatsMut::of(cx.output(0)?)?;
        ensure!(y.len() == inputs[0].len(), Fail, "the output has {} elements, not {}", y.len(), inputs[0].len());
        let scratch = cx.scratch::<A>()?;
        ensure!(scratch.len() >= self.shared(split), Fail, "the scratch memory is too small");
        let (factors, rest) = scratch.split_at_mut(split.channels);
        let (shifts, own) = rest.split_at_mut(split.channels);
        let [x, scale, bias, mean, variance] = inputs;
        match self.op.training {
            true => self.train(cx, split, &inputs, factors, shifts, own)?,
            false => self.coefficients([scale, bias, mean, variance], factors, shifts),
        }
        self.apply(split, x, &y, factors, shifts, own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{Single, assert_close, single};

    const SCALE: [f32; 3] = [1.0, 2.0, -1.0];
    const BIAS: [f32; 3] = [0.0, 0.5, 1.0];
    const MEAN: [f32; 3] = [0.1, -0.2, 0.3];
    const VAR: [f32; 3] = [1.0, 4.0, 0.25];

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    fn node(opset: u32, shape: &[usize], x: &[f32]) -> Single {
        let s = single(&BATCH_NORMALIZATION, opset).input(shape, x);
        s.input([3], &SCALE).input([3], &BIAS).input([3], &MEAN).input([3], &VAR)
    }

    fn plain(x: &[f32], spatial: usize, mean: &[f64], var: &[f64]) -> Vec<f64> {
        let at = |i: usize| i / spatial % 3;
        let y = |(i, v): (usize, &f32)| {
            (f64::from(*v) - mean[at(i)]) / (var[at(i)] + 1e-5).sqrt() * f64::from(SCALE[at(i)]) + f64::from(BIAS[at(i)])
        };
        x.iter().enumerate().map(y).collect()
    }

    #[test]
    fn inference_in_every_version() {
        let x = data(2 * 3 * 5000);
        let (mean, var) = (MEAN.map(f64::from), VAR.map(f64::from));
        for opset in [1, 6, 7, 9, 14, 15] {
            let s = node(opset, &[2, 3, 50, 100], &x);
            let s = if opset < 7 { s.attr("is_test", 1i64) } else { s };
            assert_close(&s.tensor().unwrap(), &plain(&x, 5000, &mean, &var), 1e-4, 1e-5);
        }
        let x = data(12);
        assert_close(&node(15, &[4, 3], &x).tensor().unwrap(), &plain(&x, 1, &mean, &var), 1e-4, 1e-5);
    }

    #[test]
    fn training_gives_running_statistics() {
        let x = data(2 * 3 * 7);
        let of = |c: usize| (0..42).filter(move |i| i / 7 % 3 == c).map(|i| f64::from(x[i]));
        let mean: Vec<f64> = (0..3).map(|c| of(c).sum::<f64>() / 14.0).collect();
        let var: Vec<f64> = (0..3).map(|c| of(c).map(|v| (v - mean[c]).powi(2)).sum::<f64>() / 14.0).collect();
        let out = node(15, &[2, 3, 7], &x).attr("training_mode", 1i64).attr("momentum", 0.8f32).run(3).unwrap();
        assert_close(out[0].tensor().unwrap(), &plain(&x, 7, &mean, &var), 1e-4, 1e-5);
        let running: Vec<f64> = (0..3).map(|c| f64::from(MEAN[c]) * 0.8 + mean[c] * 0.2).collect();
        assert_close(out[1].tensor().unwrap(), &running, 1e-5, 1e-6);
        let out = node(9, &[2, 3, 7], &x).run(5).unwrap();
        assert_close(out[4].tensor().unwrap(), &var, 1e-5, 1e-6);
    }

    #[test]
    fn types_may_differ_since_15() {
        let x: Vec<f16> = data(30).iter().map(|&v| f16::from_f32(v)).collect();
        let s = single(&BATCH_NORMALIZATION, 15).input([2, 3, 5], &x);
        let y = s.input([3], &SCALE).input([3], &BIAS).input([3], &MEAN.map(f64::from)).input([3], &VAR.map(f64::from)).tensor().unwrap();
        let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
        assert_close(&y, &plain(&wide, 5, &MEAN.map(f64::from), &VAR.map(f64::from)), 1e-3, 1e-3);
    }

    #[test]
    fn a_mean_for_each_position() {
        let six = [0.5f32; 6];
        let s = single(&BATCH_NORMALIZATION, 7).attr("spatial", 0i64).input([1, 3, 2], &data(6));
        let y = s.input([3, 2], &six).input([3, 2], &six).input([3, 2], &six).input([3, 2], &six).tensor().unwrap();
        let want: Vec<f64> = data(6).iter().map(|&v| (f64::from(v) - 0.5) / (0.5f64 + 1e-5).sqrt() * 0.5 + 0.5).collect();
        assert_close(&y, &want, 1e-5, 1e-6);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let s = single(&BATCH_NORMALIZATION, 15).input([1, 2, 2], &[0f32; 4]);
        assert!(s.input([3], &SCALE).input([3], &BIAS).input([3], &MEAN).input([3], &VAR).tensor().is_err());
    }
}
