//! Gelu, and the forms of it in `com.microsoft`: Gelu, FastGelu, BiasGelu, QuickGelu.

use base::{DType, Result};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::{CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, since};
use simd::math::{Gelu, GeluTanh};
use simd::{Simd, VecFn, VecFn2};

use super::sigmoid::{gated, sigmoid, swish};
use crate::elementwise::{Align, Binary, SELF, Unary, Zip, float_zip, floats, pairs, plain, unknown, vectors, with};
use crate::special::erfc;
use crate::types::{T_FLOATS, X_Y};

/// Gelu of `ai.onnx`: `x / 2 (1 + erf(x / sqrt 2))`, or its approximation by `tanh`.
pub static GELU: OpDef = OpDef {
    name: "Gelu",
    versions: &[since(20, X_Y, T_FLOATS)],
    load: |a| match a.choice("approximate", &["none", "tanh"], "none")? {
        0 => plain(a, |d, _| floats(d, Gelu, exact)),
        // The parameter tells kernels of devices which it is.
        _ => with(a, [1.0, 0.0], |d, _| floats(d, GeluTanh, by_tanh)),
    },
    ..SELF
};

const CONTRIB: OpDef =
    OpDef { kernels: Kernels::NONE.cpu::<Unary>().cuda::<Unary>(), in_place: &[(0, 0)], layouts: Layouts::Follows, ..OpDef::MICROSOFT };

/// Gelu of `com.microsoft`: the exact form.
pub static MICROSOFT_GELU: OpDef =
    OpDef { name: "Gelu", versions: &[since(1, X_Y, T_FLOATS)], load: |a| with(a, [0.0; 2], |d, _| floats(d, Gelu, exact)), ..CONTRIB };

/// QuickGelu of `com.microsoft`: `x sigmoid(alpha x)`.
pub static QUICK_GELU: OpDef = OpDef {
    name: "QuickGelu",
    versions: &[since(1, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 1.702)?, 0.0], |d, [alpha, _]| swish(d, alpha)),
    ..CONTRIB
};

/// BiasGelu of `com.microsoft`: Gelu of `A + B`, where `B` is laid over the last axis of `A`.
pub static BIAS_GELU: OpDef = OpDef {
    name: "BiasGelu",
    versions: &[since(1, "A:T, B:T -> C:T", T_FLOATS)],
    load: |_| Ok(Box::new(biased(|d| float_zip(d, false, vectors(OfSum(Gelu)), pairs(|x: f64, b: f64| exact(x + b)))))),
    kernels: Kernels::NONE.cpu::<Binary>().cuda::<Binary>(),
    ..CONTRIB
};

/// FastGelu of `com.microsoft`: the approximation by `tanh`, of `X + bias` if there is a bias.
pub static FAST_GELU: OpDef = OpDef {
    name: "FastGelu",
    versions: &[since(1, "X:T, bias:T? -> Y:T", T_FLOATS)],
    load: |a| Ok(Box::new(FastGelu { bias: a.has_input(1) })),
    kernels: Kernels::NONE.cpu::<FastGelu>().cuda::<FastGelu>(),
    ..CONTRIB
};

/// Like [`Binary`] or [`Unary`], whether there is a bias or not.
#[derive(Clone, Debug)]
struct FastGelu {
    bias: bool,
}

impl FastGelu {
    fn with_bias() -> Binary {
        biased(|d| float_zip(d, false, vectors(OfSum(GeluTanh)), pairs(|x: f64, b: f64| by_tanh(x + b))))
    }

    fn alone() -> Unary {
        Unary { function: |d, _| floats(d, GeluTanh, by_tanh), parameters: [0.0; 2], output: None }
    }
}

impl Op for FastGelu {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if self.bias { Self::with_bias().infer(cx) } else { Self::alone().infer(cx) }
    }
}

impl CudaKernel for FastGelu {
    fn claim(&self, cx: &CudaClaim<'_>) -> std::result::Result<(), String> {
        if self.bias { CudaKernel::claim(&Self::with_bias(), cx) } else { CudaKernel::claim(&Self::alone(), cx) }
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        if self.bias { Self::with_bias().launch(cx) } else { Self::alone().launch(cx) }
    }
}

