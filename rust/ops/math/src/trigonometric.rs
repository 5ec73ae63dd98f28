//! Sin, Cos, Tan, their hyperbolic kin, and the inverses of all.

use op::{OpDef, Since, since};

use crate::elementwise::{SELF, each, float_map, floats, plain};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_FLOATS_V1};

const CIRCULAR: &[Since] = &[since(7, INPUT_OUTPUT, T_FLOATS_V1), since(22, INPUT_OUTPUT, T_FLOATS)];
const HYPERBOLIC: &[Since] = &[since(9, INPUT_OUTPUT, T_FLOATS_V1), since(22, INPUT_OUTPUT, T_FLOATS)];

/// Sin of `ai.onnx`.
pub static SIN: OpDef = OpDef { name: "Sin", versions: CIRCULAR, load: |a| plain(a, |d, _| floats(d, simd::math::Sin, f64::sin)), ..SELF };

/// Cos of `ai.onnx`.
pub static COS: OpDef = OpDef { name: "Cos", versions: CIRCULAR, load: |a| plain(a, |d, _| floats(d, simd::math::Cos, f64::cos)), ..SELF };

/// Tan of `ai.onnx`.
pub static TAN: OpDef =
    OpDef { name: "Tan", versions: CIRCULAR, load: |a| plain(a, |d, _| float_map(d, false, each(f32::tan), each(f64::tan))), ..SELF };

/// Asin of `ai.onnx`: NaN outside of [-1, 1].
pub static ASIN: OpDef =
    OpDef { name: "Asin", versions: CIRCULAR, load: |a| plain(a, |d, _| float_map(d, false, each(f32::asin), each(f64::asin))), ..SELF };

/// Acos of `ai.onnx`: NaN outside of [-1, 1].
pub static ACOS: OpDef =
    OpDef { name: "Acos", versions: CIRCULAR, load: |a| plain(a, |d, _| float_map(d, false, each(f32::acos), each(f64::acos))), ..SELF };

/// Atan of `ai.onnx`.
pub static ATAN: OpDef =
    OpDef { name: "Atan", versions: CIRCULAR, load: |a| plain(a, |d, _| float_map(d, false, each(f32::atan), each(f64::atan))), ..SELF };

/// Sinh of `ai.onnx`.
pub static SINH: OpDef =
    OpDef { name: "Sinh", versions: HYPERBOLIC, load: |a| plain(a, |d, _| float_map(d, false, each(f32::sinh), each(f64::sinh))), ..SELF };

/// Cosh of `ai.onnx`.
pub static COSH: OpDef =
    OpDef { name: "Cosh", versions: HYPERBOLIC, load: |a| plain(a, |d, _| float_map(d, false, each(f32::cosh), each(f64::cosh))), ..SELF };

/// Asinh of `ai.onnx`.
pub static ASINH: OpDef = OpDef { name: "Asinh", versions: HYPERBOLIC, load: |a| plain(a, |d, _| by_double(d, f64::asinh)), ..SELF };

/// Acosh of `ai.onnx`: NaN below 1.
pub static ACOSH: OpDef = OpDef { name: "Acosh", versions: HYPERBOLIC, load: |a| plain(a, |d, _| by_double(d, acosh)), ..SELF };

/// Atanh of `ai.onnx`: NaN outside of [-1, 1].
pub static ATANH: OpDef = OpDef { name: "Atanh", versions: HYPERBOLIC, load: |a| plain(a, |d, _| by_double(d, f64::atanh)), ..SELF };

/// A function that is exact enough only in `f64`: there is none for `f32` that keeps its precision where the argument cancels.
fn by_double(dtype: base::DType, f: fn(f64) -> f64) -> Option<Box<dyn crate::elementwise::Map>> {
    float_map(dtype, false, each(move |x: f32| f(x.into()) as f32), each(f))
}

/// The inverse of the hyperbolic cosine, exact near 1 where the usual formula takes the logarithm of almost 1.
fn acosh(x: f64) -> f64 {
    if x > 1e8 {
        return x.ln() + std::f64::consts::LN_2;
    }
    let t = x - 1.0;
    (t + (t * (t + 2.0)).sqrt()).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    type Real = fn(f64) -> f64;

    #[test]
    fn values_and_domains() {
        let cases: [(&OpDef, Real); 11] = [
            (&SIN, f64::sin),
            (&COS, f64::cos),
            (&TAN, f64::tan),
            (&ASIN, f64::asin),
            (&ACOS, f64::acos),
            (&ATAN, f64::atan),
            (&SINH, f64::sinh),
            (&COSH, f64::cosh),
            (&ASINH, f64::asinh),
            (&ACOSH, f64::acosh),
            (&ATANH, f64::atanh),
        ];
        let x = [-2.0f32, -1.0, -0.3, 0.0, 0.7, 1.0, 1.5, 30.0, f32::NAN, f32::INFINITY];
        for (def, f) in cases {
            let want: Vec<f64> = x.iter().map(|x| f((*x).into())).collect();
            assert_close(&single(def, 9).input([10], &x).tensor().unwrap(), &want, 1e-6, 1e-7);
            let doubles = x.map(f64::from);
            assert_close(&single(def, 22).input([5, 2], &doubles).tensor().unwrap(), &want, 1e-14, 0.0);
        }
    }

    #[test]
    fn acosh_is_exact_near_one() {
        let x = 1.0 + 1e-12;
        assert!((acosh(x) / (2.0 * (x - 1.0)).sqrt() - 1.0).abs() < 1e-12);
        assert!((acosh(1e300) - (1e300f64.ln() + std::f64::consts::LN_2)).abs() < 1e-12);
        assert!(acosh(0.5).is_nan() && acosh(f64::INFINITY).is_infinite());
    }
}
