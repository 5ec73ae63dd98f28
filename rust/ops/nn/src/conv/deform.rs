//! DeformConv: a convolution whose taps are moved by offsets of their own, each weighed by a mask.
//!
//! For each image and group, the taps are read by linear interpolation into the columns of a matrix, with which the weights are multiplied.

use std::marker::PhantomData;

use base::threads::{Pace, parallel_chunks_mut};
use base::{Result, Shape, bail, ensure, error};
use gemm::{Epilogue, Mat, MatMut, Operand, Step, gemm};
use ir::Dims;
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use crate::attention::core::Computed;
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::window::{WindowAttrs, sizes};

const SIGNATURE: &str = "X:T, W:T, offset:T, B:T?, mask:T? -> Y:T";

/// DeformConv of `ai.onnx`.
pub static DEFORM_CONV: OpDef = OpDef {
    name: "DeformConv",
    versions: &[since(19, SIGNATURE, &[("T", FLOATS_V1)]), since(22, SIGNATURE, &[("T", FLOATS)])],
    load: |a| DeformConv::load(a).map(|c| Box::new(c) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<DeformConv>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct DeformConv {
    window: WindowAttrs,
    groups: usize,
    /// How many parts of the channels have offsets of their own.
    parts: usize,
}

impl DeformConv {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let count = |name| {
            let n = a.int(name, 1)?;
            usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| error!(InvalidGraph, "attribute '{name}' is {n}"))
        };
        let window = WindowAttrs {
            kernel: sizes(a, "kernel_shape", 1)?,
            strides: sizes(a, "strides", 1)?,
            dilations: sizes(a, "dilations", 1)?,
            pads: sizes(a, "pads", 0)?.map(|p| p.into_iter().map(|p| p as i64).collect()),
            ..WindowAttrs::default()
        };
        Ok(Self { window, groups: count("group")?, parts: count("offset_group")? })
    }
}

impl Op for DeformConv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some(w)) => {
                ensure!(x.len() > 2 && x.len() == w.len(), InvalidGraph, "an input of shape {x:?} and weights of shape {w:?}");
                let rank = x.len() - 2;
                self.window.check_rank(rank)?;
                let spatial = (0..rank).map(|i| self.window.output_dim(&x[i + 2], &w[i + 2], i, rank));
                let spatial = spatial.collect::<Result<Vec<_>>>()?;
                Some([x[0].clone(), w[0].clone()].into_iter().chain(spatial).collect())
            }
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for DeformConv {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let op = self.clone();
        Ok(if is_wide(cx.dtype(0)?) {
            Box::new(Kernel::<f64> { op, real: PhantomData })
        } else {
            Box::new(Kernel::<f32> { op, real: PhantomData })
        })
    }
}

struct Kernel<A> {
    op: DeformConv,
    real: PhantomData<A>,
}

/// All sizes of a run.
struct Extents {
    batch: usize,
    channels: usize,
    outputs: usize,
    input: Shape,
    kernel: Shape,
    output: Shape,
}

fn product(sizes: &[usize]) -> usize {
    sizes.iter().product()
}

impl DeformConv {
    fn extents(&self, cx: &Run<'_>) -> Result<Extents> {
        let (x, w) = (cx.input(0)?.shape(), cx.input(1)?.shape());
        ensure!(x.len() > 2 && x.len() == w.len(), InvalidArgument, "an input of shape {x:?} and weights of shape {w:?}");
        let (rank, fits) = (x.len() - 2, x[1] == w[1] * self.groups && w[0].is_multiple_of(self.groups) && x[1].is_multiple_of(self.parts));
        ensure!(
            fits,
            InvalidArgument,
            "an input of shape {x:?} and weights of shape {w:?} in {} groups, {} of offsets",
            self.groups,
            self.parts
        );
        let given = self.window.kernel.as_ref().is_none_or(|k| k.is_empty() || **k == w[2..]);
        ensure!(given, InvalidArgument, "kernel_shape is {:?}, but weights are of shape {w:?}", self.window.kernel);
        let output = (0..rank).map(|i| self.window.axis(x[i + 2], w[i + 2], i, rank).map(|a| a.output)).collect::<Result<Vec<_>>>()?;
        let e =
            Extents { batch: x[0], channels: x[1], outputs: w[0], input: x[2..].into(), kernel: w[2..].into(), output: output[..].into() };
        let taps = self.parts * product(&e.kernel);
        for (i, name, each) in [(2, "offset", rank), (4, "mask", 1)] {
            let Some(t) = cx.optional(i)? else { continue };
            let want: Vec<usize> = [e.batch, taps * each].into_iter().chain(e.output.iter().copied()).collect();
            ensure!(t.shape() == want, InvalidArgument, "{name} is of shape {:?}, not {want:?}", t.shape());
        }
        if let Some(b) = cx.optional(3)? {
            ensure!(b.shape() == [e.outputs], InvalidArgument, "the bias is of shape {:?} for {} channels", b.shape(), e.outputs);
        }
        Ok(e)
    }
}

