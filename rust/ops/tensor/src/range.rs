//! Range: numbers from `start` up to but without `limit`, `delta` apart.

use base::threads::{check, parallel_chunks_mut};
use base::{DType, Element, Result, TensorRef, bail, ensure};
use half::{bf16, f16};
use ir::{Dim, Fact, SMALL};
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

const SIGNATURE: &str = "start:T, limit:T, delta:T -> output:T";
const V11: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64, DType::I16, DType::I32, DType::I64]);
const V27: TypeSet = V11.or(TypeSet::tensors(&[DType::F16, DType::BF16]));

/// Range of `ai.onnx`.
///
/// Floats are computed as `start + i * delta` in `float64` and rounded once; `float16` and `bfloat16` in the type that `stash_type` names.
/// Integers wrap around.
pub static RANGE: OpDef = OpDef {
    name: "Range",
    versions: &[since(11, SIGNATURE, &[("T", V11)]), since(27, SIGNATURE, &[("T", V27)])],
    load: |a| Ok(Box::new(Range { wide: stash(a)? })),
    kernels: Kernels::NONE.stateless::<Range>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Range {
    /// Whether 16-bit floats are computed in `float64`, not in `float32`.
    wide: bool,
}

fn stash(a: &Attrs<'_>) -> Result<bool> {
    if a.since() < 27 {
        return Ok(false);
    }
    match a.opt_dtype("stash_type")? {
        None | Some(DType::F32) => Ok(false),
        Some(DType::F64) => Ok(true),
        Some(other) => bail!(InvalidGraph, "stash_type is {other}, neither float nor double"),
    }
}

impl Op for Range {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let scalar = |i| cx.ints(i).and_then(<[Dim]>::first);
        let fact = match (scalar(0), scalar(1), scalar(2).and_then(Dim::known)) {
            (Some(start), Some(limit), Some(delta)) => of_ints(dtype, start, limit, delta)?,
            _ => {
                let constant = |i: usize| cx.optional(i).and_then(Fact::constant_tensor);
                let count = match (constant(0), constant(1), constant(2)) {
                    (Some(a), Some(b), Some(c)) => Dim::from(Numbers::read([a.as_ref(), b.as_ref(), c.as_ref()])?.count()?),
                    _ => cx.fresh(),
                };
                Fact::tensor(dtype, [count])
            }
        };
        cx.set(0, fact);
        Ok(())
    }
}

/// The fact of a range of integers, perhaps symbolic.
fn of_ints(dtype: DType, start: &Dim, limit: &Dim, delta: i64) -> Result<Fact> {
    ensure!(delta != 0, InvalidGraph, "delta in Range operator can not be zero!");
    let distance = if delta > 0 { limit.sub(start) } else { start.sub(limit) };
    let size = Dim::Known(i64::try_from(delta.unsigned_abs()).unwrap_or(i64::MAX));
    let count = distance.larger(&Dim::Known(0)).ceil_div(&size);
    let element = |i: usize| start.add(&Dim::from(i).mul(&Dim::Known(delta)));
    let value = count.size().filter(|&n| n <= SMALL).map(|n| (0..n).map(element).collect());
    Ok(Fact { value, ..Fact::tensor(dtype, [count]) })
}

/// Start, limit and delta.
enum Numbers {
    Ints([i64; 3]),
    Floats([f64; 3]),
}

