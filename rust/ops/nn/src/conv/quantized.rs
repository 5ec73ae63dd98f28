//! QLinearConv: convolution of quantized tensors, quantized again.

use base::threads::{SharedMut, parallel_ranges};
use base::{DType, Result, Shape, bail, ensure};
use gemm::{ByteOutput, MatMut, Scales};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::bytes::{self, Byte, Weights, Zeros};
use super::integer::{ByteConv, channel_bytes, channel_zeros, integers};
use super::plain::output_dims;
use super::problem::Problem;
use super::windows::elements;
use crate::floats::Floats;

const BYTES: TypeSet = TypeSet::tensors(&[DType::I8, DType::U8]);

/// QLinearConv of `ai.onnx`.
pub static Q_LINEAR_CONV: OpDef = OpDef {
    name: "QLinearConv",
    versions: &[since(
        10,
        "x:T1, x_scale:float, x_zero_point:T1, w:T2, w_scale:float, w_zero_point:T2, y_scale:float, y_zero_point:T3, B:T4? -> y:T3",
        &[("T1", BYTES), ("T2", BYTES), ("T3", BYTES), ("T4", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| Ok(Box::new(QLinearConv(ByteConv::read(a)?))),
    kernels: Kernels::NONE.cpu::<QLinearConv>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct QLinearConv(ByteConv);

impl Op for QLinearConv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = match (cx.dims(0)?, cx.dims(3)?) {
            (Some(x), Some(w)) => Some(output_dims(&self.0.window, self.0.groups, x, w)?),
            _ => None,
        };
        let dtype = cx.dtype(7)?;
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for QLinearConv {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(self.0.clone())))
    }
}

struct Kernel(ByteConv);

/// The factor of each output channel, `x * w / y`, put into `room`: one for all, or one for each.
fn factors<'a>(cx: &Run<'_>, channels: usize, room: &'a mut [f32]) -> Result<&'a [f32]> {
    let scales = |i: usize| cx.input(i).and_then(Floats::of);
    let (x, w, y) = (scales(1)?, scales(4)?, scales(6)?);
    let fits = x.len() == 1 && y.len() == 1 && (w.len() == 1 || w.len() == channels);
    ensure!(fits, InvalidArgument, "scales of {}, {} and {} elements for {channels} channels", x.len(), w.len(), y.len());
    ensure!(w.len() <= room.len(), Fail, "no room for {} factors", w.len());
    let room = &mut room[..w.len()];
    room.iter_mut().enumerate().for_each(|(i, f)| *f = x.get::<f32>(0) * w.get::<f32>(i) / y.get::<f32>(0));
    Ok(room)
}

/// The result, of either sign.
enum Target<'a> {
    U8(SharedMut<'a, u8>, u8),
    I8(SharedMut<'a, i8>, i8),
}

impl Target<'_> {
    /// Writes sums from `start` on, scaled, rounded to nearest even, shifted and saturated.
    ///
    /// # Safety
    /// Nobody else uses these elements meanwhile.
    unsafe fn write(&self, start: usize, sums: &[i32], factor: f32) {
        let scaled = |sum: &i32, zero: i32, low: f32, high: f32| ((*sum as f32 * factor).round_ties_even() + zero as f32).clamp(low, high);
        // SAFETY: the caller keeps others away from the range.
        unsafe {
            match self {
                Self::U8(y, z) => {
                    let y = y.part(start..start + sums.len());
                    y.iter_mut().zip(sums).for_each(|(y, s)| *y = scaled(s, (*z).into(), 0.0, 255.0) as u8);
                }
                Self::I8(y, z) => {
                    let y = y.part(start..start + sums.len());
                    y.iter_mut().zip(sums).for_each(|(y, s)| *y = scaled(s, (*z).into(), -128.0, 127.0) as i8);
                }
            }
        }
    }
}

impl Kernel {
    fn convolve<T: Byte>(&self, cx: &Run<'_>, p: &Problem) -> Result<()> {
        let channels = p.groups * p.oc;
        let x = cx.input(0)?.slice::<T>()?;
        let (room, scratch) = integers(cx.scratch()?, channel_bytes(p))?;
        let zeros = Zeros { x: cx.input(2)?.scalar::<T>()?, w: channel_zeros(cx, 5, channels, room)? };
        ensure!(channel_bytes(p) <= scratch.len(), Fail, "the scratch memory is too small");
        let (room, scratch) = scratch.split_at_mut(channel_bytes(p));
        let factors = factors(cx, channels, elements(room, channels.max(1))?)?;
        let bias = cx.optional(8)?.map(|b| b.slice::<i32>()).transpose()?;
        ensure!(bias.is_none_or(|b| b.len() == channels), InvalidArgument, "a bias of {:?} elements", bias.map(<[i32]>::len));
        let weights = Weights::of(cx.input(3)?)?;
        let (y, zero) = (cx.output(0)?, cx.input(7)?);
        if y.is_empty() {
            return Ok(());
        }
        let target = match y.dtype() {
            DType::U8 => Target::U8(SharedMut::new(y.slice()?), zero.scalar()?),
            DType::I8 => Target::I8(SharedMut::new(y.slice()?), zero.scalar()?),
            other => bail!(NotImplemented, "a quantized result of {other}"),
        };
        let plane = p.out_plane();
        let factor = |c: usize| factors[c.min(factors.len() - 1)];
        if bytes::by_channel(p) {
            let sums: &mut [i32] = elements(scratch, p.batch * channels * plane)?;
            bytes::depthwise(p, x, weights, zeros, bias, sums)?;
            parallel_ranges(p.batch * channels, crate::chunks::rows_per_chunk(plane * size_of::<i32>()), &|planes| {
                // SAFETY: each plane belongs to one chunk.
                planes.for_each(|i| unsafe { target.write(i * plane, &sums[i * plane..(i + 1) * plane], factor(i % channels)) });
            });
            return base::threads::check();
        }
        bytes::convolve(p, x, weights, zeros, bias, scratch, |part| {
            let first = (part.image * channels + part.channel) * plane;
            let range = first + part.start..first + part.channels * plane;
            let rows = if factors.len() > 1 { &factors[part.channel..part.channel + part.channels] } else { factors };
            let scales = Scales { rows, cols: &[1.0] };
            // SAFETY: products are made one after the other, each with its own borrow of the channels it writes.
            Ok(unsafe {
                match &target {
                    Target::U8(y, z) => {
                        ByteOutput::U8 { c: MatMut::new(y.part(range), part.channels, part.count, plane)?, scales, zero_point: *z }
                    }
                    Target::I8(y, z) => {
                        ByteOutput::I8 { c: MatMut::new(y.part(range), part.channels, part.count, plane)?, scales, zero_point: *z }
                    }
                }
            })
        })
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let problem = sizes.input(0).and_then(|x| self.0.problem(x, sizes.input(3)?));
        problem.map_or(0, |p| 2 * channel_bytes(&p) + bytes::scratch(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let p = self.0.problem(cx.input(0)?.shape(), cx.input(3)?.shape())?;
        let shape: Shape = p.shape();
        cx.allocate(0, cx.input(7)?.dtype(), shape)?;
        match cx.input(0)?.dtype() {
            DType::I8 => self.convolve::<i8>(cx, &p),
            _ => self.convolve::<u8>(cx, &p),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn scales_of_each_channel_and_a_bias() {
        for groups in [1usize, 4] {
            let (ic, oc) = (4, 4);
            let x: Vec<u8> = (0..ic * 25).map(|i| (i * 37 % 256) as u8).collect();
            let w: Vec<i8> = (0..oc * ic / groups * 9).map(|i| (i * 91 % 256) as u8 as i8).collect();
            let scales = [0.01f32, 0.02, 0.005, 0.03];
            let bias = [100i32, -2000, 0, 7];
            let op = single(&Q_LINEAR_CONV, 10).attr("group", groups as i64).attr("pads", vec![1i64; 4]);
            let op = op.input([1, ic, 5, 5], &x).input([], &[0.1f32]).input([], &[128u8]).input([oc, ic / groups, 3, 3], &w);
            let op = op.input([oc], &scales).input([oc], &[0i8; 4]).input([], &[0.5f32]).input([], &[100u8]).input([oc], &bias);
            let y = op.tensor().unwrap();
            for (i, got) in y.slice::<u8>().unwrap().iter().enumerate() {
                let (o, oy, ox) = (i / 25, i / 5 % 5, i % 5);
                let mut sum = bias[o];
                for (c, t) in (0..ic / groups).flat_map(|c| (0..9).map(move |t| (c, t))) {
                    let (iy, ix) = (oy + t / 3, ox + t % 3);
                    if (1..6).contains(&iy) && (1..6).contains(&ix) {
                        let channel = if groups == 1 { c } else { o };
                        let weight = i32::from(w[(o * (ic / groups) + c) * 9 + t]);
                        sum += (i32::from(x[(channel * 5 + iy - 1) * 5 + ix - 1]) - 128) * weight;
                    }
                }
                let exact = f64::from(sum) * 0.1 * f64::from(scales[o]) / 0.5 + 100.0;
                assert!((f64::from(*got) - exact.clamp(0.0, 255.0)).abs() <= 0.51, "{groups} {i}: {got} and {exact}");
            }
        }
    }
}
