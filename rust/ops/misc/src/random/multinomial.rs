//! Multinomial: for each row, random numbers of classes, drawn with the probabilities whose logarithms the row holds.

use base::threads::paced;
use base::{DType, Element, Result, TensorRef, bail, ensure};
use half::{bf16, f16};
use ir::{Dim, Fact};
use op::types::{FLOATS, FLOATS_V1, INDEX};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use super::fill::seed;
use super::stream::{Draw, Stream};

/// Multinomial of `ai.onnx`.
pub static MULTINOMIAL: OpDef = OpDef {
    name: "Multinomial",
    versions: &[
        since(7, "input:T1 -> output:T2", &[("T1", FLOATS_V1), ("T2", INDEX)]),
        since(22, "input:T1 -> output:T2", &[("T1", FLOATS), ("T2", INDEX)]),
    ],
    load: |a| {
        let samples = a.int("sample_size", 1)?;
        let Ok(samples) = usize::try_from(samples) else { bail!(InvalidGraph, "attribute 'sample_size' is {samples}") };
        let dtype = a.opt_dtype("dtype")?.unwrap_or(DType::I32);
        ensure!(matches!(dtype, DType::I32 | DType::I64), InvalidGraph, "attribute 'dtype' is {dtype}, neither int32 nor int64");
        Ok(Box::new(Multinomial { samples, dtype, seed: seed(a)? }))
    },
    kernels: Kernels::NONE.cpu::<Multinomial>(),
    pure: false,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Multinomial {
    samples: usize,
    dtype: DType,
    seed: Option<u64>,
}

impl Op for Multinomial {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let batch = match cx.dims(0)? {
            Some(dims) => {
                ensure!(dims.len() == 2, InvalidGraph, "the input of Multinomial has shape {dims:?}, but must have two axes");
                dims[0].clone()
            }
            None => cx.fresh(),
        };
        cx.set(0, Fact::tensor(self.dtype, [batch, Dim::from(self.samples)]));
        Ok(())
    }
}

impl CpuKernel for Multinomial {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Sampler { samples: self.samples, dtype: self.dtype, stream: Stream::new(self.seed, cx.node) }))
    }
}

struct Sampler {
    samples: usize,
    dtype: DType,
    stream: Stream,
}

/// Fills `sums` with the running sums of the probabilities of `row`, up to a common factor. What is NaN has none.
fn accumulate(row: impl Iterator<Item = f64> + Clone, sums: &mut [f64]) {
    let largest = paced(row.clone(), 2).fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (x, out) in paced(row.zip(sums), 8) {
        // Infinite logarithms share all there is.
        let weight = if x == largest { 1.0 } else { (x - largest).exp() };
        sum += if weight.is_nan() { 0.0 } else { weight };
        *out = sum;
    }
}

impl Sampler {
    fn accumulated(input: TensorRef<'_>, row: usize, sums: &mut [f64]) -> Result<()> {
        fn part<T: Element>(t: TensorRef<'_>, row: usize, classes: usize) -> Result<&[T]> {
            Ok(&t.slice()?[row * classes..(row + 1) * classes])
        }
        let classes = sums.len();
        match input.dtype() {
            DType::F64 => accumulate(part::<f64>(input, row, classes)?.iter().copied(), sums),
            DType::F16 => accumulate(part::<f16>(input, row, classes)?.iter().map(|x| x.to_f64()), sums),
            DType::BF16 => accumulate(part::<bf16>(input, row, classes)?.iter().map(|x| x.to_f64()), sums),
            _ => accumulate(part::<f32>(input, row, classes)?.iter().map(|x| f64::from(*x)), sums),
        }
        Ok(())
    }

    fn sample<T: Element>(&self, cx: &Run<'_>, draw: Draw<'_>, class: impl Fn(usize) -> T) -> Result<()> {
        let input = cx.input(0)?;
        let classes = input.shape()[1];
        let sums = &mut cx.scratch::<f64>()?[..classes];
        let out = cx.output(0)?.slice::<T>()?;
        for (row, out) in out.chunks_exact_mut(self.samples.max(1)).enumerate() {
            Self::accumulated(input, row, sums)?;
            let total = sums[classes - 1];
            for (i, out) in paced(out.iter_mut().enumerate(), 64) {
                let at = draw.one(row * self.samples + i) * total;
                *out = class(sums.partition_point(|sum| *sum <= at).min(classes - 1));
            }
        }
        Ok(())
    }
}

impl Prepared for Sampler {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let classes = sizes.input(0).ok().and_then(|s| s.get(1)).copied().unwrap_or(0);
        classes.saturating_mul(size_of::<f64>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let &[batch, classes] = cx.input(0)?.shape() else {
            bail!(InvalidArgument, "the input of Multinomial has shape {:?}, but must have two axes", cx.input(0)?.shape());
        };
        cx.allocate(0, self.dtype, [batch, self.samples])?;
        let count = batch.saturating_mul(self.samples);
        ensure!(classes > 0 || count == 0, InvalidArgument, "there are no classes to draw from");
        if count == 0 {
            return Ok(());
        }
        let draw = self.stream.draw(count);
        match self.dtype {
            DType::I32 => {
                ensure!(i32::try_from(classes).is_ok(), InvalidArgument, "int32 cannot number {classes} classes");
                self.sample(cx, draw, |class| class as i32)
            }
            _ => self.sample(cx, draw, |class| class as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    #[test]
    fn classes_come_by_their_probabilities() {
        let rows = [0.1f32.ln(), 0.6f32.ln(), 0.3f32.ln(), f32::NEG_INFINITY, 7.0, f32::NEG_INFINITY];
        let s = single(&MULTINOMIAL, 7).attr("seed", 2f32).attr("sample_size", 20_001).attr("dtype", 7);
        let t = s.input([2, 3], &rows).tensor().unwrap();
        assert_eq!(&**t.shape(), [2, 20_001]);
        let drawn = t.slice::<i64>().unwrap();
        let share = |class: i64| drawn[..20_001].iter().filter(|c| **c == class).count() as f64 / 20_001.0;
        assert!((share(0) - 0.1).abs() < 0.01 && (share(1) - 0.6).abs() < 0.01 && (share(2) - 0.3).abs() < 0.01);
        assert!(drawn[20_001..].iter().all(|c| *c == 1));
    }

    #[test]
    fn nothing_to_draw_from() {
        let s = || single(&MULTINOMIAL, 22).attr("seed", 2f32);
        assert!(s().input([2, 0], &[0f32; 0]).run(1).unwrap_err().detail().contains("no classes"));
        assert_eq!(&**s().input([0, 3], &[0f64; 0]).tensor().unwrap().shape(), [0, 1]);
        assert!(s().input([3], &[0f32; 3]).run(1).is_err());
        let t = s().input([1, 2], &[f16::NAN, f16::ONE]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [1]);
    }
}