impl Numbers {
    fn read(inputs: [TensorRef<'_>; 3]) -> Result<Self> {
        fn all<T: Element>(inputs: [TensorRef<'_>; 3]) -> Result<[T; 3]> {
            Ok([inputs[0].scalar()?, inputs[1].scalar()?, inputs[2].scalar()?])
        }
        Ok(match inputs[0].dtype() {
            DType::I16 => Self::Ints(all::<i16>(inputs)?.map(i64::from)),
            DType::I32 => Self::Ints(all::<i32>(inputs)?.map(i64::from)),
            DType::I64 => Self::Ints(all::<i64>(inputs)?),
            DType::F16 => Self::Floats(all::<f16>(inputs)?.map(f64::from)),
            DType::BF16 => Self::Floats(all::<bf16>(inputs)?.map(f64::from)),
            DType::F32 => Self::Floats(all::<f32>(inputs)?.map(f64::from)),
            _ => Self::Floats(all::<f64>(inputs)?),
        })
    }

    /// How many numbers there are.
    fn count(&self) -> Result<usize> {
        match *self {
            Self::Ints([start, limit, delta]) => {
                ensure!(delta != 0, InvalidArgument, "delta in Range operator can not be zero!");
                let distance = if delta > 0 { i128::from(limit) - i128::from(start) } else { i128::from(start) - i128::from(limit) };
                Ok((distance.max(0) as u128).div_ceil(delta.unsigned_abs().into()) as usize)
            }
            Self::Floats([start, limit, delta]) => {
                ensure!(delta != 0.0, InvalidArgument, "delta in Range operator can not be zero!");
                let count = ((limit - start) / delta).ceil();
                ensure!(!count.is_nan(), InvalidArgument, "a range from {start} to {limit} by {delta} has no length");
                Ok(count.max(0.0) as usize)
            }
        }
    }
}

impl Range {
    fn float(&self, i: usize, start: f64, delta: f64) -> f64 {
        start + i as f64 * delta
    }

    /// As [`float`](Self::float), for 16-bit floats.
    fn stashed(&self, i: usize, start: f64, delta: f64) -> f32 {
        if self.wide { self.float(i, start, delta) as f32 } else { start as f32 + i as f32 * delta as f32 }
    }
}

impl Stateless for Range {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let inputs = [cx.input(0)?, cx.input(1)?, cx.input(2)?];
        let (dtype, numbers) = (inputs[0].dtype(), Numbers::read(inputs)?);
        cx.allocate(0, dtype, [numbers.count()?])?;
        let out = cx.output(0)?;
        match (numbers, dtype) {
            (Numbers::Ints([start, _, delta]), DType::I16) => fill(out.slice()?, |i| int(i, start, delta) as i16),
            (Numbers::Ints([start, _, delta]), DType::I32) => fill(out.slice()?, |i| int(i, start, delta) as i32),
            (Numbers::Ints([start, _, delta]), _) => fill(out.slice()?, |i| int(i, start, delta)),
            (Numbers::Floats([start, _, delta]), DType::F16) => fill(out.slice()?, |i| f16::from_f32(self.stashed(i, start, delta))),
            (Numbers::Floats([start, _, delta]), DType::BF16) => fill(out.slice()?, |i| bf16::from_f32(self.stashed(i, start, delta))),
            (Numbers::Floats([start, _, delta]), DType::F32) => fill(out.slice()?, |i| self.float(i, start, delta) as f32),
            (Numbers::Floats([start, _, delta]), _) => fill(out.slice()?, |i| self.float(i, start, delta)),
        }
        check()
    }
}

fn int(i: usize, start: i64, delta: i64) -> i64 {
    start.wrapping_add((i as i64).wrapping_mul(delta))
}

/// Elements that are computed at a time.
const CHUNK: usize = 16 << 10;

fn fill<T: Send>(out: &mut [T], element: impl Fn(usize) -> T + Sync) {
    parallel_chunks_mut(out, CHUNK, &|chunk, out| {
        out.iter_mut().zip(chunk * CHUNK..).for_each(|(o, i)| *o = element(i));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn range<T: Element>(opset: u32, numbers: [T; 3]) -> Result<Vec<T>> {
        let case = numbers.iter().fold(single(&RANGE, opset), |c, n| c.input([], &[*n]));
        case.tensor().map(|t| t.slice::<T>().unwrap().to_vec())
    }

    #[test]
    fn integers() {
        assert_eq!(range(11, [3i64, 9, 3]).unwrap(), [3, 6]);
        assert_eq!(range(11, [10i32, 4, -2]).unwrap(), [10, 8, 6]);
        assert_eq!(range(11, [10i16, 5, 2]).unwrap(), []);
        assert_eq!(range(11, [i64::MAX - 1, i64::MAX, i64::MAX]).unwrap(), [i64::MAX - 1]);
        assert!(range(11, [0i64, 1, 0]).is_err());
        assert!(range(11, [i64::MIN, i64::MAX, 1]).is_err(), "too large");
    }

    #[test]
    fn floats() {
        assert_eq!(range(11, [0f32, 1., 0.25]).unwrap(), [0., 0.25, 0.5, 0.75]);
        assert_eq!(range(11, [1f64, 0., -0.5]).unwrap(), [1., 0.5]);
        assert_eq!(range(27, [f16::from_f32(0.), f16::from_f32(3.), f16::ONE]).unwrap(), [0., 1., 2.].map(f16::from_f32));
        assert!(range(11, [0f32, 1., 0.]).is_err());
        assert!(range(11, [0f32, f32::NAN, 1.]).is_err());
        assert!(range(11, [0f32, f32::INFINITY, 1.]).is_err());
        assert!(range(11, [f16::ZERO; 3]).is_err(), "float16 came with opset 27");
    }

    #[test]
    fn symbolic_lengths() {
        let mut s = ir::Symbols::default();
        let n = s.fresh();
        let fact = of_ints(DType::I64, &n, &n.add(&Dim::Known(2)), 1).unwrap();
        assert_eq!(&*fact.value.unwrap(), [n.clone(), n.add(&Dim::Known(1))]);
        assert_eq!(of_ints(DType::I64, &Dim::Known(0), &n, 1).unwrap().shape.unwrap()[0], n);
    }
}
