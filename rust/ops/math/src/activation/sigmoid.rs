//! Sigmoid, Tanh, Swish, and the piecewise linear HardSigmoid and HardSwish.

use base::DType;
use op::{OpDef, Since, since};

use crate::elementwise::{Map, SELF, closures, each_wide, float_map, floats, plain, vector, with};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_FLOATS_V1, X_Y};

/// Sigmoid of `ai.onnx`: `1 / (1 + e^-x)`.
pub static SIGMOID: OpDef = OpDef {
    name: "Sigmoid",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(13, X_Y, T_FLOATS)],
    load: |a| plain(a, |d, _| floats(d, simd::math::Sigmoid, sigmoid)),
    ..SELF
};

/// Tanh of `ai.onnx`.
pub static TANH: OpDef = OpDef {
    name: "Tanh",
    versions: &[since(1, INPUT_OUTPUT, T_FLOATS_V1), since(6, INPUT_OUTPUT, T_FLOATS_V1), since(13, INPUT_OUTPUT, T_FLOATS)],
    load: |a| plain(a, |d, _| floats(d, simd::math::Tanh, f64::tanh)),
    ..SELF
};

/// Swish of `ai.onnx`: `x sigmoid(alpha x)`; 0 where the second factor is, at infinity too.
pub static SWISH: OpDef = OpDef {
    name: "Swish",
    versions: &[since(24, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 1.0)?, 0.0], |d, [alpha, _]| swish(d, alpha)),
    ..SELF
};

const HARD_SIGMOID_VERSIONS: &[Since] = &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)];

/// HardSigmoid of `ai.onnx`: `max(0, min(1, alpha x + beta))`.
pub static HARD_SIGMOID: OpDef = OpDef {
    name: "HardSigmoid",
    versions: HARD_SIGMOID_VERSIONS,
    load: |a| with(a, [a.float("alpha", 0.2)?, a.float("beta", 0.5)?], hard_sigmoid),
    ..SELF
};

/// HardSwish of `ai.onnx`: `x max(0, min(1, x / 6 + 1 / 2))`.
pub static HARD_SWISH: OpDef = OpDef {
    name: "HardSwish",
    versions: &[since(14, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| plain(a, |d, _| float_map(d, false, vector(simd::math::HardSwish), each_wide(|x: f64| x * gate(x, 1.0 / 6.0, 0.5)))),
    ..SELF
};

/// `x sigmoid(alpha x)`.
pub(super) fn swish(dtype: DType, alpha: f32) -> Option<Box<dyn Map>> {
    let double = move |x: f64| gated(x, sigmoid(f64::from(alpha) * x));
    if alpha == 1.0 {
        return floats(dtype, simd::math::Silu, double);
    }
    floats(dtype, simd::math::QuickGelu(alpha), double)
}

/// `x gate`; 0 where the gate is closed, at infinity too.
pub(super) fn gated(x: f64, gate: f64) -> f64 {
    if gate == 0.0 { 0.0 } else { x * gate }
}

/// From `e^-|x|`, so that nothing overflows.
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn gate(x: f64, alpha: f64, beta: f64) -> f64 {
    (alpha * x + beta).clamp(0.0, 1.0)
}

fn hard_sigmoid(dtype: DType, [alpha, beta]: [f32; 2]) -> Option<Box<dyn Map>> {
    let (slope, shift) = (f64::from(alpha), f64::from(beta));
    closures(dtype, move |x| (alpha * x + beta).clamp(0.0, 1.0), move |x| gate(x, slope, shift))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    const X: [f64; 8] = [-1000.0, -3.5, -0.25, 0.0, 0.5, 2.0, 1000.0, f64::NAN];

    fn check(def: &OpDef, opset: u32, f: impl Fn(f64) -> f64) {
        let want = X.map(f);
        assert_close(&single(def, opset).input([8], &X).tensor().unwrap(), &want, 1e-14, 1e-300);
        assert_close(&single(def, opset).input([2, 4], &X.map(|x| x as f32)).tensor().unwrap(), &want, 1e-6, 1e-9);
        assert_close(&single(def, opset).input([8], &X.map(half::f16::from_f64)).tensor().unwrap(), &want, 1e-3, 1e-6);
    }

    #[test]
    fn values() {
        check(&SIGMOID, 6, |x| 1.0 / (1.0 + (-x).exp()));
        check(&TANH, 13, f64::tanh);
        check(&HARD_SWISH, 14, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0));
        check(&HARD_SIGMOID, 1, |x| (f64::from(0.2f32) * x + 0.5).clamp(0.0, 1.0));
        check(&SWISH, 24, |x| x / (1.0 + (-x).exp()));
    }

    #[test]
    fn parameters_are_read() {
        let t = single(&HARD_SIGMOID, 22).attr("alpha", 0.5f32).attr("beta", 0.25f32).input([3], &[-9f32, 1.0, 9.0]).tensor().unwrap();
        assert_close(&t, &[0.0, 0.75, 1.0], 0.0, 0.0);
        let t = single(&SWISH, 24).attr("alpha", 2.0f32).input([2], &[1f32, -1.0]).tensor().unwrap();
        assert_close(&t, &[sigmoid(2.0), -sigmoid(-2.0)], 1e-6, 0.0);
        assert!(single(&SIGMOID, 13).attr("alpha", 0.5f32).input([1], &[0f32]).tensor().is_err());
    }
}
