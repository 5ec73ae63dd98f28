//! What softmax and the normalizations do to one row.

use crate::map::{VecFn, map, map_in_place};
use crate::math::{Affine, Log};
use crate::pieces::in_pieces;
use crate::reduce::{self, load};
use crate::vector::{Kernel, Simd, dispatch};

/// `dst = e^(src - max src) / sum`. A row with NaN, with plus infinity or of minus infinities alone is all NaN, as the formula says.
///
/// # Panics
/// If the lengths differ.
pub fn softmax(src: &[f32], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a softmax differ in length");
    let total = exp_sub_sum(src, dst, reduce::max(src));
    scale(dst, 1.0 / total);
}

/// [`softmax`] in place.
pub fn softmax_in_place(x: &mut [f32]) {
    let total = exp_sub_sum_in_place(x, reduce::max(x));
    scale(x, 1.0 / total);
}

/// `dst = src - max src - ln sum e^(src - max src)`.
///
/// # Panics
/// If the lengths differ.
pub fn log_softmax(src: &[f32], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a softmax differ in length");
    let max = reduce::max(src);
    let mut log = [exp_sub_sum(src, dst, max)];
    map_in_place(Log, &mut log);
    map(SubBoth { first: max, second: log[0] }, src, dst);
}

/// `dst = e^(src - shift)`; gives the sum of it.
///
/// # Panics
/// If the lengths differ.
pub fn exp_sub_sum(src: &[f32], dst: &mut [f32], shift: f32) -> f32 {
    assert_eq!(src.len(), dst.len(), "source and destination differ in length");
    exp_sub_sum_pieces(src.as_ptr(), dst.as_mut_ptr(), dst.len(), shift)
}

/// [`exp_sub_sum`] in place.
pub fn exp_sub_sum_in_place(x: &mut [f32], shift: f32) -> f32 {
    let dst = x.as_mut_ptr();
    exp_sub_sum_pieces(dst, dst, x.len(), shift)
}

/// The pointers are those of [`ExpSubSum`]; the sums of pieces are added in `f64`.
fn exp_sub_sum_pieces(src: *const f32, dst: *mut f32, len: usize, shift: f32) -> f32 {
    let mut total = 0.0;
    in_pieces(len, |at, len| {
        total += f64::from(dispatch(ExpSubSum { src: src.wrapping_add(at), dst: dst.wrapping_add(at), len, shift }));
    });
    total as f32
}

/// `x = factor x`.
pub fn scale(x: &mut [f32], factor: f32) {
    map_in_place(Scale(factor), x);
}

/// The mean and the (biased) variance, in two passes. Of nothing: NaN.
pub fn mean_variance(x: &[f32]) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = reduce::sum(x) / n;
    (mean, reduce::sum_of_squared_deviations(x, mean) / n)
}

/// `dst = (src - mean) * factor * gamma + beta`; without `gamma` or `beta`, 1 and 0 stand for them.
///
/// # Panics
/// If the lengths differ.
pub fn normalize(src: &[f32], dst: &mut [f32], mean: f32, factor: f32, gamma: Option<&[f32]>, beta: Option<&[f32]>) {
    let len = dst.len();
    assert_eq!(src.len(), len, "source and destination of a normalization differ in length");
    assert!(gamma.is_none_or(|g| g.len() == len), "scale and row of a normalization differ in length");
    assert!(beta.is_none_or(|b| b.len() == len), "bias and row of a normalization differ in length");
    match (gamma, beta) {
        (None, None) => map(Affine { scale: factor, shift: -mean * factor }, src, dst),
        _ => in_pieces(len, |at, n| {
            let (src, dst) = (&src[at..at + n], &mut dst[at..at + n]);
            let (gamma, beta) = (gamma.map(|g| &g[at..at + n]), beta.map(|b| &b[at..at + n]));
            dispatch(Normalize { src, dst, mean, factor, gamma, beta });
        }),
    }
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl VecFn for Scale {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.mul(x, s.splat(self.0))
    }
}

#[derive(Clone, Copy)]
struct SubBoth {
    first: f32,
    second: f32,
}

impl VecFn for SubBoth {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F) -> S::F {
        s.sub(s.sub(x, s.splat(self.first)), s.splat(self.second))
    }
}

/// The pointers come from slices of `len` values, equal or apart.
struct ExpSubSum {
    src: *const f32,
    dst: *mut f32,
    len: usize,
    shift: f32,
}

