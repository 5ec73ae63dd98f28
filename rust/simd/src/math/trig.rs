//! Sine and cosine.

use super::poly;
use crate::vector::MAX_LANES;
use crate::{Simd, VecFn};

/// `(sin r - r) / r^3` in `r^2`, for `|r| <= pi / 4`.
const SIN: [f32; 4] = [-0.16666667, 0.008333329, -0.00019839304, 2.7180463e-06];
/// `(cos r - 1 + r^2 / 2) / r^4` in `r^2`, for `|r| <= pi / 4`.
const COS: [f32; 3] = [0.041666646, -0.001388731, 2.4432413e-05];
/// The upper 33 bits of `pi / 2`, so few that a multiple below [`LARGE`] is exact in `f64`.
const PIO2_HIGH: f64 = 1.570_796_326_734_125_6;
/// `pi / 2 - PIO2_HIGH`.
const PIO2_LOW: f64 = 6.077_100_506_506_192e-11;
/// Arguments from here on are reduced one by one: the quotient would not fit the bits left over.
const LARGE: f32 = 1_048_576.0;

/// `x = n pi/2 + r` as `(n, r)` with `|r| <= pi / 4`, computed in `f64`: near a multiple of `pi / 2` nearly all bits cancel.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F) -> (S::I, S::F) {
    let one = |x: S::D| {
        let n = s.dround(s.dmul(x, s.dsplat(std::f64::consts::FRAC_2_PI)));
        let r = s.dfma(n, s.dsplat(-PIO2_HIGH), x);
        (n, s.dfma(n, s.dsplat(-PIO2_LOW), r))
    };
    let (low, high) = s.widen(x);
    let ((n0, r0), (n1, r1)) = (one(low), one(high));
    (s.to_int(s.narrow(n0, n1)), s.narrow(r0, r1))
}

/// The sine of `x + quarter * pi / 2`, for `|x|` below [`LARGE`].
#[inline(always)]
fn sine<S: Simd>(s: S, x: S::F, quarter: i32) -> S::F {
    let (n, r) = reduce(s, x);
    let n = s.iadd(n, s.isplat(quarter));
    let square = s.mul(r, r);
    let sin = s.fma(s.mul(r, square), poly(s, square, SIN), r);
    let cos = s.fma(s.mul(square, square), poly(s, square, COS), s.fnma(s.splat(0.5), square, s.splat(1.0)));
    let odd = s.ieq(s.iand(n, s.isplat(1)), s.isplat(1));
    let sign = s.shl(s.iand(n, s.isplat(2)), 30);
    s.with_bits(s.ixor(s.bits(s.select(odd, cos, sin)), sign))
}

/// `small` where `|x|` is below [`LARGE`], else `exact` of each lane.
#[inline(always)]
fn with_large<S: Simd>(s: S, x: S::F, small: S::F, exact: fn(f64) -> f64) -> S::F {
    if !s.any(s.mask_not(s.lt(s.abs(x), s.splat(LARGE)))) {
        return small;
    }
    let (mut lanes, mut result) = ([0.0f32; MAX_LANES], [0.0f32; MAX_LANES]);
    // SAFETY: the arrays hold `LANES` values or more.
    unsafe {
        s.store(lanes.as_mut_ptr(), x);
        s.store(result.as_mut_ptr(), small);
    }
    one_by_one(&lanes, &mut result, exact);
    // SAFETY: the array holds `LANES` values or more.
    unsafe { s.load(result.as_ptr()) }
}

/// Replaces the results of large arguments. Never inlined: it is rare, and its code would crowd the loop.
#[inline(never)]
#[cold]
fn one_by_one(x: &[f32; MAX_LANES], result: &mut [f32; MAX_LANES], exact: fn(f64) -> f64) {
    for (x, y) in x.iter().zip(result) {
        if x.abs() >= LARGE || x.is_nan() {
            *y = exact(f64::from(*x)) as f32;
        }
    }
}

/// `sin x`.
#[derive(Clone, Copy, Debug)]
pub struct Sin;

impl VecFn for Sin {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let y = sine(s, x, 0);
        // Zero keeps its sign.
        let y = s.select(s.eq(x, s.zero()), x, y);
        with_large(s, x, y, f64::sin)
    }
}

/// `cos x`.
#[derive(Clone, Copy, Debug)]
pub struct Cos;

impl VecFn for Cos {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        with_large(s, x, sine(s, x, 1), f64::cos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Check;

    #[test]
    fn sine_and_cosine_are_accurate() {
        Check::new(Sin, f64::sin).ulp(4.0).run();
        Check::new(Cos, f64::cos).ulp(4.0).run();
    }

    #[test]
    #[ignore = "every f32: minutes"]
    fn exhaustive() {
        Check::new(Sin, f64::sin).ulp(4.0).run_all();
        Check::new(Cos, f64::cos).ulp(4.0).run_all();
    }
}