/// Element `place` of `image`, of shape `sizes`; between elements interpolated, outside zero.
fn read<A: Computed>(image: &[A], sizes: &[usize], place: &[A]) -> A {
    let mut sum = A::zero();
    for corner in 0..1usize << sizes.len() {
        let (mut weight, mut at) = (A::one(), 0);
        for (axis, (&p, &size)) in place.iter().zip(sizes).enumerate() {
            let low = p.floor();
            let upper = corner >> axis & 1 == 1;
            let i = if upper { low + A::one() } else { low };
            weight *= if upper { p - low } else { A::one() - (p - low) };
            // NaN is outside too.
            if !(i >= A::zero() && i < A::of(size as f64)) {
                weight = A::zero();
                break;
            }
            at = at * size + i.to_usize().unwrap_or(0).min(size - 1);
        }
        if weight != A::zero() {
            sum += weight * image[at];
        }
    }
    sum
}

/// The numbers of one image.
struct Image<'a, A> {
    x: &'a [A],
    offset: &'a [A],
    mask: Option<&'a [A]>,
}

impl DeformConv {
    /// Row `row` of the columns: what tap `row % taps` of channel `row / taps` reads at each place of the output.
    fn column<A: Computed>(&self, e: &Extents, image: &Image<'_, A>, row: usize, out: &mut [A]) {
        let (taps, rank, places) = (product(&e.kernel), e.kernel.len(), out.len());
        let (channel, tap) = (row / taps, row % taps);
        let part = channel / (e.channels / self.parts);
        let size = product(&e.input);
        let plane = &image.x[channel * size..][..size];
        let offset = &image.offset[(part * taps + tap) * rank * places..][..rank * places];
        let mask = image.mask.map(|m| &m[(part * taps + tap) * places..][..places]);
        let mut place = [A::zero(); MAX_RANK];
        let pace = Pace::default();
        for (i, out) in out.iter_mut().enumerate() {
            pace.spend(32);
            let (mut o, mut k) = (i, tap);
            for axis in (0..rank).rev() {
                let (at, of) = (o % e.output[axis], k % e.kernel[axis]);
                (o, k) = (o / e.output[axis], k / e.kernel[axis]);
                let start =
                    (at * self.window.stride(axis) + of * self.window.dilation(axis)) as f64 - self.window.pads(axis, rank).0 as f64;
                place[axis] = A::of(start) + offset[axis * places + i];
            }
            *out = read(plane, &e.input, &place[..rank]);
            if let Some(mask) = mask {
                *out *= mask[i];
            }
        }
    }
}

/// The most spatial axes.
const MAX_RANK: usize = 8;

