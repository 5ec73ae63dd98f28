//! RandomUniform, RandomNormal, RandomUniformLike, RandomNormalLike: tensors of random numbers.

use std::f64::consts::TAU;

use base::{DType, Result, Shape, bail, error};
use half::{bf16, f16};
use ir::Dims;
use op::types::{ANY_V1, ANY_V13, FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::Real;
use super::stream::Stream;

/// RandomUniform of `ai.onnx`.
pub static RANDOM_UNIFORM: OpDef = OpDef {
    name: "RandomUniform",
    versions: &[since(1, "-> output:T", &[("T", FLOATS_V1)]), since(22, "-> output:T", &[("T", FLOATS)])],
    load: |a| load(a, uniform(a)?, false),
    kernels: Kernels::NONE.cpu::<Random>(),
    pure: false,
    ..OpDef::ONNX
};

/// RandomNormal of `ai.onnx`.
pub static RANDOM_NORMAL: OpDef = OpDef { name: "RandomNormal", load: |a| load(a, normal(a)?, false), ..RANDOM_UNIFORM };

/// RandomUniformLike of `ai.onnx`.
pub static RANDOM_UNIFORM_LIKE: OpDef = OpDef {
    name: "RandomUniformLike",
    versions: &[
        since(1, "input:T1 -> output:T2", &[("T1", ANY_V1), ("T2", FLOATS_V1)]),
        since(22, "input:T1 -> output:T2", &[("T1", ANY_V13), ("T2", FLOATS)]),
    ],
    load: |a| load(a, uniform(a)?, true),
    ..RANDOM_UNIFORM
};

/// RandomNormalLike of `ai.onnx`.
pub static RANDOM_NORMAL_LIKE: OpDef = OpDef { name: "RandomNormalLike", load: |a| load(a, normal(a)?, true), ..RANDOM_UNIFORM_LIKE };

#[derive(Clone, Copy, Debug)]
enum Distribution {
    /// Even over [low, high).
    Uniform { low: f64, high: f64 },
    /// The bell curve.
    Normal { mean: f64, scale: f64 },
}

fn uniform(a: &Attrs<'_>) -> Result<Distribution> {
    Ok(Distribution::Uniform { low: a.float("low", 0.0)?.into(), high: a.float("high", 1.0)?.into() })
}

fn normal(a: &Attrs<'_>) -> Result<Distribution> {
    Ok(Distribution::Normal { mean: a.float("mean", 0.0)?.into(), scale: a.float("scale", 1.0)?.into() })
}

impl Distribution {
    /// Two numbers of the distribution from two that are evenly spread over [0, 1).
    fn pair<T: Real>(self, [a, b]: [f64; 2]) -> [T; 2] {
        match self {
            Self::Uniform { low, high } => [a, b].map(|u| {
                let x = T::nearest(low + u * (high - low));
                // Rounding may reach the end of the interval, which is not part of it.
                if x == T::nearest(high) { T::nearest(low) } else { x }
            }),
            Self::Normal { mean, scale } => {
                // Box and Muller: 1 - a is never zero.
                let radius = scale * (-2.0 * (1.0 - a).ln()).sqrt();
                let (sin, cos) = (TAU * b).sin_cos();
                [T::nearest(mean + radius * cos), T::nearest(mean + radius * sin)]
            }
        }
    }
}

/// The seed of a node, a float, as bits.
pub(super) fn seed(a: &Attrs<'_>) -> Result<Option<u64>> {
    Ok(a.opt_float("seed")?.map(|s| u64::from(s.to_bits())))
}

fn load(a: &Attrs<'_>, distribution: Distribution, like: bool) -> Result<Box<dyn Op>> {
    let dtype = a.opt_dtype("dtype")?;
    let shape = if like {
        None
    } else {
        let shape = a.opt_ints("shape")?.ok_or_else(|| error!(InvalidGraph, "Required attribute 'shape' is missing"))?;
        let size = |d: &i64| usize::try_from(*d).map_err(|_| error!(InvalidGraph, "attribute 'shape' holds {d}"));
        Some(shape.iter().map(size).collect::<Result<Shape>>()?)
    };
    let dtype = if like { dtype } else { Some(dtype.unwrap_or(DType::F32)) };
    Ok(Box::new(Random { distribution, dtype, shape, seed: seed(a)? }))
}

#[derive(Clone, Debug)]
struct Random {
    distribution: Distribution,
    /// The element type; that of the input if there is none.
    dtype: Option<DType>,
    /// The shape; that of the input if there is none.
    shape: Option<Shape>,
    seed: Option<u64>,
}

fn float_type(dtype: DType) -> Result<DType> {
    match dtype {
        DType::F32 | DType::F64 | DType::F16 | DType::BF16 => Ok(dtype),
        _ => bail!(InvalidGraph, "there are no random numbers of type {dtype}"),
    }
}

impl Op for Random {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.dtype.map_or_else(|| cx.dtype(0), Ok)?;
        let dims: Option<Dims> = match &self.shape {
            Some(shape) => Some(shape.iter().map(|&d| d.into()).collect()),
            None => cx.dims(0)?.map(Into::into),
        };
        cx.tensor(0, float_type(dtype)?, dims);
        Ok(())
    }
}

