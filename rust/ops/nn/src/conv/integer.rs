//! ConvInteger: convolution of 8-bit integers less their zero points, in 32 bits.

use base::{DType, Result, Shape, ensure};
use gemm::{ByteOutput, MatMut};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::bytes::{self, Byte, Weights, Zeros};
use super::plain::output_dims;
use super::problem::Problem;
use crate::window::WindowAttrs;

const BYTES: TypeSet = TypeSet::tensors(&[DType::I8, DType::U8]);

/// ConvInteger of `ai.onnx`.
pub static CONV_INTEGER: OpDef = OpDef {
    name: "ConvInteger",
    versions: &[since(
        10,
        "x:T1, w:T2, x_zero_point:T1?, w_zero_point:T2? -> y:T3",
        &[("T1", BYTES), ("T2", BYTES), ("T3", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| Ok(Box::new(ConvInteger(ByteConv::read(a)?))),
    kernels: Kernels::NONE.cpu::<ConvInteger>(),
    ..OpDef::ONNX
};

/// The attributes of a convolution of bytes.
#[derive(Clone, Debug)]
pub(super) struct ByteConv {
    pub(super) window: WindowAttrs,
    pub(super) groups: usize,
}

impl ByteConv {
    pub(super) fn read(a: &Attrs<'_>) -> Result<Self> {
        let groups = a.int("group", 1)?;
        ensure!((1..=i64::from(i32::MAX)).contains(&groups), InvalidGraph, "attribute 'group' is {groups}");
        Ok(Self { window: WindowAttrs::read(a, true, false)?, groups: groups as usize })
    }

    pub(super) fn problem(&self, x: &[usize], w: &[usize]) -> Result<Problem> {
        Problem::new(&self.window, self.groups, x, w)
    }
}

#[derive(Clone, Debug)]
struct ConvInteger(ByteConv);

impl Op for ConvInteger {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some(w)) => Some(output_dims(&self.0.window, self.0.groups, x, w)?),
            _ => None,
        };
        cx.tensor(0, DType::I32, dims);
        Ok(())
    }
}

impl CpuKernel for ConvInteger {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(self.0.clone())))
    }
}

struct Kernel(ByteConv);

/// Zero points of output channels as integers, put into `room`: none, one, or one for each.
pub(super) fn channel_zeros<'a>(cx: &Run<'_>, i: usize, channels: usize, room: &'a mut [i32]) -> Result<&'a [i32]> {
    let Some(t) = cx.optional(i)? else { return Ok(&[]) };
    let n = t.len();
    ensure!(n == 1 || n == channels, InvalidArgument, "{n} zero points for {channels} channels");
    ensure!(n <= room.len(), Fail, "no room for {n} zero points");
    match Weights::of(t)? {
        Weights::I8(z) => room.iter_mut().zip(z).for_each(|(to, z)| *to = (*z).into()),
        Weights::U8(z) => room.iter_mut().zip(z).for_each(|(to, z)| *to = (*z).into()),
    }
    Ok(&room[..n])
}

/// Bytes of scratch memory for a number of each output channel.
pub(super) fn channel_bytes(p: &Problem) -> usize {
    (p.groups * p.oc * size_of::<i32>()).next_multiple_of(64).max(64)
}

/// Cuts some bytes, which lie on a cache line, off and gives them as integers.
pub(super) fn integers(scratch: &mut [u8], bytes: usize) -> Result<(&mut [i32], &mut [u8])> {
    ensure!(bytes <= scratch.len(), Fail, "{bytes} bytes of scratch memory are needed, not {}", scratch.len());
    let (head, rest) = scratch.split_at_mut(bytes);
    Ok((super::windows::elements(head, bytes / size_of::<i32>())?, rest))
}

impl Kernel {
    fn convolve<T: Byte>(&self, cx: &Run<'_>, p: &Problem) -> Result<()> {
        let x = cx.input(0)?.slice::<T>()?;
        let zero = cx.optional(2)?.map_or(Ok(T::default()), |z| z.scalar::<T>())?;
        let (room, scratch) = integers(cx.scratch()?, channel_bytes(p))?;
        let zeros = Zeros { x: zero, w: channel_zeros(cx, 3, p.groups * p.oc, room)? };
        let weights = Weights::of(cx.input(1)?)?;
        let plane = p.out_plane();
        let y = cx.output(0)?.slice::<i32>()?;
        if y.is_empty() {
            return Ok(());
        }
        if bytes::by_channel(p) {
            return bytes::depthwise(p, x, weights, zeros, None, y);
        }
        let y = base::threads::SharedMut::new(y);
        bytes::convolve(p, x, weights, zeros, None, scratch, |part| {
            let first = (part.image * p.groups * p.oc + part.channel) * plane;
            // SAFETY: products are made one after the other, each with its own borrow of the channels it writes.
            let channels = unsafe { y.part(first..first + part.channels * plane) };
            Ok(ByteOutput::I32(MatMut::new(&mut channels[part.start..], part.channels, part.count, plane)?))
        })
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let problem = sizes.input(0).and_then(|x| self.0.problem(x, sizes.input(1)?));
        problem.map_or(0, |p| channel_bytes(&p) + bytes::scratch(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let p = self.0.problem(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        let shape: Shape = p.shape();
        cx.allocate(0, DType::I32, shape)?;
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
    fn against_the_sum() {
        for (ic, oc, groups) in [(3, 5, 1), (4, 6, 2), (6, 6, 6)] {
            let x: Vec<u8> = (0..ic * 30).map(|i| (i * 37 % 256) as u8).collect();
            let w: Vec<i8> = (0..oc * (ic / groups) * 6).map(|i| (i * 91 % 256) as u8 as i8).collect();
            let zeros: Vec<i8> = (0..oc as i8).map(|i| i - 2).collect();
            let op =
                single(&CONV_INTEGER, 10).attr("group", groups as i64).attr("pads", vec![1i64, 0, 1, 1]).attr("strides", vec![1i64, 2]);
            let op = op.input([1, ic, 5, 6], &x).input([oc, ic / groups, 2, 3], &w).input([], &[7u8]).input([oc], &zeros);
            let y = op.tensor().unwrap();
            let (h, wd) = (y.shape()[2], y.shape()[3]);
            for (i, got) in y.slice::<i32>().unwrap().iter().enumerate() {
                let (o, oy, ox) = (i / (h * wd), i / wd % h, i % wd);
                let mut sum = 0;
                for (c, ky, kx) in (0..ic / groups).flat_map(|c| (0..6).map(move |t| (c, t / 3, t % 3))) {
                    let (iy, ix) = (oy + ky, ox * 2 + kx);
                    if (1..6).contains(&iy) && ix < 6 {
                        let channel = o / (oc / groups) * (ic / groups) + c;
                        let weight = i32::from(w[((o * (ic / groups) + c) * 2 + ky) * 3 + kx]) - i32::from(zeros[o]);
                        sum += (i32::from(x[(channel * 5 + iy - 1) * 6 + ix]) - 7) * weight;
                    }
                }
                assert_eq!(*got, sum, "{groups} {i}");
            }
        }
    }
}
