//! DequantizeLinear: `y = (x - zero_point) * scale`.
//!
//! Differences of integers are exact, products are computed in single precision and rounded once.

use base::threads::{SharedMut, try_parallel_for};
use base::{DType, Result, Shape, bail, ensure};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::grid::{Grid, SEGMENT, Segment};
use super::source::{Each, Source};
use super::{CHUNK, Granularity, check_zero_point, fast, write};

use DType::{
    BF16, F4E2M1, F6E2M3, F6E3M2, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, F32, I2, I4, I8, I16, I32, U2, U4, U8, U16,
};

const X_V10: TypeSet = TypeSet::tensors(&[I8, U8, I32]);
const X_V19: TypeSet = X_V10.or(TypeSet::tensors(&[F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]));
const X_V21: TypeSet = X_V19.or(TypeSet::tensors(&[U4, I4, U16, I16]));
const X_V23: TypeSet = X_V21.or(TypeSet::tensors(&[F4E2M1]));
const X_V25: TypeSet = X_V23.or(TypeSet::tensors(&[U2, I2]));
const X_V28: TypeSet = X_V25.or(TypeSet::tensors(&[F6E2M3, F6E3M2]));
const Y: TypeSet = TypeSet::tensors(&[F32, F16, BF16]);
const SCALE_V24: TypeSet = Y.or(TypeSet::tensors(&[F8E8M0]));

const SIGNATURE_V10: &str = "x:T, x_scale:float, x_zero_point:T? -> y:float";
const SIGNATURE_V19: &str = "x:T1, x_scale:T2, x_zero_point:T1? -> y:T2";
const SIGNATURE_V23: &str = "x:T1, x_scale:T2, x_zero_point:T1? -> y:T3";

/// DequantizeLinear of `ai.onnx`.
pub static DEQUANTIZE_LINEAR: OpDef = OpDef {
    name: "DequantizeLinear",
    versions: &[
        since(10, SIGNATURE_V10, &[("T", X_V10)]),
        since(13, SIGNATURE_V10, &[("T", X_V10)]),
        since(19, SIGNATURE_V19, &[("T1", X_V19), ("T2", Y)]),
        since(21, SIGNATURE_V19, &[("T1", X_V21), ("T2", Y)]),
        since(23, SIGNATURE_V23, &[("T1", X_V23), ("T2", Y), ("T3", Y)]),
        since(24, SIGNATURE_V23, &[("T1", X_V23), ("T2", SCALE_V24), ("T3", Y)]),
        since(25, SIGNATURE_V23, &[("T1", X_V25), ("T2", SCALE_V24), ("T3", Y)]),
        since(28, SIGNATURE_V23, &[("T1", X_V28), ("T2", SCALE_V24), ("T3", Y)]),
    ],
    load: |a| Ok(Box::new(DequantizeLinear { granularity: Granularity::load(a)?, output: a.opt_dtype("output_dtype")? })),
    kernels: Kernels::NONE.cpu::<DequantizeLinear>(),
    ..OpDef::ONNX
};

/// DequantizeLinear of `com.microsoft`.
pub static MS_DEQUANTIZE_LINEAR: OpDef = OpDef {
    domain: "com.microsoft",
    versions: &[since(
        1,
        SIGNATURE_V19,
        &[("T1", TypeSet::tensors(&[I8, U8, I16, U16, I32, I4, U4])), ("T2", TypeSet::tensors(&[F16, F32]))],
    )],
    ..DEQUANTIZE_LINEAR
};

#[derive(Clone, Debug)]
struct DequantizeLinear {
    granularity: Granularity,
    output: Option<DType>,
}

impl DequantizeLinear {
    fn output(&self, scale: DType) -> Result<DType> {
        match self.output.unwrap_or(scale) {
            dtype @ (F32 | F16 | BF16) => Ok(dtype),
            other => bail!(InvalidGraph, "nothing is dequantized to {other}"),
        }
    }
}

impl Op for DequantizeLinear {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.output(cx.dtype(1)?)?;
        self.granularity.check(cx)?;
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for DequantizeLinear {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Dequantizer { granularity: self.granularity, output: self.output(cx.dtype(1)?)? }))
    }
}

struct Dequantizer {
    granularity: Granularity,
    output: DType,
}