impl CpuKernel for FastGelu {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        if self.bias { Self::with_bias().prepare(cx) } else { Self::alone().prepare(cx) }
    }
}

fn biased(function: fn(DType) -> Option<Box<dyn Zip>>) -> Binary {
    Binary { function, output: None, align: Align::ToFirst, value: unknown }
}

/// A function of the sum of its arguments.
#[derive(Clone, Copy)]
struct OfSum<F>(F);

impl<F: VecFn> VecFn2 for OfSum<F> {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, a: S::F, b: S::F) -> S::F {
        self.0.eval(s, s.add(a, b))
    }
}

/// `x / 2 erfc(-x / sqrt 2)`; 0 at minus infinity.
fn exact(x: f64) -> f64 {
    gated(x, erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0)
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`; 0 at minus infinity.
fn by_tanh(x: f64) -> f64 {
    gated(x, sigmoid(2.0 * (2.0 * std::f64::consts::FRAC_1_PI).sqrt() * (x + 0.044_715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    const X: [f64; 8] = [f64::NEG_INFINITY, -30.0, -2.0, -0.5, 0.0, 1.5, 40.0, f64::NAN];

    fn check(run: impl Fn(base::Tensor) -> base::Tensor, f: fn(f64) -> f64) {
        let want = X.map(f);
        assert_close(&run(base::Tensor::from_slice([2, 4], &X).unwrap()), &want, 1e-13, 0.0);
        assert_close(&run(base::Tensor::from_slice([2, 4], &X.map(|x| x as f32)).unwrap()), &want, 2e-6, 1e-6);
        assert_close(&run(base::Tensor::from_slice([2, 4], &X.map(half::f16::from_f64)).unwrap()), &want, 1e-3, 1e-3);
    }

    #[test]
    fn exact_and_approximate() {
        let whole =
            |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { x / 2.0 * (1.0 + crate::special::erf(x * std::f64::consts::FRAC_1_SQRT_2)) };
        assert!(X[1..].iter().all(|&x| x.is_nan() || (whole(x) - exact(x)).abs() < 1e-14));
        check(|x| single(&GELU, 20).value(x).tensor().unwrap(), exact);
        check(|x| single(&GELU, 20).attr("approximate", "tanh").value(x).tensor().unwrap(), by_tanh);
        check(|x| single(&MICROSOFT_GELU, 1).value(x).tensor().unwrap(), exact);
        check(|x| single(&FAST_GELU, 1).value(x).tensor().unwrap(), by_tanh);
        check(
            |x| single(&QUICK_GELU, 1).value(x).tensor().unwrap(),
            |x| if x < -500.0 { 0.0 } else { x * sigmoid(f64::from(1.702f32) * x) },
        );
        assert!(single(&GELU, 20).attr("approximate", "sigmoid").input([1], &[1f32]).tensor().is_err());
    }

    #[test]
    fn a_bias_is_added_first() {
        let (x, b) = ([1f32, 2.0, -1.0, 0.5], [0.5f32, -0.5]);
        let want = |f: fn(f64) -> f64| [1.5, 1.5, -0.5, 0.0].map(f);
        let t = single(&BIAS_GELU, 1).input([2, 2], &x).input([2], &b).tensor().unwrap();
        assert_close(&t, &want(exact), 1e-6, 1e-7);
        let t = single(&FAST_GELU, 1).input([2, 2], &x).input([2], &b).tensor().unwrap();
        assert_close(&t, &want(by_tanh), 1e-6, 1e-7);
        let t = single(&FAST_GELU, 1).input([2, 2], &x).skip().tensor().unwrap();
        assert_close(&t, &x.map(|x| by_tanh(x.into())), 1e-6, 1e-7);
        assert!(single(&BIAS_GELU, 1).input([2], &b).input([2, 2], &x).tensor().is_err());
    }
}
