//! The natural logarithm and what is made of it.

use super::{exp, poly};
use crate::{Simd, VecFn};

/// `(ln(1 + f) - f + f^2 / 2) / f^3` for `sqrt(1/2) <= 1 + f <= sqrt 2`.
const TAIL: [f32; 9] = [0.33333313, -0.2500001, 0.20002119, -0.16667996, 0.14219555, -0.12405589, 0.11888145, -0.1167564, 0.06746663];
/// The upper bits of `ln 2`, so few that a multiple of them is exact.
const LN2_HIGH: f32 = 0.693_359_4;
/// `ln 2 - LN2_HIGH`.
const LN2_LOW: f32 = -2.121_944_4e-4;
/// The bits of `sqrt(1/2)`.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// `ln x` for positive normal or subnormal `x`, without the special cases.
#[inline(always)]
fn ln_positive<S: Simd>(s: S, x: S::F) -> S::F {
    // Subnormal numbers are scaled into the normal range first.
    let subnormal = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let scaled = s.select(subnormal, s.mul(x, s.splat(8_388_608.0)), x);
    let shift = s.select(subnormal, s.splat(-23.0), s.zero());
    // x = 2^e m with m in [sqrt(1/2), sqrt 2): bias the bits so that the exponent steps at sqrt(1/2).
    let biased = s.isub(s.bits(scaled), s.isplat(SQRT_HALF));
    let e = s.add(s.to_float(s.shr(biased, 23)), shift);
    let m = s.with_bits(s.iadd(s.iand(biased, s.isplat(0x007f_ffff)), s.isplat(SQRT_HALF)));
    let f = s.sub(m, s.splat(1.0));
    let square = s.mul(f, f);
    let mut y = s.mul(s.mul(square, f), poly(s, f, TAIL));
    y = s.fma(e, s.splat(LN2_LOW), y);
    y = s.fnma(s.splat(0.5), square, y);
    s.fma(e, s.splat(LN2_HIGH), s.add(f, y))
}

/// `ln x`: NaN below zero, minus infinity at zero.
#[inline(always)]
fn ln<S: Simd>(s: S, x: S::F) -> S::F {
    let y = ln_positive(s, x);
    let infinity = s.splat(f32::INFINITY);
    let y = s.select(s.eq(x, infinity), infinity, y);
    let y = s.select(s.eq(x, s.zero()), s.splat(f32::NEG_INFINITY), y);
    let y = s.select(s.lt(x, s.zero()), s.splat(f32::NAN), y);
    s.select(s.is_nan(x), x, y)
}

/// `ln(1 + x)`: the logarithm of the rounded sum, corrected by what the rounding lost.
#[inline(always)]
fn ln_1p<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    let lost = s.sub(x, s.sub(u, one));
    let y = s.add(ln(s, u), s.div(lost, u));
    // `x` itself where the sum is 1: keeps the sign of zero and the precision of tiny arguments.
    let y = s.select(s.eq(u, one), x, y);
    // Beyond 2^24 nothing is lost, and at infinity and -1 the correction would be NaN.
    let plain = s.mask_or(s.gt(x, s.splat(1e8)), s.eq(u, s.zero()));
    s.select(plain, ln(s, u), y)
}

/// `ln x`.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl VecFn for Log {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        ln(s, x)
    }
}

/// `ln(1 + x)`.
#[derive(Clone, Copy, Debug)]
pub struct Log1p;

impl VecFn for Log1p {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        ln_1p(s, x)
    }
}

/// `ln(1 + e^x)`, without overflow.
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

impl VecFn for Softplus {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let tail = ln_1p(s, exp::exp(s, s.neg(s.abs(x))));
        s.add(s.max(s.zero(), x), tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Check;

    fn softplus(x: f64) -> f64 {
        if x == f64::INFINITY { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() }
    }

    #[test]
    fn log_is_accurate() {
        Check::new(Log, f64::ln).ulp(2.0).run();
    }

    #[test]
    fn log1p_is_accurate() {
        Check::new(Log1p, f64::ln_1p).ulp(2.0).run();
        Check::new(Softplus, softplus).ulp(4.0).run();
    }

    #[test]
    #[ignore = "every f32: minutes"]
    fn exhaustive() {
        Check::new(Log, f64::ln).ulp(2.0).run_all();
        Check::new(Log1p, f64::ln_1p).ulp(2.0).run_all();
        Check::new(Softplus, softplus).ulp(4.0).run_all();
    }
}
