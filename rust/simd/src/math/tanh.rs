//! The hyperbolic tangent.

use super::{exp, poly};
use crate::{Simd, VecFn};

/// `(tanh x - x) / x^3` in `x^2`, for `|x| <= 0.625`.
const SMALL: [f32; 6] = [-0.3333333, 0.13333206, -0.053946737, 0.021700561, -0.008177036, 0.0021426212];

/// `tanh x`.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl VecFn for Tanh {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        let (one, two) = (s.splat(1.0), s.splat(2.0));
        let a = s.abs(x);
        let square = s.mul(x, x);
        let small = s.fma(s.mul(a, square), poly(s, square, SMALL), a);
        let e = exp::exp(s, s.add(a, a));
        let large = s.sub(one, s.div(two, s.add(e, one)));
        s.copysign(s.select(s.lt(a, s.splat(0.625)), small, large), x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Check;

    #[test]
    fn tanh_is_accurate() {
        Check::new(Tanh, f64::tanh).ulp(4.0).run();
    }

    #[test]
    #[ignore = "every f32: minutes"]
    fn exhaustive() {
        Check::new(Tanh, f64::tanh).ulp(4.0).run_all();
    }
}
