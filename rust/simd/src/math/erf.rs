//! The error function and the Gaussian gate made of it.

use super::{exp, poly};
use crate::{Simd, VecFn};

/// `erf(x) / x - 1` in `x^2`, for `|x| <= 0.9`.
const SMALL: [f32; 7] = [0.12837917, -0.37612635, 0.112837166, -0.026860557, 0.0052039577, -0.00081766024, 8.516737e-05];
/// `ln erfc(x)` for `0.89 <= x <= 4`.
const LN_ERFC: [f32; 8] = [0.00016781915, -1.1294819, -0.6334138, -0.108206466, 0.025071837, -0.0041530067, 0.00043074123, -2.0773754e-05];

/// `erf x`.
#[inline(always)]
fn erf<S: Simd>(s: S, x: S::F) -> S::F {
    let square = s.mul(x, x);
    let small = s.fma(x, poly(s, square, SMALL), x);
    // At 4 the result is 1 to the last bit; NaN passes the minimum as its second operand.
    let a = s.min(s.splat(4.0), s.abs(x));
    let large = s.copysign(s.sub(s.splat(1.0), exp::exp(s, poly(s, a, LN_ERFC))), x);
    s.select(s.lt(a, s.splat(0.9)), small, large)
}

/// `erf x`.
#[derive(Clone, Copy, Debug)]
pub struct Erf;

impl VecFn for Erf {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        erf(s, x)
    }
}

/// `x / 2 (1 + erf(x / sqrt 2))`; 0 at minus infinity. The error is 4 ULP or `1e-6` absolute: the sum cancels in the lower tail.
#[derive(Clone, Copy, Debug)]
pub struct Gelu;

impl VecFn for Gelu {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let half = s.mul(s.splat(0.5), s.max(s.splat(-1e4), x));
        let e = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
        s.fma(half, e, half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Check, f64_erf};

    #[test]
    fn erf_is_accurate() {
        Check::new(Erf, f64_erf).ulp(4.0).run();
    }

    #[test]
    fn gelu_is_accurate() {
        let gelu = |x: f64| if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * (1.0 + f64_erf(x * std::f64::consts::FRAC_1_SQRT_2)) };
        Check::new(Gelu, gelu).ulp(4.0).absolute(1e-6).run();
    }

    #[test]
    #[ignore = "every f32: minutes"]
    fn exhaustive() {
        Check::new(Erf, f64_erf).ulp(4.0).run_all();
    }
}