impl CpuKernel for Random {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = float_type(self.dtype.map_or_else(|| cx.dtype(0), Ok)?)?;
        Ok(Box::new(Filler { distribution: self.distribution, dtype, shape: self.shape.clone(), stream: Stream::new(self.seed, cx.node) }))
    }
}

struct Filler {
    distribution: Distribution,
    dtype: DType,
    shape: Option<Shape>,
    stream: Stream,
}

impl Filler {
    fn fill<T: Real>(&self, cx: &Run<'_>) -> Result<()> {
        let out = cx.output(0)?.slice::<T>()?;
        self.stream.draw(out.len()).fill(out, |pair| self.distribution.pair(pair))
    }
}

impl Prepared for Filler {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = match &self.shape {
            Some(shape) => shape.clone(),
            None => cx.input(0)?.shape().into(),
        };
        cx.allocate(0, self.dtype, shape)?;
        match self.dtype {
            DType::F64 => self.fill::<f64>(cx),
            DType::F16 => self.fill::<f16>(cx),
            DType::BF16 => self.fill::<bf16>(cx),
            _ => self.fill::<f32>(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    fn moments(x: &[f32]) -> (f64, f64) {
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
        (mean, x.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / x.len() as f64)
    }

    #[test]
    fn uniform_numbers_fill_their_interval() {
        let s = single(&RANDOM_UNIFORM, 1).attr("shape", vec![100, 1001]).attr("seed", 3f32).attr("low", -2f32).attr("high", 4f32);
        let t = s.tensor().unwrap();
        let x = t.slice::<f32>().unwrap();
        assert!(x.iter().all(|x| (-2.0..4.0).contains(x)));
        let (mean, variance) = moments(x);
        assert!((mean - 1.0).abs() < 0.03 && (variance - 3.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let s = single(&RANDOM_NORMAL, 22).attr("shape", vec![100_001]).attr("seed", 3f32).attr("mean", 5f32).attr("scale", 2f32);
        let t = s.tensor().unwrap();
        let x = t.slice::<f32>().unwrap();
        let (mean, variance) = moments(x);
        assert!((mean - 5.0).abs() < 0.03 && (variance - 4.0).abs() < 0.1, "{mean} {variance}");
        let beyond = x.iter().filter(|x| (**x - 5.0).abs() > 4.0).count() as f64 / x.len() as f64;
        assert!((beyond - 0.0455).abs() < 0.004, "{beyond}");
    }

    #[test]
    fn like_takes_shape_and_type() {
        let like = |def, opset| single(def, opset).attr("seed", 1f32);
        let t = like(&RANDOM_UNIFORM_LIKE, 1).input([2, 0, 3], &[0f64; 0]).tensor().unwrap();
        assert_eq!((t.dtype(), &**t.shape()), (DType::F64, &[2, 0, 3][..]));
        let t = like(&RANDOM_NORMAL_LIKE, 22).attr("dtype", 16).strings([3], &["a", "b", "c"]).tensor().unwrap();
        assert_eq!((t.dtype(), &**t.shape()), (DType::BF16, &[3][..]));
        assert!(like(&RANDOM_NORMAL_LIKE, 1).input([3], &[0i32; 3]).run(1).is_err());
        assert!(single(&RANDOM_NORMAL, 1).run(1).is_err());
        assert!(single(&RANDOM_NORMAL, 1).attr("shape", vec![-1]).run(1).is_err());
    }

    #[test]
    fn a_narrow_interval_is_never_left() {
        let s = single(&RANDOM_UNIFORM, 22).attr("shape", vec![5000]).attr("seed", 3f32).attr("dtype", 16);
        assert!(s.tensor().unwrap().slice::<bf16>().unwrap().iter().all(|x| x.to_f32() < 1.0));
    }
}