impl Prepared for Dequantizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.output, shape)?;
        let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
        if let Some(zero) = zero {
            ensure!(zero.dtype() == x.dtype(), InvalidArgument, "the zero point is of type {}, not {}", zero.dtype(), x.dtype());
            check_zero_point(scale.shape(), zero.shape())?;
        }
        let grid = self.granularity.grid(x.shape(), scale.shape())?;
        if fast::is_usual(self.output, scale.dtype(), x.dtype()) {
            let out = cx.output(0)?;
            return match x.dtype() {
                U8 => fast::dequantize::<u8>(grid, x, scale, zero, out),
                I8 => fast::dequantize::<i8>(grid, x, scale, zero, out),
                U16 => fast::dequantize::<u16>(grid, x, scale, zero, out),
                _ => fast::dequantize::<i16>(grid, x, scale, zero, out),
            };
        }
        let task =
            Task { grid, x: Source::new(x)?, scale: Source::new(scale)?, zero: zero.map(Source::new).transpose()?, output: self.output };
        task.run(x.len(), cx.output(0)?.bytes()?)
    }
}

type Ints = [i32; SEGMENT];

/// Room for one segment of numbers at each stage.
struct Buffers {
    values: [f32; SEGMENT],
    floats: [f32; SEGMENT],
    ints: Ints,
    zeros: Ints,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { values: [0.0; SEGMENT], floats: [0.0; SEGMENT], ints: [0; SEGMENT], zeros: [0; SEGMENT] }
    }
}

/// One tensor to be dequantized.
struct Task<'a> {
    grid: Grid,
    x: Source<'a>,
    scale: Source<'a>,
    zero: Option<Source<'a>>,
    output: DType,
}

