//! DynamicQuantizeLinear: quantization to `uint8` with scale and zero point found from the numbers themselves.
//!
//! The range always holds zero. Where it is nothing but zero, the scale is 1, as ONNX Runtime has it.

use std::sync::{Mutex, PoisonError};

use base::threads::{check, parallel_ranges};
use base::{DType, Result, Shape};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};
use simd::{Kernel, Simd, dispatch};

use super::{CHUNK, fast};

const SIGNATURE: &str = "x:T1 -> y:T2, y_scale:float, y_zero_point:T2";

/// DynamicQuantizeLinear of `ai.onnx`.
pub static DYNAMIC_QUANTIZE_LINEAR: OpDef = OpDef {
    name: "DynamicQuantizeLinear",
    versions: &[since(11, SIGNATURE, &[("T1", TypeSet::tensors(&[DType::F32])), ("T2", TypeSet::tensors(&[DType::U8]))])],
    load: |_| Ok(Box::new(DynamicQuantizeLinear)),
    kernels: Kernels::NONE.stateless::<DynamicQuantizeLinear>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct DynamicQuantizeLinear;

impl Op for DynamicQuantizeLinear {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, DType::U8, dims);
        cx.set(1, Fact::tensor(DType::F32, []));
        cx.set(2, Fact::tensor(DType::U8, []));
        Ok(())
    }
}

/// The least and the largest of `x` and zero; NaN counts as neither.
fn bounds(x: &[f32]) -> Result<(f32, f32)> {
    // The order in which chunks come does not matter to minima and maxima.
    let total = Mutex::new((0f32, 0f32));
    parallel_ranges(x.len(), CHUNK, &|range| {
        let (low, high) = dispatch(Bounds(&x[range]));
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        *total = (total.0.min(low), total.1.max(high));
    });
    check()?;
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The least and the largest of some numbers and zero.
struct Bounds<'a>(&'a [f32]);

impl Kernel for Bounds<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> (f32, f32) {
        // Many side by side, for vectors to be kept busy.
        const SIDE: usize = 64;
        let (mut low, mut high) = ([0f32; SIDE], [0f32; SIDE]);
        for x in self.0.chunks(SIDE) {
            for ((low, high), x) in low.iter_mut().zip(&mut high).zip(x) {
                *low = if *x < *low { *x } else { *low };
                *high = if *x > *high { *x } else { *high };
            }
        }
        (low.into_iter().fold(0.0, f32::min), high.into_iter().fold(0.0, f32::max))
    }
}

/// Scale and zero point of numbers between `low` and `high`, zero among them.
fn parameters((low, high): (f32, f32)) -> (f32, u8) {
    let scale = if low == high { 1.0 } else { (high - low) / 255.0 };
    let zero = (0.0 - low / scale).clamp(0.0, 255.0).round_ties_even();
    (scale, zero as u8)
}

impl Stateless for DynamicQuantizeLinear {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, DType::U8, shape)?;
        cx.allocate(1, DType::F32, [])?;
        cx.allocate(2, DType::U8, [])?;
        let x = cx.input(0)?;
        let (scale, zero) = parameters(bounds(x.slice()?)?);
        if cx.has_output(0) {
            fast::quantize_tensor(x, scale, zero, cx.output(0)?)?;
        }
        if cx.has_output(1) {
            cx.output(1)?.slice::<f32>()?.fill(scale);
        }
        if cx.has_output(2) {
            cx.output(2)?.slice::<u8>()?.fill(zero);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    fn run(x: &[f32]) -> (Vec<u8>, f32, u8) {
        let out = single(&DYNAMIC_QUANTIZE_LINEAR, 11).input([x.len()], x).run(3).unwrap();
        let scalar = |i: usize| out[i].tensor().unwrap().as_ref();
        (out[0].tensor().unwrap().slice().unwrap().to_vec(), scalar(1).scalar().unwrap(), scalar(2).scalar().unwrap())
    }

    #[test]
    fn follows_the_examples_of_the_standard() {
        let (y, scale, zero) = run(&[0., 2., -3., -2.5, 1.34, 0.5]);
        assert_eq!((y.as_slice(), zero), (&[153u8, 255, 0, 26, 221, 179][..], 153));
        assert!((scale - 0.019_607_844).abs() < 1e-9);
        let (y, scale, zero) = run(&[-1., -2.1, -1.3, -2.5, -3.34, -4.]);
        assert_eq!((y.as_slice(), zero), (&[191u8, 121, 172, 96, 42, 0][..], 255));
        assert!((scale - 0.015_686_275).abs() < 1e-9);
    }

    #[test]
    fn zeros_nothing_and_large() {
        assert_eq!(run(&[0., 0.]), (vec![0, 0], 1.0, 0));
        assert_eq!(run(&[]), (vec![], 1.0, 0));
        let mut x = vec![1f32; 50_000];
        x[40_000] = -4.0;
        let (y, scale, zero) = run(&x);
        assert_eq!((y[0], y[40_000], zero, scale), (255, 0, 204, 5.0 / 255.0));
    }
}
