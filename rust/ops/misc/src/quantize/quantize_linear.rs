//! QuantizeLinear: `y = saturate(round(x / scale) + zero_point)`.
//!
//! Quotients are rounded to the type in which the division is done, then to integers, ties to even; NaN becomes the least integer.

use base::minifloat::Format;
use base::threads::{SharedMut, try_parallel_for};
use base::{DType, Result, Shape, bail, ensure};
use ir::Fact;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::grid::{Grid, SEGMENT, Segment};
use super::source::{Each, Source};
use super::{CHUNK, Granularity, check_zero_point, fast, range, write};

use DType::{
    BF16, F4E2M1, F6E2M3, F6E3M2, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, F32, I2, I4, I8, I16, I32, U2, U4, U8, U16,
};

const X_V10: TypeSet = TypeSet::tensors(&[F32, I32]);
const X_V19: TypeSet = TypeSet::tensors(&[F32, F16, BF16, I32]);
const SCALE_V24: TypeSet = X_V19.or(TypeSet::tensors(&[F8E8M0]));
const Y_V10: TypeSet = TypeSet::tensors(&[I8, U8]);
const Y_V19: TypeSet = Y_V10.or(TypeSet::tensors(&[F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ]));
const Y_V21: TypeSet = Y_V19.or(TypeSet::tensors(&[U4, I4, U16, I16]));
const Y_V23: TypeSet = Y_V21.or(TypeSet::tensors(&[F4E2M1]));
const Y_V25: TypeSet = Y_V23.or(TypeSet::tensors(&[U2, I2]));
const Y_V28: TypeSet = Y_V25.or(TypeSet::tensors(&[F6E2M3, F6E3M2]));

const SIGNATURE_V10: &str = "x:T1, y_scale:float, y_zero_point:T2? -> y:T2";
const SIGNATURE_V19: &str = "x:T1, y_scale:T1, y_zero_point:T2? -> y:T2";
const SIGNATURE_V23: &str = "x:T1, y_scale:T2, y_zero_point:T3? -> y:T3";

/// QuantizeLinear of `ai.onnx`.
pub static QUANTIZE_LINEAR: OpDef = OpDef {
    name: "QuantizeLinear",
    versions: &[
        since(10, SIGNATURE_V10, &[("T1", X_V10), ("T2", Y_V10)]),
        since(13, SIGNATURE_V10, &[("T1", X_V10), ("T2", Y_V10)]),
        since(19, SIGNATURE_V19, &[("T1", X_V19), ("T2", Y_V19)]),
        since(21, SIGNATURE_V19, &[("T1", X_V19), ("T2", Y_V21)]),
        since(23, SIGNATURE_V23, &[("T1", X_V19), ("T2", X_V19), ("T3", Y_V23)]),
        since(24, SIGNATURE_V23, &[("T1", X_V19), ("T2", SCALE_V24), ("T3", Y_V23)]),
        since(25, SIGNATURE_V23, &[("T1", X_V19), ("T2", SCALE_V24), ("T3", Y_V25)]),
        since(28, SIGNATURE_V23, &[("T1", X_V19), ("T2", SCALE_V24), ("T3", Y_V28)]),
    ],
    load: |a| {
        Ok(Box::new(QuantizeLinear {
            granularity: Granularity::load(a)?,
            saturate: a.since() < 19 || a.flag("saturate", true)?,
            output: a.opt_dtype("output_dtype")?,
            precision: a.opt_dtype("precision")?,
        }))
    },
    kernels: Kernels::NONE.cpu::<QuantizeLinear>(),
    ..OpDef::ONNX
};

/// QuantizeLinear of `com.microsoft`.
pub static MS_QUANTIZE_LINEAR: OpDef = OpDef {
    domain: "com.microsoft",
    versions: &[since(1, SIGNATURE_V19, &[("T1", TypeSet::tensors(&[F16, F32])), ("T2", TypeSet::tensors(&[I8, U8, I16, U16, I4, U4]))])],
    ..QUANTIZE_LINEAR
};

