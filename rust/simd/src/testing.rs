//! How the tests of this crate compare vector functions with a reference in `f64`.

use crate::map::Map;
use crate::{VecFn, dispatch_on, isa};

/// A function, its reference, and how far they may differ.
pub(crate) struct Check<F> {
    f: F,
    reference: fn(f64) -> f64,
    ulp: f64,
    absolute: f64,
}

/// A prime, so that a walk over all bit patterns by this stride meets every exponent and many mantissas.
const STRIDE: u32 = 4099;
const BLOCK: usize = 1 << 12;

impl<F: VecFn> Check<F> {
    pub(crate) fn new(f: F, reference: fn(f64) -> f64) -> Self {
        Self { f, reference, ulp: 0.5, absolute: 0.0 }
    }

    /// Allows errors up to so many units in the last place of the exact result.
    pub(crate) fn ulp(self, ulp: f64) -> Self {
        Self { ulp, ..self }
    }

    /// Allows errors up to this, too.
    pub(crate) fn absolute(self, absolute: f64) -> Self {
        Self { absolute, ..self }
    }

    /// Compares on special values and on a walk over the bit patterns.
    pub(crate) fn run(&self) {
        self.compare(&special());
        self.walk(STRIDE);
    }

    /// Compares on every `f32`.
    pub(crate) fn run_all(&self) {
        self.walk(1);
    }

    fn walk(&self, stride: u32) {
        let mut block = Vec::with_capacity(BLOCK);
        let mut bits = 0u32;
        loop {
            block.push(f32::from_bits(bits));
            let (next, wrapped) = bits.overflowing_add(stride);
            if block.len() == BLOCK || wrapped {
                self.compare(&block);
                block.clear();
            }
            if wrapped {
                return;
            }
            bits = next;
        }
    }

    fn compare(&self, x: &[f32]) {
        let mut y = vec![0.0f32; x.len()];
        let want: Vec<f64> = x.iter().map(|&x| (self.reference)(f64::from(x))).collect();
        for isa in isa::available() {
            dispatch_on(isa, Map { f: self.f, src: x.as_ptr(), dst: y.as_mut_ptr(), len: x.len() });
            for ((&x, &y), &want) in x.iter().zip(&y).zip(&want) {
                assert!(self.close(y, want), "{isa:?}: f({x:e}) = {y:e}, not {want:e} ({} ULP off)", ulps(y, want));
            }
        }
    }

    fn close(&self, y: f32, want: f64) -> bool {
        let rounded = want as f32;
        if rounded.is_nan() || y.is_nan() {
            return rounded.is_nan() && y.is_nan();
        }
        if rounded == 0.0 && y == 0.0 {
            return want != 0.0 || self.absolute > 0.0 || rounded.is_sign_negative() == y.is_sign_negative();
        }
        y == rounded || (f64::from(y) - want).abs() <= self.absolute || ulps(y, want) <= self.ulp
    }
}

/// The distance in units of the last place of `want`, counting infinity as the number after the greatest.
fn ulps(y: f32, want: f64) -> f64 {
    let exponent = (((want.abs().to_bits() >> 52) as i32) - 1023).clamp(-126, 127);
    let ulp = 2f64.powi(exponent - 23);
    let beyond = 2f64.powi(128);
    let cut = |x: f64| x.clamp(-beyond, beyond);
    (cut(f64::from(y)) - cut(want)).abs() / ulp
}

fn special() -> Vec<f32> {
    let mut v =
        vec![0.0, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x007f_ffff), f32::MAX, f32::INFINITY, 1.0, 0.5, 0.625, 0.9, 4.0];
    v.extend([88.0, 88.722_83, 88.722_84, 89.0, 103.97, 104.0, 1e-8, 1.5, 2.5, 8_388_607.5, 1_048_576.0]);
    v.extend([std::f32::consts::PI, std::f32::consts::FRAC_PI_2]);
    let negative: Vec<f32> = v.iter().map(|x| -x).collect();
    v.extend(negative);
    v.push(f32::NAN);
    v
}

/// The logistic function without overflow.
pub(crate) fn f64_sigmoid(x: f64) -> f64 {
    let z = (-x.abs()).exp();
    if x < 0.0 { z / (1.0 + z) } else { 1.0 / (1.0 + z) }
}

/// The error function to about `1e-15`: a power series near zero, a continued fraction for the complement elsewhere.
pub(crate) fn f64_erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let a = x.abs();
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-17 * sum.abs() && n < 100.0 {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    if a > 6.0 {
        return 1f64.copysign(x);
    }
    let mut fraction = a;
    for k in (1..=60).rev() {
        fraction = a + f64::from(k) / 2.0 / fraction;
    }
    let complement = (-a * a).exp() / (fraction * std::f64::consts::PI.sqrt());
    (1.0 - complement).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_of_erf() {
        assert!((f64_erf(0.5) - 0.520_499_877_813_046_5).abs() < 1e-15);
        assert!((f64_erf(-2.0) + 0.995_322_265_018_952_7).abs() < 1e-14);
        assert!((f64_erf(3.0) - 0.999_977_909_503_001_4).abs() < 1e-15);
    }
}
