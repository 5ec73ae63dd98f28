//! Exp, Log, Sqrt, Reciprocal.

use op::{OpDef, Since, since};

use crate::elementwise::{SELF, floats, plain};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_FLOATS_V1, X_Y};

const NAMED_INPUT: &[Since] =
    &[since(1, INPUT_OUTPUT, T_FLOATS_V1), since(6, INPUT_OUTPUT, T_FLOATS_V1), since(13, INPUT_OUTPUT, T_FLOATS)];
const NAMED_X: &[Since] = &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(13, X_Y, T_FLOATS)];

/// Exp of `ai.onnx`.
pub static EXP: OpDef =
    OpDef { name: "Exp", versions: NAMED_INPUT, load: |a| plain(a, |d, _| floats(d, simd::math::Exp, f64::exp)), ..SELF };

/// Log of `ai.onnx`: the natural logarithm.
pub static LOG: OpDef =
    OpDef { name: "Log", versions: NAMED_INPUT, load: |a| plain(a, |d, _| floats(d, simd::math::Log, f64::ln)), ..SELF };

/// Sqrt of `ai.onnx`: NaN below zero.
pub static SQRT: OpDef =
    OpDef { name: "Sqrt", versions: NAMED_X, load: |a| plain(a, |d, _| floats(d, simd::math::Sqrt, f64::sqrt)), ..SELF };

/// Reciprocal of `ai.onnx`: infinite at zero.
pub static RECIPROCAL: OpDef =
    OpDef { name: "Reciprocal", versions: NAMED_X, load: |a| plain(a, |d, _| floats(d, simd::math::Recip, |x| 1.0 / x)), ..SELF };

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn edges() {
        let x = [0f32, -0.0, 1.0, -1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let run = |def| single(def, 13).input([7], &x).tensor().unwrap();
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_close(&run(&EXP), &[1.0, 1.0, 1f64.exp(), (-1f64).exp(), inf, 0.0, nan], 1e-6, 0.0);
        assert_close(&run(&LOG), &[-inf, -inf, 0.0, nan, inf, nan, nan], 1e-6, 0.0);
        assert_close(&run(&SQRT), &[0.0, -0.0, 1.0, nan, inf, nan, nan], 0.0, 0.0);
        assert_close(&run(&RECIPROCAL), &[inf, -inf, 1.0, -1.0, 0.0, -0.0, nan], 0.0, 0.0);
    }

    #[test]
    fn every_float_type_and_an_old_opset() {
        let x = [0.5f64, 1.5, 2.5];
        let want: Vec<f64> = x.iter().map(|x| x.exp()).collect();
        assert_close(&single(&EXP, 1).attr("consumed_inputs", vec![0i64]).input([3], &x).tensor().unwrap(), &want, 1e-15, 0.0);
        let halves = x.map(half::f16::from_f64);
        assert_close(&single(&EXP, 6).input([3, 1], &halves).tensor().unwrap(), &want, 1e-3, 0.0);
        let brains = x.map(half::bf16::from_f64);
        assert_close(&single(&EXP, 13).input([1, 3], &brains).tensor().unwrap(), &want, 4e-3, 0.0);
        assert!(single(&EXP, 6).input([3], &brains).tensor().is_err());
        assert!(single(&EXP, 13).input([3], &[1i32, 2, 3]).tensor().is_err());
        assert!(single(&EXP, 13).attr("consumed_inputs", vec![0i64]).input([3], &x).tensor().is_err());
    }

    #[test]
    fn sizes_around_chunks() {
        for n in [0, 1, 1023, 8192, 8193, 40000] {
            let x: Vec<f32> = (0..n).map(|i| i as f32 + 1.0).collect();
            let want: Vec<f64> = x.iter().map(|x| 1.0 / f64::from(*x)).collect();
            assert_close(&single(&RECIPROCAL, 13).input([n], &x).tensor().unwrap(), &want, 1e-7, 0.0);
            let x: Vec<half::f16> = (0..n).map(|i| half::f16::from_f32((i % 100) as f32)).collect();
            let want: Vec<f64> = x.iter().map(|x| half::f16::from_f64(x.to_f64().sqrt()).to_f64()).collect();
            assert_close(&single(&SQRT, 13).input([n], &x).tensor().unwrap(), &want, 0.0, 0.0);
        }
    }
}