#[derive(Clone, Debug)]
struct QuantizeLinear {
    granularity: Granularity,
    /// Whether 8-bit floats end at their largest number rather than become infinite or NaN.
    saturate: bool,
    output: Option<DType>,
    /// The type in which the division is done.
    precision: Option<DType>,
}

impl QuantizeLinear {
    /// The element type of the output: that of the zero point, or what the attribute says, or `uint8`.
    fn output(&self, zero: Option<DType>) -> Result<DType> {
        if let (Some(zero), Some(output)) = (zero, self.output) {
            ensure!(zero == output, InvalidGraph, "output_dtype is {output}, but the zero point is of type {zero}");
        }
        let dtype = zero.or(self.output).unwrap_or(U8);
        ensure!(
            range(dtype).is_some() || Format::of(dtype).is_some_and(|f| f.dtype != F8E8M0),
            InvalidGraph,
            "nothing is quantized to {dtype}"
        );
        Ok(dtype)
    }

    /// The type to which quotients are rounded.
    fn precision(&self, x: DType, scale: DType) -> Result<DType> {
        match self.precision {
            Some(p @ (F32 | F16 | BF16)) => Ok(p),
            Some(other) => bail!(InvalidGraph, "attribute 'precision' is {other}"),
            // As the reference implementation promotes types: halves of one kind are divided as such.
            None if x == scale && matches!(x, F16 | BF16) => Ok(x),
            None if x == I32 => Ok(I32),
            None => Ok(F32),
        }
    }
}

impl Op for QuantizeLinear {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.output(cx.optional(2).and_then(Fact::dtype))?;
        self.precision(cx.dtype(0)?, cx.dtype(1)?)?;
        self.granularity.check(cx)?;
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for QuantizeLinear {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let output = self.output(cx.optional(2).and_then(Fact::dtype))?;
        let precision = self.precision(cx.dtype(0)?, cx.dtype(1)?)?;
        Ok(Box::new(Quantizer { granularity: self.granularity, saturate: self.saturate, output, precision }))
    }
}

struct Quantizer {
    granularity: Granularity,
    saturate: bool,
    output: DType,
    precision: DType,
}

impl Prepared for Quantizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.output, shape)?;
        let (x, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2)?);
        if let Some(zero) = zero {
            ensure!(zero.dtype() == self.output, InvalidArgument, "the zero point is of type {}, not {}", zero.dtype(), self.output);
            check_zero_point(scale.shape(), zero.shape())?;
        }
        let grid = self.granularity.grid(x.shape(), scale.shape())?;
        if self.precision == F32 && fast::is_usual(x.dtype(), scale.dtype(), self.output) {
            let out = cx.output(0)?;
            return match self.output {
                U8 => fast::quantize::<u8>(grid, x, scale, zero, out),
                I8 => fast::quantize::<i8>(grid, x, scale, zero, out),
                U16 => fast::quantize::<u16>(grid, x, scale, zero, out),
                _ => fast::quantize::<i16>(grid, x, scale, zero, out),
            };
        }
        let task = Task {
            grid,
            x: Source::new(x)?,
            scale: Source::new(scale)?,
            zero: zero.map(Source::new).transpose()?,
            precision: self.precision,
            output: self.output,
            saturate: self.saturate,
        };
        task.run(x.len(), cx.output(0)?.bytes()?)
    }
}

/// Room for one segment of numbers at each stage.
struct Buffers {
    quotients: [f32; SEGMENT],
    floats: [f32; SEGMENT],
    zeros: [i32; SEGMENT],
    ints: [i32; SEGMENT],
}

impl Default for Buffers {
    fn default() -> Self {
        Self { quotients: [0.0; SEGMENT], floats: [0.0; SEGMENT], zeros: [0; SEGMENT], ints: [0; SEGMENT] }
    }
}