impl<A: Computed> Prepared for Kernel<A> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let e = self.op.extents(cx)?;
        if e.kernel.len() > MAX_RANK {
            bail!(NotImplemented, "DeformConv over {} axes", e.kernel.len());
        }
        let dtype = cx.input(0)?.dtype();
        let shape: Shape = [e.batch, e.outputs].into_iter().chain(e.output.iter().copied()).collect();
        cx.allocate(0, dtype, shape)?;
        let wide = |i: usize| {
            let Some(t) = cx.optional(i)? else { return Ok(None) };
            let mut all = vec![A::zero(); t.len()];
            Floats::of(t)?.read(0, &mut all);
            Ok::<_, base::Error>(Some(all))
        };
        let (x, w, offset) = (wide(0)?.unwrap_or_default(), wide(1)?.unwrap_or_default(), wide(2)?.unwrap_or_default());
        let (bias, mask) = (wide(3)?.unwrap_or_else(|| vec![A::zero(); e.outputs]), wide(4)?);
        let y = FloatsMut::of(cx.output(0)?)?;
        let (places, taps, groups) = (product(&e.output), product(&e.kernel), self.op.groups);
        let (rows, outputs) = (e.channels / groups * taps, e.outputs / groups);
        if places == 0 || outputs == 0 {
            return Ok(());
        }
        let len = rows.checked_mul(places).ok_or_else(|| error!(InvalidArgument, "{rows} rows of {places} columns are too many"))?;
        let (mut columns, mut product_of) = (vec![A::zero(); len], vec![A::zero(); outputs * places]);
        for (n, g) in (0..e.batch * groups).map(|i| (i / groups, i % groups)) {
            cx.cancel().check()?;
            let of_image = |data: &[A]| data.len() / e.batch * n..data.len() / e.batch * (n + 1);
            let image = Image { x: &x[of_image(&x)], offset: &offset[of_image(&offset)], mask: mask.as_ref().map(|m| &m[of_image(m)]) };
            parallel_chunks_mut(&mut columns, places, &|row, out| self.op.column(&e, &image, g * rows + row, out));
            let weights = Mat::row_major(&w[g * outputs * rows..][..outputs * rows], outputs, rows)?;
            let steps = [Step::add(Operand::per_row(&bias[g * outputs..][..outputs]))];
            let out = MatMut::row_major(&mut product_of, outputs, places)?;
            gemm(weights, Mat::row_major(&columns, rows, places)?, &Epilogue::new(&steps), out, &mut [])?;
            // SAFETY: only this thread writes the output.
            unsafe { y.write((n * e.outputs + g * outputs) * places, &product_of) };
        }
        base::threads::check()
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use testkit::{Single, assert_close, single};

    use super::*;

    fn data(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + salt * 5 + 3) % 13) as f32 / 4.0 - 1.5).collect()
    }

    /// Images of 5 by 4 with 4 channels in 2 groups, 2 groups of offsets, a kernel of 2 by 3 with padding: outputs of 3 by 4.
    fn op(offset: &[f32]) -> Single {
        let s = single(&DEFORM_CONV, 22)
            .attr("group", 2)
            .attr("offset_group", 2)
            .attr("strides", ints(&[2, 1]))
            .attr("pads", ints(&[1, 1, 0, 1]));
        s.input([2, 4, 5, 4], &data(160, 0)).input([6, 2, 2, 3], &data(72, 1)).input([2, 24, 3, 4], offset)
    }

    fn ints(v: &[i64]) -> ir::Attribute {
        ir::Attribute::Ints(v.to_vec())
    }

    /// The same, element by element.
    fn plain(offset: &[f32], bias: &[f32], mask: &[f32]) -> Vec<f64> {
        let (x, w) = (data(160, 0), data(72, 1));
        let pixel = |n: usize, c: usize, i: f64, j: f64| {
            let inside = i >= 0. && j >= 0. && i < 5. && j < 4.;
            if inside { f64::from(x[((n * 4 + c) * 5 + i as usize) * 4 + j as usize]) } else { 0.0 }
        };
        let mut out = Vec::new();
        for (n, o, i, j) in (0..144).map(|k| (k / 72, k / 12 % 6, k / 4 % 3, k % 4)) {
            let mut sum = f64::from(bias[o]);
            for (c, u, v) in (0..12).map(|k| (k / 6, k / 3 % 2, k % 3)) {
                let channel = o / 3 * 2 + c;
                let tap = (channel / 2) * 6 + u * 3 + v;
                let at = |d: usize| f64::from(offset[((n * 24 + tap * 2 + d) * 3 + i) * 4 + j]);
                let (py, px) = ((i * 2 + u) as f64 - 1.0 + at(0), (j + v) as f64 - 1.0 + at(1));
                let (fy, fx) = (py.floor(), px.floor());
                let (dy, dx) = (py - fy, px - fx);
                let read = (1. - dy) * (1. - dx) * pixel(n, channel, fy, fx)
                    + (1. - dy) * dx * pixel(n, channel, fy, fx + 1.)
                    + dy * (1. - dx) * pixel(n, channel, fy + 1., fx)
                    + dy * dx * pixel(n, channel, fy + 1., fx + 1.);
                sum += read * f64::from(mask[((n * 12 + tap) * 3 + i) * 4 + j]) * f64::from(w[((o * 2 + c) * 2 + u) * 3 + v]);
            }
            out.push(sum);
        }
        out
    }

    #[test]
    fn groups_offsets_bias_and_mask() {
        let (offset, bias, mask) = (data(576, 2), data(6, 3), data(288, 4));
        let y = op(&offset).input([6], &bias).input([2, 12, 3, 4], &mask).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 6, 3, 4]);
        assert_close(&y, &plain(&offset, &bias, &mask), 1e-4, 1e-4);
        assert_close(&op(&offset).tensor().unwrap(), &plain(&offset, &[0.; 6], &[1.; 288]), 1e-4, 1e-4);
    }

    #[test]
    fn one_axis_halves_and_far_places() {
        let half = |x: &[f32]| x.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
        let s = single(&DEFORM_CONV, 19).input([1, 1, 4], &half(&[1., 2., 3., 4.])).input([1, 1, 1], &half(&[2.]));
        let y = s.input([1, 1, 4], &half(&[0.5, 1e4, f32::NAN, -0.25])).tensor().unwrap();
        assert_close(&y, &[3., 0., 0., 7.5], 1e-3, 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(op(&data(576, 0)).input([5], &[0f32; 5]).tensor().unwrap_err().detail().contains("the bias is of shape [5]"));
        let s = single(&DEFORM_CONV, 19).input([1, 1, 4], &[0f32; 4]).input([1, 1, 2], &[0f32; 2]).input([1, 2, 4], &[0f32; 8]);
        assert!(s.tensor().unwrap_err().detail().contains("offset is of shape [1, 2, 4], not [1, 2, 3]"));
        assert!(single(&DEFORM_CONV, 19).attr("group", 0).input([1], &[0f32]).input([1], &[0f32]).input([1], &[0f32]).tensor().is_err());
    }
}
