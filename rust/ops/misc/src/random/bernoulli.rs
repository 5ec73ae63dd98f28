//! Bernoulli: ones with the probabilities that the input holds, else zeros.

use base::threads::{paced, parallel_chunks_mut};
use base::{DType, Element, Result, Shape, bail};
use half::{bf16, f16};
use op::types::{BOOL, FLOATS, FLOATS_V1, NUMERIC};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::fill::seed;
use super::stream::Stream;

const OUTPUTS: TypeSet = NUMERIC.or(BOOL);

/// Bernoulli of `ai.onnx`.
pub static BERNOULLI: OpDef = OpDef {
    name: "Bernoulli",
    versions: &[
        since(15, "input:T1 -> output:T2", &[("T1", FLOATS_V1), ("T2", OUTPUTS)]),
        since(22, "input:T1 -> output:T2", &[("T1", FLOATS), ("T2", OUTPUTS)]),
    ],
    load: |a| Ok(Box::new(Bernoulli { dtype: a.opt_dtype("dtype")?, seed: seed(a)? })),
    kernels: Kernels::NONE.cpu::<Bernoulli>(),
    pure: false,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Bernoulli {
    /// The element type; that of the input if there is none.
    dtype: Option<DType>,
    seed: Option<u64>,
}

/// One as an element of `dtype`, in the bytes of memory; its length is the size of an element.
fn one(dtype: DType) -> Result<&'static [u8]> {
    const ONE_F16: [u8; 2] = f16::ONE.to_bits().to_ne_bytes();
    const ONE_BF16: [u8; 2] = bf16::ONE.to_bits().to_ne_bytes();
    const ONE_F32: [u8; 4] = 1f32.to_ne_bytes();
    const ONE_F64: [u8; 8] = 1f64.to_ne_bytes();
    const ONE_16: [u8; 2] = 1u16.to_ne_bytes();
    const ONE_32: [u8; 4] = 1u32.to_ne_bytes();
    const ONE_64: [u8; 8] = 1u64.to_ne_bytes();
    Ok(match dtype {
        DType::F16 => &ONE_F16,
        DType::BF16 => &ONE_BF16,
        DType::F32 => &ONE_F32,
        DType::F64 => &ONE_F64,
        DType::Bool | DType::U8 | DType::I8 => &[1],
        DType::U16 | DType::I16 => &ONE_16,
        DType::U32 | DType::I32 => &ONE_32,
        DType::U64 | DType::I64 => &ONE_64,
        _ => bail!(InvalidGraph, "Bernoulli gives no {dtype}"),
    })
}

impl Op for Bernoulli {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.dtype.map_or_else(|| cx.dtype(0), Ok)?;
        one(dtype)?;
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for Bernoulli {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = self.dtype.map_or_else(|| cx.dtype(0), Ok)?;
        Ok(Box::new(Trials { dtype, one: one(dtype)?, stream: Stream::new(self.seed, cx.node) }))
    }
}

struct Trials {
    dtype: DType,
    one: &'static [u8],
    stream: Stream,
}

impl Trials {
    fn run<T: Element>(&self, cx: &Run<'_>, widen: impl Fn(T) -> f64) -> Result<()> {
        let probabilities = cx.input(0)?.slice::<T>()?;
        let out = cx.output(0)?.bytes()?;
        let draw = self.stream.draw(probabilities.len());
        parallel_chunks_mut(out, 1 << 18, &|_, part| part.fill(0));
        for (i, (out, p)) in paced(out.chunks_exact_mut(self.one.len()).zip(probabilities).enumerate(), 16) {
            if draw.one(i) < widen(*p) {
                out.copy_from_slice(self.one);
            }
        }
        Ok(())
    }
}

impl Prepared for Trials {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, self.dtype, shape)?;
        match cx.input(0)?.dtype() {
            DType::F64 => self.run(cx, |p: f64| p),
            DType::F16 => self.run(cx, f16::to_f64),
            DType::BF16 => self.run(cx, bf16::to_f64),
            _ => self.run(cx, |p: f32| p.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    #[test]
    fn ones_come_as_often_as_asked() {
        let p: Vec<f32> = (0..40_000).map(|i| [0.0, 1.0, 0.25, f32::NAN][i % 4]).collect();
        let t = single(&BERNOULLI, 15).attr("seed", 5f32).attr("dtype", 9).input([200, 200], &p).tensor().unwrap();
        let of = |k: usize| t.slice::<bool>().unwrap().iter().skip(k).step_by(4).filter(|b| **b).count();
        assert_eq!((of(0), of(1), of(3)), (0, 10_000, 0));
        assert!((2300..2700).contains(&of(2)), "{}", of(2));
    }

    #[test]
    fn any_number_type() {
        for dtype in [DType::F16, DType::F64, DType::I8, DType::U64, DType::F32] {
            let t = single(&BERNOULLI, 22).attr("seed", 5f32).attr("dtype", dtype as i64).input([3], &[1f64, 0., 1.]).tensor().unwrap();
            assert_eq!(t.dtype(), dtype);
            let (bytes, one) = (t.as_ref().bytes().unwrap(), one(dtype).unwrap());
            assert_eq!(bytes, [one, &vec![0; one.len()], one].concat());
        }
        assert!(single(&BERNOULLI, 22).attr("dtype", 8).input([1], &[1f32]).run(1).is_err());
    }
}
