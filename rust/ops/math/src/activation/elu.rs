//! Elu, Selu, Celu: an exponential below zero.

use base::DType;
use op::{OpDef, TypeSet, since};
use simd::math::{Elu, Expm1};
use simd::{Simd, VecFn};

use crate::elementwise::{Map, SELF, floats, with};
use crate::types::{T_FLOATS, T_FLOATS_V1, X_Y};

/// Elu of `ai.onnx`: `x` where positive, else `alpha (e^x - 1)`.
pub static ELU: OpDef = OpDef {
    name: "Elu",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 1.0)?, 0.0], |d, [alpha, _]| floats(d, Elu(alpha), move |x| elu(x, alpha.into()))),
    ..SELF
};

/// Selu of `ai.onnx`: `gamma` times Elu. Version 1 had coarser defaults.
pub static SELU: OpDef = OpDef {
    name: "Selu",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| {
        let (alpha, gamma) = if a.since() < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
        with(a, [a.float("alpha", alpha)?, a.float("gamma", gamma)?], selu)
    },
    ..SELF
};

/// Celu of `ai.onnx`: `x` where positive, else `alpha (e^(x / alpha) - 1)`.
pub static CELU: OpDef = OpDef {
    name: "Celu",
    versions: &[since(12, X_Y, &[("T", TypeSet::tensors(&[DType::F32]))]), since(28, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 1.0)?, 0.0], |d, [alpha, _]| celu(d, alpha)),
    ..SELF
};

fn elu(x: f64, alpha: f64) -> f64 {
    if x > 0.0 { x } else { alpha * x.exp_m1() }
}

#[derive(Clone, Copy)]
struct Selu {
    alpha: f32,
    gamma: f32,
}

impl VecFn for Selu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(s.splat(self.gamma), Elu(self.alpha).eval(s, x))
    }
}

fn selu(dtype: DType, [alpha, gamma]: [f32; 2]) -> Option<Box<dyn Map>> {
    floats(dtype, Selu { alpha, gamma }, move |x| f64::from(gamma) * elu(x, alpha.into()))
}

#[derive(Clone, Copy)]
struct Celu(f32);

impl VecFn for Celu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let alpha = s.splat(self.0);
        let below = s.mul(alpha, Expm1.eval(s, s.div(x, alpha)));
        s.select(s.gt(x, s.zero()), x, below)
    }
}

fn celu(dtype: DType, alpha: f32) -> Option<Box<dyn Map>> {
    let double = f64::from(alpha);
    floats(dtype, Celu(alpha), move |x| if x > 0.0 { x } else { double * (x / double).exp_m1() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    const X: [f64; 6] = [-200.0, -1.5, -1e-4, 0.0, 2.5, f64::NAN];

    fn check(t: base::Tensor, f: impl Fn(f64) -> f64) {
        assert_close(&t, &X.map(f), 1e-6, 0.0);
    }

    #[test]
    fn values() {
        let x = X.map(|x| x as f32);
        check(single(&ELU, 6).attr("alpha", 2.0f32).input([6], &x).tensor().unwrap(), |x| elu(x, 2.0));
        check(single(&SELU, 6).input([6], &x).tensor().unwrap(), |x| 1.050_701 * elu(x, 1.673_263_2));
        check(single(&SELU, 1).input([2, 3], &X).tensor().unwrap(), |x| 1.0507 * elu(x, 1.6732));
        check(
            single(&CELU, 12).attr("alpha", 0.5f32).input([6], &x).tensor().unwrap(),
            |x| if x > 0.0 { x } else { 0.5 * (x / 0.5).exp_m1() },
        );
        check(single(&CELU, 28).input([6], &X).tensor().unwrap(), |x| elu(x, 1.0));
        assert!(single(&CELU, 12).input([6], &X).tensor().is_err());
    }
}