impl ExpSubSum {
    /// Writes `e^(src - shift)` for a whole vector from `i` on, or for the `n` values left; gives it, zero past the end.
    ///
    /// It is a method, not a closure, so that it is compiled with the instructions of whoever calls it.
    ///
    /// # Safety
    /// Both sides hold that many values from `i` on.
    #[inline(always)]
    unsafe fn step<S: Simd>(&self, s: S, i: usize, n: Option<usize>, shift: S::F) -> S::F {
        // SAFETY: the caller keeps `i` within both sides.
        unsafe {
            let Some(n) = n else {
                let e = crate::math::Exp.eval(s, s.sub(s.load(self.src.add(i)), shift));
                s.store(self.dst.add(i), e);
                return e;
            };
            let e = crate::math::Exp.eval(s, s.sub(s.load_partial(self.src.add(i), n), shift));
            s.store_partial(self.dst.add(i), n, e);
            s.load_partial(self.dst.add(i), n)
        }
    }
}

impl Kernel for ExpSubSum {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let shift = s.splat(self.shift);
        let (mut even, mut odd) = (s.zero(), s.zero());
        let mut i = 0;
        // SAFETY: every step stays within the length of both sides.
        unsafe {
            while i + 2 * S::LANES <= self.len {
                even = s.add(even, self.step(s, i, None, shift));
                odd = s.add(odd, self.step(s, i + S::LANES, None, shift));
                i += 2 * S::LANES;
            }
            while i < self.len {
                let n = S::LANES.min(self.len - i);
                even = s.add(even, self.step(s, i, Some(n), shift));
                i += n;
            }
        }
        s.reduce_add(s.add(even, odd))
    }
}

struct Normalize<'a> {
    src: &'a [f32],
    dst: &'a mut [f32],
    mean: f32,
    factor: f32,
    gamma: Option<&'a [f32]>,
    beta: Option<&'a [f32]>,
}

impl Kernel for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mean, factor) = (s.splat(self.mean), s.splat(self.factor));
        let mut i = 0;
        while i < self.dst.len() {
            let rest = self.dst.len() - i;
            let n = (rest < S::LANES).then_some(rest);
            // SAFETY: all slices have the length of `dst`, and `n` keeps the last access within it.
            unsafe {
                let mut y = s.mul(s.sub(load(s, self.src, i, n), mean), factor);
                if let Some(gamma) = self.gamma {
                    y = s.mul(y, load(s, gamma, i, n));
                }
                if let Some(beta) = self.beta {
                    y = s.add(y, load(s, beta, i, n));
                }
                match n {
                    None => s.store(self.dst.as_mut_ptr().add(i), y),
                    Some(n) => s.store_partial(self.dst.as_mut_ptr().add(i), n, y),
                }
            }
            i += S::LANES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 5) % 23) as f32 * 0.37 - 3.0).collect()
    }

    #[test]
    fn softmax_is_the_formula() {
        for len in [1, 2, 7, 8, 15, 16, 17, 33, 100, 1001] {
            let x = row(len);
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let e: Vec<f64> = x.iter().map(|&v| f64::from(v - max).exp()).collect();
            let total: f64 = e.iter().sum();
            let (mut y, mut z, mut l) = (vec![0.0; len], x.clone(), vec![0.0; len]);
            softmax(&x, &mut y);
            softmax_in_place(&mut z);
            log_softmax(&x, &mut l);
            for i in 0..len {
                assert!((f64::from(y[i]) - e[i] / total).abs() < 1e-6, "{len} {i}");
                assert_eq!(y[i], z[i]);
                assert!((f64::from(l[i]) - (e[i] / total).ln()).abs() < 2e-6, "{len} {i}");
            }
        }
        softmax(&[], &mut []);
    }

    #[test]
    fn softmax_of_masked_rows() {
        let mut x = [f32::NEG_INFINITY, 1.0, f32::NEG_INFINITY];
        softmax_in_place(&mut x);
        assert_eq!(x, [0.0, 1.0, 0.0]);
        let mut x = [f32::NEG_INFINITY; 20];
        softmax_in_place(&mut x);
        assert!(x.iter().all(|v| v.is_nan()));
        let mut x = [1e30f32, -1e30, 0.0];
        softmax_in_place(&mut x);
        assert_eq!(x, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn normalization_is_the_formula() {
        for len in [1, 3, 8, 16, 19, 64, 100] {
            let x = row(len);
            let (mean, variance) = mean_variance(&x);
            let want = x.iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
            assert!((f64::from(mean) - want).abs() < 1e-6);
            let spread = x.iter().map(|&v| (f64::from(v) - want).powi(2)).sum::<f64>() / len as f64;
            assert!((f64::from(variance) - spread).abs() < 1e-5);
            let (gamma, beta) = (row(len), vec![0.5; len]);
            let mut y = vec![0.0; len];
            normalize(&x, &mut y, mean, 2.0, Some(&gamma), Some(&beta));
            assert!((0..len).all(|i| (y[i] - ((x[i] - mean) * 2.0 * gamma[i] + 0.5)).abs() < 1e-5));
            normalize(&x, &mut y, mean, 2.0, None, None);
            assert!((0..len).all(|i| (y[i] - (x[i] - mean) * 2.0).abs() < 1e-5));
        }
    }
}
