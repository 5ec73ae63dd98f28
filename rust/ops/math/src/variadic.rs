//! Min, Max, Sum, Mean: any number of tensors folded element by element.

use base::DType;
use op::{Attrs, Kernels, Layouts, Op, OpDef, Since, since};

use crate::elementwise::{Fold, Map, Zip, consumed_inputs, each_wide, float_zip, for_integers, pairs, pairs_wide, unknown, vectors};
use crate::types::{T_FLOATS, T_FLOATS_V1, T_NUMERIC, T_NUMERIC_V1};

const MIN_SIGNATURE: &str = "data_0:T* -> min:T";
const MAX_SIGNATURE: &str = "data_0:T* -> max:T";
const SUM_SIGNATURE: &str = "data_0:T* -> sum:T";
const MEAN_SIGNATURE: &str = "data_0:T* -> mean:T";

const FOLD: OpDef = OpDef { kernels: Kernels::NONE.cpu::<Fold>(), in_place: &[(0, 0), (1, 0)], layouts: Layouts::Follows, ..OpDef::ONNX };

const fn extremes(signature: &'static str) -> [Since; 5] {
    [
        since(1, signature, T_FLOATS_V1),
        since(6, signature, T_FLOATS_V1),
        since(8, signature, T_FLOATS_V1),
        since(12, signature, T_NUMERIC_V1),
        since(13, signature, T_NUMERIC),
    ]
}

const fn sums(signature: &'static str) -> [Since; 4] {
    [since(1, signature, T_FLOATS_V1), since(6, signature, T_FLOATS_V1), since(8, signature, T_FLOATS_V1), since(13, signature, T_FLOATS)]
}

/// Min of `ai.onnx`; NaN where any is.
pub static MIN: OpDef = OpDef {
    name: "Min",
    versions: &extremes(MIN_SIGNATURE),
    load: |a| load(a, Fold { step: min, finish: |_, _| None, broadcast: true, value: |a, b| Some(a.smaller(b)) }),
    ..FOLD
};

/// Max of `ai.onnx`; NaN where any is.
pub static MAX: OpDef = OpDef {
    name: "Max",
    versions: &extremes(MAX_SIGNATURE),
    load: |a| load(a, Fold { step: max, finish: |_, _| None, broadcast: true, value: |a, b| Some(a.larger(b)) }),
    ..FOLD
};

/// Sum of `ai.onnx`.
pub static SUM: OpDef = OpDef {
    name: "Sum",
    versions: &sums(SUM_SIGNATURE),
    load: |a| load(a, Fold { step: crate::arithmetic::add, finish: |_, _| None, broadcast: true, value: unknown }),
    ..FOLD
};

/// Mean of `ai.onnx`.
pub static MEAN: OpDef = OpDef {
    name: "Mean",
    versions: &sums(MEAN_SIGNATURE),
    load: |a| load(a, Fold { step: crate::arithmetic::add, finish: divide, broadcast: true, value: unknown }),
    ..FOLD
};

fn load(a: &Attrs<'_>, fold: Fold) -> base::Result<Box<dyn Op>> {
    consumed_inputs(a);
    base::ensure!(a.input_count() > 0, InvalidGraph, "{} needs an input", a.op());
    Ok(Box::new(Fold { broadcast: a.since() >= 8, ..fold }))
}

fn min(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.min(b))).or_else(|| {
        let double = |a: f64, b: f64| if a < b || a.is_nan() { a } else { b };
        float_zip(dtype, false, vectors(simd::math::Min), pairs_wide(double))
    })
}

fn max(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.max(b))).or_else(|| {
        let double = |a: f64, b: f64| if a > b || a.is_nan() { a } else { b };
        float_zip(dtype, false, vectors(simd::math::Max), pairs_wide(double))
    })
}

/// Division by the number of tensors.
fn divide(dtype: DType, count: usize) -> Option<Box<dyn Map>> {
    match dtype {
        DType::F64 => Some(each_wide(move |x: f64| x / count as f64)),
        _ => Some(each_wide(move |x: f32| x / count as f32)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn nan_wins() {
        let (a, b, c) = ([f32::NAN, 1.0, 2.0, 1.0], [1.0, f32::NAN, 3.0, 2.0], [1.0, 2.0, f32::NAN, 0.0]);
        let run = |def: &OpDef| single(def, 13).input([4], &a).input([4], &b).input([4], &c).tensor().unwrap();
        let nan = f64::NAN;
        assert_close(&run(&MAX), &[nan, nan, nan, 2.0], 0.0, 0.0);
        assert_close(&run(&MIN), &[nan, nan, nan, 0.0], 0.0, 0.0);
        assert_close(&run(&SUM), &[nan, nan, nan, 3.0], 0.0, 0.0);
        let run = |def: &OpDef| single(def, 8).input([2], &[nan, 1.0]).input([2], &[1.0, 2.0]).tensor().unwrap();
        assert_close(&run(&MAX), &[nan, 2.0], 0.0, 0.0);
        assert_close(&run(&MEAN), &[nan, 1.5], 0.0, 0.0);
    }

    #[test]
    fn one_tensor_and_many() {
        for n in [1usize, 5, 1024, 3000] {
            for count in 1..6u32 {
                let sum = (0..count).fold(single(&SUM, 13), |s, i| s.input([n], &vec![half::f16::from_f32(i as f32 + 0.25); n]));
                let mean = (0..count).fold(single(&MEAN, 8), |s, i| s.input([n], &vec![f64::from(i); n]));
                let total = f64::from(count * (count - 1) / 2);
                assert_close(&sum.tensor().unwrap(), &vec![total + 0.25 * f64::from(count); n], 0.0, 0.0);
                assert_close(&mean.tensor().unwrap(), &vec![total / f64::from(count); n], 1e-15, 0.0);
            }
        }
        assert!(single(&SUM, 8).tensor().is_err());
    }

    #[test]
    fn shapes_broadcast_since_version_8() {
        let run = |opset| {
            let s = single(&MAX, opset).input([2, 1], &[1f32, 5.0]).input([3], &[0f32, 3.0, 9.0]).input([], &[2f32]);
            s.tensor()
        };
        let t = run(8).unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[2, 3][..], &[2.0, 3.0, 9.0, 5.0, 5.0, 9.0][..]));
        assert!(run(6).unwrap_err().detail().contains("are not one"));
        let t = single(&MIN, 12).input([2], &[-3i16, 4]).input([], &[1i16]).tensor().unwrap();
        assert_eq!(t.slice::<i16>().unwrap(), [-3, 1]);
        let t = single(&SUM, 13).input([2], &[1f32, 2.0]).input([0, 2], &[0f32; 0]).tensor().unwrap();
        assert_eq!(&**t.shape(), [0, 2]);
    }
}
