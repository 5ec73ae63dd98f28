//! Softplus, Softsign, Mish.

use op::{OpDef, Since, since};
use simd::math::{Softplus, Softsign, Tanh};
use simd::{Simd, VecFn};

use crate::elementwise::{SELF, floats, plain};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_FLOATS_V1, X_Y};

/// Softplus of `ai.onnx`: `ln(1 + e^x)`.
pub static SOFTPLUS: OpDef = OpDef {
    name: "Softplus",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| plain(a, |d, _| floats(d, Softplus, softplus)),
    ..SELF
};

const SOFTSIGN_VERSIONS: &[Since] = &[since(1, INPUT_OUTPUT, T_FLOATS_V1), since(22, INPUT_OUTPUT, T_FLOATS)];

/// Softsign of `ai.onnx`: `x / (1 + |x|)`.
pub static SOFTSIGN: OpDef = OpDef {
    name: "Softsign",
    versions: SOFTSIGN_VERSIONS,
    load: |a| plain(a, |d, _| floats(d, Softsign, |x| x / (1.0 + x.abs()))),
    ..SELF
};

/// Mish of `ai.onnx`: `x tanh(softplus(x))`.
pub static MISH: OpDef = OpDef {
    name: "Mish",
    versions: &[since(18, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| plain(a, |d, _| floats(d, Mish, |x| x * softplus(x).tanh())),
    ..SELF
};

fn softplus(x: f64) -> f64 {
    // `max` takes the number where one is NaN; the second term keeps it.
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[derive(Clone, Copy)]
struct Mish;

impl VecFn for Mish {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, Tanh.eval(s, Softplus.eval(s, x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    type Real = fn(f64) -> f64;

    #[test]
    fn values() {
        let x = [-1000.0, -20.0, -0.5, 0.0, 3.0, 1000.0, f64::NAN];
        let cases: [(&OpDef, Real); 3] = [(&SOFTPLUS, softplus), (&SOFTSIGN, |x| x / (1.0 + x.abs())), (&MISH, |x| x * softplus(x).tanh())];
        for (def, f) in cases {
            let want = x.map(f);
            assert_close(&single(def, 18).input([7], &x).tensor().unwrap(), &want, 1e-14, 0.0);
            assert_close(&single(def, 22).input([7, 1], &x.map(|x| x as f32)).tensor().unwrap(), &want, 2e-6, 1e-35);
            assert_close(&single(def, 22).input([7], &x.map(half::bf16::from_f64)).tensor().unwrap(), &want, 5e-3, 1e-35);
        }
        assert_eq!((softplus(-800.0), softplus(800.0)), (0.0, 800.0));
    }
}
