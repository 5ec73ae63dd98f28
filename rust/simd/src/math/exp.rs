//! The exponential and what is made of it.

use super::poly;
use crate::{Simd, VecFn};

/// `(e^r - 1 - r) / r^2` for `|r| <= ln 2 / 2`.
const TAIL: [f32; 6] = [0.5, 0.16666666, 0.04166629, 0.008333499, 0.0013944868, 0.00019790165];
/// The upper bits of `ln 2`, so few that a multiple of them is exact.
const LN2_HIGH: f32 = 0.693_359_4;
/// `ln 2 - LN2_HIGH`.
const LN2_LOW: f32 = -2.121_944_4e-4;
/// From here on `e^x` overflows.
const OVER: f32 = 89.0;
/// From here down `e^x` is zero.
const UNDER: f32 = -104.0;
/// Below this, `x * sigmoid(x)` is zero; keeps `-inf * 0` from becoming NaN.
const GATE_UNDER: f32 = -1e4;

/// `x` cut to the range where its exponential is neither zero nor infinite (give or take a little); NaN stays.
#[inline(always)]
fn clamp<S: Simd>(s: S, x: S::F) -> S::F {
    s.min(s.splat(OVER), s.max(s.splat(UNDER), x))
}

/// `x = n ln 2 + r` as `(n, r)`, with `|r| <= ln 2 / 2`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F) -> (S::F, S::F) {
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fnma(n, s.splat(LN2_HIGH), x);
    (n, s.fnma(n, s.splat(LN2_LOW), r))
}

/// `2^n` as two factors, for `|n| < 253`: each is a normal number even where the power is none.
#[inline(always)]
fn power_of_two<S: Simd>(s: S, n: S::F) -> (S::F, S::F) {
    let n = s.to_int(n);
    let half = s.shr(n, 1);
    let power = |e| s.with_bits(s.shl(s.iadd(e, s.isplat(127)), 23));
    (power(half), power(s.isub(n, half)))
}

/// `e^x`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    let (n, r) = reduce(s, clamp(s, x));
    let p = s.fma(s.mul(r, r), poly(s, r, TAIL), r);
    let (a, b) = power_of_two(s, n);
    s.mul(s.mul(s.add(p, s.splat(1.0)), a), b)
}

/// `e^x - 1`: the `1` is taken from the power of two where that loses nothing.
#[inline(always)]
fn expm1<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let (n, r) = reduce(s, clamp(s, x));
    let p = s.fma(s.mul(r, r), poly(s, r, TAIL), r);
    let (a, b) = power_of_two(s, n);
    let small = s.eq(n, s.zero());
    let large = s.sub(s.mul(s.mul(s.add(p, one), a), b), one);
    // `x` itself keeps the sign of zero and the precision of tiny arguments.
    let tiny = s.lt(s.abs(x), s.splat(1e-8));
    s.select(tiny, x, s.select(small, p, large))
}

/// `1 / (1 + e^-x)`: from `e^-|x|`, so that nothing overflows and the lower tail keeps its precision.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let z = exp(s, s.neg(s.abs(x)));
    let r = s.div(s.splat(1.0), s.add(s.splat(1.0), z));
    s.select(s.lt(x, s.zero()), s.mul(z, r), r)
}

/// `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl VecFn for Exp {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        exp(s, x)
    }
}

/// `e^x - 1`.
#[derive(Clone, Copy, Debug)]
pub struct Expm1;

impl VecFn for Expm1 {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        expm1(s, x)
    }
}

/// `x` where positive, else `alpha (e^x - 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Elu(
    /// `alpha`.
    pub f32,
);

impl VecFn for Elu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.select(s.gt(x, s.zero()), x, s.mul(s.splat(self.0), expm1(s, x)))
    }
}

/// `1 / (1 + e^-x)`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl VecFn for Sigmoid {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        sigmoid(s, x)
    }
}

/// `x sigmoid(x)`; 0 at minus infinity. Where the gate is subnormal, the error is up to `1e-36` absolute.
#[derive(Clone, Copy, Debug)]
pub struct Silu;

impl VecFn for Silu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(s.max(s.splat(GATE_UNDER), x), sigmoid(s, x))
    }
}

/// `x sigmoid(alpha x)`; 0 where the gate is closed at infinity.
#[derive(Clone, Copy, Debug)]
pub struct QuickGelu(
    /// `alpha`.
    pub f32,
);

impl VecFn for QuickGelu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let gate = sigmoid(s, s.mul(s.splat(self.0), x));
        let y = s.mul(x, gate);
        s.select(s.eq(gate, s.zero()), s.zero(), y)
    }
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, computed as `x sigmoid(2 …)`; 0 at minus infinity.
/// The lower tail has the relative error of the cube inside the exponential.
#[derive(Clone, Copy, Debug)]
pub struct GeluTanh;

impl VecFn for GeluTanh {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        const LINEAR: f32 = 1.595_769;
        const CUBIC: f32 = LINEAR * 0.044_715;
        let inner = s.mul(x, s.fma(s.mul(x, x), s.splat(CUBIC), s.splat(LINEAR)));
        s.mul(s.max(s.splat(GATE_UNDER), x), sigmoid(s, inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Check, f64_sigmoid};

    #[test]
    fn exp_is_accurate() {
        Check::new(Exp, |x| x.exp()).ulp(2.0).run();
    }

    #[test]
    fn expm1_is_accurate() {
        Check::new(Expm1, f64::exp_m1).ulp(4.0).run();
        Check::new(Elu(2.0), |x| if x > 0.0 { x } else { 2.0 * x.exp_m1() }).ulp(4.0).run();
    }

    #[test]
    fn sigmoid_is_accurate() {
        Check::new(Sigmoid, f64_sigmoid).ulp(4.0).run();
        Check::new(Silu, |x| if x == f64::NEG_INFINITY { -0.0 } else { x * f64_sigmoid(x) }).ulp(4.0).absolute(1e-36).run();
    }

    #[test]
    fn gates_are_accurate() {
        let quick = |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { x * f64_sigmoid(f64::from(1.702f32) * x) };
        Check::new(QuickGelu(1.702), quick).ulp(4.0).absolute(1e-6).run();
        let tanh_form =
            |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { x * f64_sigmoid(1.595_769_121_605_731 * (x + 0.044715 * x * x * x)) };
        Check::new(GeluTanh, tanh_form).ulp(4.0).absolute(1e-6).run();
    }

    #[test]
    #[ignore = "every f32: minutes"]
    fn exhaustive() {
        Check::new(Exp, |x| x.exp()).ulp(2.0).run_all();
        Check::new(Sigmoid, f64_sigmoid).ulp(4.0).run_all();
        Check::new(Expm1, f64::exp_m1).ulp(4.0).run_all();
    }
}
