//! The error function in `f64`, which the standard library lacks.

use std::f64::consts::FRAC_2_SQRT_PI;

/// Up to here the series converges fast; from here on the continued fraction.
const SERIES: f64 = 2.0;

/// `erf x`, to a few units in the last place.
pub(crate) fn erf(x: f64) -> f64 {
    if x.abs() < SERIES { series(x) } else { (1.0 - tail(x.abs())).copysign(x) }
}

/// `1 - erf x`, without cancellation for large `x`.
pub(crate) fn erfc(x: f64) -> f64 {
    if x >= SERIES {
        tail(x)
    } else if x > -SERIES {
        1.0 - series(x)
    } else {
        2.0 - tail(-x)
    }
}

/// `2 / sqrt pi * e^(-x^2) * sum of 2^n x^(2n+1) / (1 * 3 * .. * (2n+1))`: all terms have one sign, so nothing cancels.
fn series(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while (term / sum).abs() > f64::EPSILON / 4.0 {
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// `erfc x` for `x >= 2`: `e^(-x^2) / sqrt pi / (x + 1/2 / (x + 2/2 / (x + 3/2 / ..)))`.
fn tail(x: f64) -> f64 {
    if x > 27.5 {
        return 0.0;
    }
    let terms = 20 + (200.0 / x) as u32;
    let fraction = (1..=terms).rev().fold(x, |below, n| x + f64::from(n) / 2.0 / below);
    // The square is split so that its rounding does not grow in the exponential.
    let high = f64::from_bits(x.to_bits() & !0x7ff_ffff);
    (-high * high).exp() * ((high - x) * (high + x)).exp() * FRAC_2_SQRT_PI / 2.0 / fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let cases = [
            (0.0, 0.0, 1.0),
            (1e-10, 1.1283791670955126e-10, 0.999999999887162),
            (0.5, 0.5204998778130465, 0.4795001221869535),
            (1.0, 0.8427007929497149, 0.15729920705028513),
            (1.99, 0.995111413199617, 0.004888586800383003),
            (2.0, 0.9953222650189527, 0.004677734981047266),
            (3.5, 0.9999992569016276, 7.430983723414128e-07),
            (6.0, 1.0, 2.1519736712498913e-17),
            (25.0, 1.0, 8.300172571196523e-274),
        ];
        for (x, e, c) in cases {
            assert!((erf(x) - e).abs() <= 4.0 * f64::EPSILON * e, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + e).abs() <= 4.0 * f64::EPSILON * e);
            assert!((erfc(x) - c).abs() <= 1e-13 * c, "erfc({x}) = {:e}", erfc(x));
            assert!((erfc(-x) - (1.0 + e)).abs() <= 1e-15);
        }
        assert!(erf(f64::NAN).is_nan() && erfc(f64::NAN).is_nan());
        assert_eq!((erf(f64::INFINITY), erfc(f64::INFINITY), erfc(f64::NEG_INFINITY)), (1.0, 0.0, 2.0));
    }
}