impl Task<'_> {
    fn run(&self, len: usize, out: &mut [u8]) -> Result<()> {
        let size = self.output.size().unwrap_or(1);
        ensure!(len.checked_mul(size) == Some(out.len()), Fail, "{len} elements of {} do not fill {} bytes", self.output, out.len());
        let out = SharedMut::new(out);
        try_parallel_for(len.div_ceil(CHUNK), &|chunk| {
            let (start, end) = (chunk * CHUNK, len.min((chunk + 1) * CHUNK));
            // SAFETY: the parts of different chunks do not overlap, and a region runs each chunk once.
            let part = unsafe { out.part(start * size..end * size) };
            let buffers = &mut Buffers::default();
            self.grid.segments(start..end).try_for_each(|s| self.segment(&s, buffers, part, s.start - start))
        })
    }

    fn segment(&self, s: &Segment, buffers: &mut Buffers, out: &mut [u8], start: usize) -> Result<()> {
        let values = &mut buffers.values[..s.len];
        match self.zero {
            None => self.x.floats(s.start, values)?,
            Some(zero) if zero.is_integer() => self.differences(zero, s, values, (&mut buffers.ints, &mut buffers.zeros))?,
            Some(zero) => {
                self.x.floats(s.start, values)?;
                match zero.of_segment(s, &mut buffers.floats)? {
                    Each::All(zero) => values.iter_mut().for_each(|v| *v -= zero),
                    Each::One(zeros) => values.iter_mut().zip(zeros).for_each(|(v, zero)| *v -= zero),
                }
            }
        }
        match self.scale.of_segment(s, &mut buffers.floats)? {
            Each::All(scale) => values.iter_mut().for_each(|v| *v *= scale),
            Each::One(scales) => values.iter_mut().zip(scales).for_each(|(v, scale)| *v *= scale),
        }
        write::floats(self.output, values, out, start);
        Ok(())
    }

    fn differences(&self, zero: Source<'_>, s: &Segment, values: &mut [f32], (ints, zeros): (&mut Ints, &mut Ints)) -> Result<()> {
        let ints = &mut ints[..s.len];
        self.x.ints(s.start, ints)?;
        let zero = zero.ints_of_segment(s, zeros)?;
        if let Source::I32(_) = self.x {
            // Only here can a difference need more than 32 bits.
            for (i, (v, x)) in values.iter_mut().zip(ints.iter()).enumerate() {
                let zero = match zero {
                    Each::All(zero) => zero,
                    Each::One(zeros) => zeros[i],
                };
                *v = (i64::from(*x) - i64::from(zero)) as f32;
            }
            return Ok(());
        }
        match zero {
            Each::All(zero) => values.iter_mut().zip(ints).for_each(|(v, x)| *v = (*x - zero) as f32),
            Each::One(zeros) => values.iter_mut().zip(ints).zip(zeros).for_each(|((v, x), zero)| *v = (*x - zero) as f32),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::minifloat::Format;
    use base::{Tensor, Value};
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    use super::*;

    fn packed_tensor(dtype: DType, shape: &[usize], codes: &[u8]) -> Value {
        Tensor::from_bytes(dtype, shape, &base::packed::pack(dtype, codes).unwrap()).unwrap().into()
    }

    #[test]
    fn per_tensor() {
        let y = single(&DEQUANTIZE_LINEAR, 10).input([4], &[0u8, 3, 128, 255]).input([], &[2f32]).input([], &[128u8]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [-256., -250., 0., 254.]);
        let x = [i32::MIN, -7, i32::MAX];
        let y = single(&DEQUANTIZE_LINEAR, 13).input([3], &x).input([1], &[0.5f32]).tensor().unwrap();
        assert_close(&y, &x.map(|x| f64::from(x) * 0.5), 1e-7, 0.0);
        let y = single(&DEQUANTIZE_LINEAR, 13).input([1], &[i32::MIN]).input([], &[1f32]).input([], &[i32::MAX]).tensor().unwrap();
        assert_close(&y, &[-4294967295.0], 1e-7, 0.0);
    }

    #[test]
    fn per_axis_and_blocks() {
        let x = [1i8, 2, 3, 4, 5, 6];
        let s = single(&DEQUANTIZE_LINEAR, 21).attr("axis", 0).input([2, 3], &x).input([2], &[f16::ONE, f16::from_f32(0.5)]);
        let y = s.input([2], &[0i8, 1]).tensor().unwrap();
        assert_close(&y, &[1., 2., 3., 1.5, 2., 2.5], 0.0, 0.0);
        assert_eq!(y.dtype(), F16);
        let s = single(&DEQUANTIZE_LINEAR, 21).attr("axis", 0).attr("block_size", 2).input([3, 2], &x);
        let y = s.input([2, 2], &[1f32, 10., 100., 1000.]).tensor().unwrap();
        assert_close(&y, &[1., 20., 3., 40., 500., 6000.], 0.0, 0.0);
    }

    #[test]
    fn packed_types() {
        let x = packed_tensor(DType::I2, &[5], &[0, 1, 2, 3, 1]);
        let s = single(&DEQUANTIZE_LINEAR, 25).value(x).input([], &[2f32]).value(packed_tensor(DType::I2, &[], &[3]));
        assert_close(&s.tensor().unwrap(), &[2., 4., -2., 0., 4.], 0.0, 0.0);
        let codes: Vec<u8> = (0..63).collect();
        for dtype in [F6E2M3, F6E3M2] {
            let y = single(&DEQUANTIZE_LINEAR, 28).value(packed_tensor(dtype, &[9, 7], &codes)).input([], &[2f32]).tensor().unwrap();
            let expected: Vec<f64> = codes.iter().map(|c| f64::from(Format::of(dtype).unwrap().decode(*c)) * 2.0).collect();
            assert_close(&y, &expected, 0.0, 0.0);
        }
    }

    #[test]
    fn scales_of_any_type() {
        let scale = Tensor::from_bytes(F8E8M0, [2], &[127, 130]).unwrap();
        let s = || single(&DEQUANTIZE_LINEAR, 24).attr("axis", -1).input([1, 2], &[3i8, 5]).value(scale.clone());
        let y = s().attr("output_dtype", BF16 as i64).tensor().unwrap();
        assert_eq!(y.slice::<bf16>().unwrap(), [3f32, 40.].map(bf16::from_f32));
        assert!(s().run(1).unwrap_err().detail().contains("nothing is dequantized to float8e8m0"));
        let x = Tensor::from_bytes(F8E5M2, [2], &[0x3c, 0xfc]).unwrap();
        let y = single(&DEQUANTIZE_LINEAR, 19).value(x).input([], &[3f32]).tensor().unwrap();
        assert_close(&y, &[3., f64::NEG_INFINITY], 0.0, 0.0);
    }

    #[test]
    fn large_and_empty() {
        let x: Vec<u16> = (0..40001).map(|x| x as u16).collect();
        let y = single(&MS_DEQUANTIZE_LINEAR, 1).input([40001], &x).input([], &[0.5f32]).tensor().unwrap();
        assert!(y.slice::<f32>().unwrap().iter().zip(&x).all(|(y, x)| *y == f32::from(*x) * 0.5));
        let y = single(&DEQUANTIZE_LINEAR, 13).input([0], &[0u8; 0]).input([], &[1f32]).tensor().unwrap();
        assert!(y.is_empty());
    }
}
