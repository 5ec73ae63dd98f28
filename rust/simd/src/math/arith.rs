//! Functions of a few instructions.

use crate::{Simd, VecFn, VecFn2};

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident = |$s:ident, $x:ident| $body:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl VecFn for $name {
            #[inline(always)]
            fn eval<S: Simd>(self, $s: S, $x: S::F) -> S::F {
                $body
            }
        }
    )* };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident = |$s:ident, $a:ident, $b:ident| $body:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl VecFn2 for $name {
            #[inline(always)]
            fn eval<S: Simd>(self, $s: S, $a: S::F, $b: S::F) -> S::F {
                $body
            }
        }
    )* };
}

unary! {
    /// The square root; NaN below zero.
    Sqrt = |s, x| s.sqrt(x);
    /// `1 / x`.
    Recip = |s, x| s.div(s.splat(1.0), x);
    /// `1 / sqrt x`, both rounded.
    Rsqrt = |s, x| s.div(s.splat(1.0), s.sqrt(x));
    /// `x` without its sign.
    Abs = |s, x| s.abs(x);
    /// `-x`.
    Neg = |s, x| s.neg(x);
    /// `x * x`.
    Square = |s, x| s.mul(x, x);
    /// `max(x, 0)`; NaN stays.
    Relu = |s, x| s.max(s.zero(), x);
    /// The next whole number at or below.
    Floor = |s, x| s.floor(x);
    /// The next whole number at or above.
    Ceil = |s, x| s.ceil(x);
    /// The nearest whole number, ties to even.
    Round = |s, x| s.round(x);
    /// `x max(0, min(1, x / 6 + 1 / 2))`.
    HardSwish = |s, x| s.mul(x, s.min(s.splat(1.0), s.max(s.zero(), s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5)))));
    /// `x / (1 + |x|)`.
    Softsign = |s, x| s.div(x, s.add(s.splat(1.0), s.abs(x)));
}

binary! {
    /// `a + b`.
    Add = |s, a, b| s.add(a, b);
    /// `a - b`.
    Sub = |s, a, b| s.sub(a, b);
    /// `a * b`.
    Mul = |s, a, b| s.mul(a, b);
    /// `a / b`.
    Div = |s, a, b| s.div(a, b);
    /// The lesser; NaN where either is.
    Min = |s, a, b| s.min_nan(a, b);
    /// The greater; NaN where either is.
    Max = |s, a, b| s.max_nan(a, b);
}

/// `min(max(x, low), high)`; NaN stays.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// The lower bound.
    pub low: f32,
    /// The upper bound.
    pub high: f32,
}

impl VecFn for Clip {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.min(s.splat(self.high), s.max(s.splat(self.low), x))
    }
}

/// `x` where positive or zero, else `alpha x`.
#[derive(Clone, Copy, Debug)]
pub struct LeakyRelu(
    /// `alpha`.
    pub f32,
);

impl VecFn for LeakyRelu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.select(s.lt(x, s.zero()), s.mul(s.splat(self.0), x), x)
    }
}

/// `max(0, min(1, alpha x + beta))`.
#[derive(Clone, Copy, Debug)]
pub struct HardSigmoid {
    /// The slope.
    pub alpha: f32,
    /// The value at zero.
    pub beta: f32,
}

impl VecFn for HardSigmoid {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.min(s.splat(1.0), s.max(s.zero(), s.fma(s.splat(self.alpha), x, s.splat(self.beta))))
    }
}

/// `scale x + shift`.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    /// The factor.
    pub scale: f32,
    /// What is added.
    pub shift: f32,
}

impl VecFn for Affine {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.fma(s.splat(self.scale), x, s.splat(self.shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Check;

    #[test]
    fn exact_functions() {
        Check::new(Sqrt, f64::sqrt).ulp(0.5).run();
        Check::new(Recip, |x| 1.0 / x).ulp(0.5).run();
        Check::new(Rsqrt, |x| 1.0 / x.sqrt()).ulp(2.0).run();
        Check::new(Abs, f64::abs).ulp(0.0).run();
        Check::new(Neg, |x| -x).ulp(0.0).run();
        Check::new(Floor, f64::floor).ulp(0.0).run();
        Check::new(Ceil, f64::ceil).ulp(0.0).run();
        Check::new(Round, f64::round_ties_even).ulp(0.0).run();
        Check::new(Relu, |x| if x < 0.0 { 0.0 } else { x }).ulp(0.0).run();
    }

    #[test]
    fn parametrised_functions() {
        Check::new(Clip { low: -1.5, high: 2.0 }, |x| x.clamp(-1.5, 2.0)).ulp(0.0).run();
        Check::new(LeakyRelu(0.25), |x| if x < 0.0 { 0.25 * x } else { x }).ulp(0.5).run();
        let hard = |x: f64| (0.25 * x + 0.5).clamp(0.0, 1.0);
        Check::new(HardSigmoid { alpha: 0.25, beta: 0.5 }, hard).ulp(2.0).absolute(1e-7).run();
        Check::new(Affine { scale: 2.0, shift: 0.0 }, |x| 2.0 * x + 0.0).ulp(0.5).run();
    }

    #[test]
    fn nan_wins_in_min_and_max() {
        let (a, b) = ([f32::NAN, 1.0, 2.0, -0.0], [1.0, f32::NAN, 3.0, 0.0]);
        let mut y = [0.0f32; 4];
        crate::zip(Max, &a, &b, &mut y);
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 3.0);
        crate::zip(Min, &a, &b, &mut y);
        assert!(y[0].is_nan() && y[1].is_nan() && y[2] == 2.0);
    }
}