/// One tensor to be quantized.
struct Task<'a> {
    grid: Grid,
    x: Source<'a>,
    scale: Source<'a>,
    zero: Option<Source<'a>>,
    precision: DType,
    output: DType,
    saturate: bool,
}

impl Task<'_> {
    /// Quantizes all `len` elements into the bytes of the output.
    fn run(&self, len: usize, out: &mut [u8]) -> Result<()> {
        ensure!(self.output.bytes_of(len) == Some(out.len()), Fail, "{len} elements of {} do not fill {} bytes", self.output, out.len());
        if self.output.is_packed() {
            // Elements are put between their neighbours, and what is left of the last byte must be zero.
            out.fill(0);
        }
        let out = SharedMut::new(out);
        // Chunks of a multiple of four elements are whole bytes of every type.
        try_parallel_for(len.div_ceil(CHUNK), &|chunk| {
            let (start, end) = (chunk * CHUNK, len.min((chunk + 1) * CHUNK));
            let bytes = |n: usize| self.output.bytes_of(n).unwrap_or(0);
            // SAFETY: chunks start at whole bytes, so their parts do not overlap; a region runs each chunk once.
            let part = unsafe { out.part(bytes(start)..bytes(end)) };
            let buffers = &mut Buffers::default();
            self.grid.segments(start..end).try_for_each(|s| self.segment(&s, buffers, part, s.start - start))
        })
    }

    fn segment(&self, s: &Segment, buffers: &mut Buffers, out: &mut [u8], start: usize) -> Result<()> {
        let quotients = &mut buffers.quotients[..s.len];
        if let (Source::I32(x), I32) = (self.x, self.precision) {
            self.divide_ints(&x[s.start..s.start + s.len], s, quotients, &mut buffers.floats)?;
        } else {
            self.divide(s, quotients, &mut buffers.floats)?;
        }
        match Format::of(self.output) {
            None => {
                let zero = self.zero.map_or(Ok(Each::All(0)), |z| z.ints_of_segment(s, &mut buffers.zeros))?;
                let ints = &mut buffers.ints[..s.len];
                write::saturate(quotients, zero, range(self.output).unwrap_or_default(), ints);
                write::ints(self.output, ints, out, start)
            }
            Some(format) => {
                self.shift(s, quotients, &mut buffers.floats)?;
                write::small(format, quotients, self.saturate, out, start)
            }
        }
    }

    fn divide(&self, s: &Segment, quotients: &mut [f32], scales: &mut [f32; SEGMENT]) -> Result<()> {
        self.x.floats(s.start, quotients)?;
        write::round_to(self.precision, quotients);
        match self.scale.of_segment(s, scales)? {
            Each::All(scale) => {
                let mut scale = [scale];
                write::round_to(self.precision, &mut scale);
                quotients.iter_mut().for_each(|q| *q /= scale[0]);
            }
            Each::One(_) => {
                let scales = &mut scales[..s.len];
                write::round_to(self.precision, scales);
                quotients.iter_mut().zip(scales).for_each(|(q, scale)| *q /= *scale);
            }
        }
        write::round_to(self.precision, quotients);
        Ok(())
    }

    /// Quotients of integers, divided in double precision and rounded to integers, which floats hold exactly as far as they matter.
    fn divide_ints(&self, x: &[i32], s: &Segment, quotients: &mut [f32], scales: &mut [f32; SEGMENT]) -> Result<()> {
        let divided = |x: i32, scale: f32| {
            let quotient = f64::from(x) / f64::from(scale);
            if range(self.output).is_some() { quotient.round_ties_even() as f32 } else { quotient as f32 }
        };
        let scale = self.scale.of_segment(s, scales)?;
        for (i, (q, x)) in quotients.iter_mut().zip(x).enumerate() {
            *q = divided(
                *x,
                match scale {
                    Each::All(scale) => scale,
                    Each::One(scales) => scales[i],
                },
            );
        }
        Ok(())
    }

    /// Adds zero points that are floats. For 8-bit floats they are always zero in effect, and a zero with a sign keeps it.
    fn shift(&self, s: &Segment, quotients: &mut [f32], zeros: &mut [f32; SEGMENT]) -> Result<()> {
        let Some(zero) = self.zero else { return Ok(()) };
        let add = |q: &mut f32, zero: f32| {
            if zero != 0.0 {
                *q += zero;
            }
        };
        match zero.of_segment(s, zeros)? {
            Each::All(zero) => quotients.iter_mut().for_each(|q| add(q, zero)),
            Each::One(zeros) => quotients.iter_mut().zip(zeros).for_each(|(q, zero)| add(q, *zero)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::{Tensor, Value};
    use half::f16;
    use testkit::{assert_equal, single};

    use super::*;

    fn packed_tensor(dtype: DType, shape: &[usize], codes: &[u8]) -> Value {
        Tensor::from_bytes(dtype, shape, &base::packed::pack(dtype, codes).unwrap()).unwrap().into()
    }

    #[test]
    fn per_tensor() {
        let x = [0f32, 2., 3., 1000., -254., -1000.];
        let y = single(&QUANTIZE_LINEAR, 10).input([6], &x).input([], &[2f32]).input([], &[128u8]).tensor().unwrap();
        assert_eq!(y.slice::<u8>().unwrap(), [128, 129, 130, 255, 1, 0]);
        let y = single(&QUANTIZE_LINEAR, 13).input([6], &x).input([1], &[2f32]).tensor().unwrap();
        assert_eq!(y.slice::<u8>().unwrap(), [0, 1, 2, 255, 0, 0]);
        let y = single(&QUANTIZE_LINEAR, 10).input([3], &[5i32, -300, i32::MAX]).input([], &[2f32]).input([], &[-1i8]).tensor().unwrap();
        assert_eq!(y.slice::<i8>().unwrap(), [1, -128, 127]);
    }

    #[test]
    fn per_axis_first_and_last() {
        let x: Vec<f32> = (0..6).map(|x| x as f32).collect();
        let run = |axis: i64, scale: &[f32], zero: &[i16]| {
            let s = single(&QUANTIZE_LINEAR, 21).attr("axis", axis).input([2, 3], &x).input([scale.len()], scale);
            s.input([zero.len()], zero).tensor().unwrap().slice::<i16>().unwrap().to_vec()
        };
        assert_eq!(run(0, &[1., 0.5], &[0, 10]), [0, 1, 2, 16, 18, 20]);
        assert_eq!(run(-1, &[1., 0.5, 2.], &[0, 10, -7]), [0, 12, -6, 3, 18, -5]);
    }

    #[test]
    fn blocks_of_packed_integers() {
        let x: Vec<f32> = (0..15).map(|x| x as f32 - 7.).collect();
        let scale = [1f32, 2., 1., 4., 1., 1.];
        let zero = packed_tensor(DType::I4, &[3, 2], &[0, 1, 2, 3, 15, 0]);
        let s = single(&QUANTIZE_LINEAR, 21).attr("block_size", 3).input([3, 5], &x).input([3, 2], &scale).value(zero);
        let y = s.run(1).unwrap().remove(0);
        let expected = [-7i8, -6, -5, -1, -1, 0, 1, 2, 3, 3, 2, 3, 4, 6, 7].map(|v| v as u8);
        assert_equal(&y, &packed_tensor(DType::I4, &[3, 5], &expected));
        let e = single(&QUANTIZE_LINEAR, 21).attr("block_size", 2).input([3, 5], &x).input([3, 2], &scale).run(1).unwrap_err();
        assert!(e.detail().contains("scale has shape {3,2}, but shape {3,5} in blocks of 2 needs {3,3}"), "{e}");
    }

    #[test]
    fn floats_of_eight_bits() {
        let x = [0f32, 1., 2., 100000., -200.];
        let run = |saturate: i64| {
            let s = single(&QUANTIZE_LINEAR, 19).attr("saturate", saturate).input([5], &x).input([], &[2f32]);
            s.value(Tensor::from_bytes(F8E4M3FN, [1], &[0]).unwrap()).tensor().unwrap().as_ref().bytes().unwrap().to_vec()
        };
        let code = |v: f32, s: bool| Format::of(F8E4M3FN).unwrap().encode(v, s);
        assert_eq!(run(1), [0., 0.5, 1., 50000., -100.].map(|v| code(v, true)));
        assert_eq!(run(0), [0., 0.5, 1., 50000., -100.].map(|v| code(v, false)));
    }

    #[test]
    fn output_type_by_attribute() {
        for dtype in [U2, I2, F4E2M1, F6E2M3, F6E3M2, U16, F8E5M2FNUZ] {
            let s = single(&QUANTIZE_LINEAR, 28).attr("output_dtype", dtype as i64).input([7], &[1f32; 7]).input([], &[1f32]);
            let y = s.tensor().unwrap();
            assert_eq!(y.dtype(), dtype);
            let mut ones = [0f32; 7];
            Source::new(y.as_ref()).unwrap().floats(0, &mut ones).unwrap();
            assert_eq!(ones, [1.; 7]);
        }
        let s = single(&QUANTIZE_LINEAR, 21).attr("output_dtype", 3).input([1], &[1f32]).input([], &[1f32]).input([], &[0u8]);
        assert!(s.run(1).unwrap_err().detail().contains("output_dtype is int8, but the zero point is of type uint8"));
        assert!(single(&QUANTIZE_LINEAR, 21).attr("output_dtype", 1).input([1], &[1f32]).input([], &[1f32]).run(1).is_err());
    }

    #[test]
    fn halves_are_divided_as_halves() {
        // 2.5009766 in single precision, which rounds up; as a half it is the tie 2.5, which rounds down.
        let (x, scale) = (f16::from_f32(2.561), f16::from_f32(1.024));
        let single_precision = (x.to_f32() / scale.to_f32()).round_ties_even();
        let half_precision = f16::from_f32(x.to_f32() / scale.to_f32()).to_f32().round_ties_even();
        let y = single(&QUANTIZE_LINEAR, 21).input([1], &[x]).input([], &[scale]).tensor().unwrap();
        assert_eq!(f32::from(y.slice::<u8>().unwrap()[0]), half_precision);
        let s = single(&QUANTIZE_LINEAR, 23).attr("precision", 1).input([1], &[x]).input([], &[scale]);
        assert_eq!(f32::from(s.tensor().unwrap().slice::<u8>().unwrap()[0]), single_precision);
    }

    #[test]
    fn large_and_empty() {
        let x: Vec<f32> = (0..40001).map(|x| (x % 251) as f32).collect();
        let y = single(&MS_QUANTIZE_LINEAR, 1).input([40001], &x).input([], &[1f32]).tensor().unwrap();
        assert!(y.slice::<u8>().unwrap().iter().zip(&x).all(|(y, x)| f32::from(*y) == *x));
        let y = single(&QUANTIZE_LINEAR, 13).input([2, 0], &[0f32; 0]).input([], &[1f32]).tensor().unwrap();
        assert_eq!(&**y.shape(), [2, 0]);
    }

    #[test]
    fn shapes_that_do_not_fit() {
        let x = [0f32; 6];
        let run = |scale: &[f32], zero: &[u8]| {
            let s = single(&QUANTIZE_LINEAR, 13).input([2, 3], &x).input([scale.len()], scale).input([zero.len()], zero);
            s.run(1).unwrap_err().detail().to_owned()
        };
        assert!(run(&[1.; 2], &[0; 2]).contains("scale has shape {2}, but axis 1 of shape {2,3} needs 3"));
        assert!(run(&[1.; 3], &[0; 2]).contains("scale has shape {3}, but the zero point has {2}"));
    }
}
