//! Reductions of a slice to one number, in an order that depends on the length only.

use base::threads::Pace;

use crate::pieces::in_pieces;
use crate::vector::{Kernel, Simd, dispatch};

/// Vectors that a reduction keeps at once: enough to hide the latency of an addition.
const WAYS: usize = 4;
/// Values summed in `f32` before the partial sum goes on in `f64`.
const BLOCK: usize = 4096;

/// The sum; partial sums of blocks are added in `f64`.
pub fn sum(x: &[f32]) -> f32 {
    blocks(x, |x| dispatch(Sum(x)))
}

/// The sum of the squares; partial sums of blocks are added in `f64`.
pub fn sum_of_squares(x: &[f32]) -> f32 {
    blocks(x, |b| dispatch(Dot { a: b, b }))
}

/// The sum of `(x - mean)^2`; partial sums of blocks are added in `f64`.
pub fn sum_of_squared_deviations(x: &[f32], mean: f32) -> f32 {
    blocks(x, |x| dispatch(Deviations { x, mean }))
}

/// The sum of the products; partial sums of blocks are added in `f64`.
///
/// # Panics
/// If the lengths differ.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len(), "both sides of a dot product differ in length");
    let mut others = b.chunks(BLOCK);
    blocks(a, |a| dispatch(Dot { a, b: others.next().unwrap_or_default() }))
}

/// The greatest value: NaN if any is, minus infinity of nothing.
pub fn max(x: &[f32]) -> f32 {
    let mut greatest = f32::NEG_INFINITY;
    in_pieces(x.len(), |at, n| {
        let value = dispatch(Extreme::<true>(&x[at..at + n]));
        greatest = if greatest.is_nan() || greatest > value { greatest } else { value };
    });
    greatest
}

/// The least value: NaN if any is, infinity of nothing.
pub fn min(x: &[f32]) -> f32 {
    let mut least = f32::INFINITY;
    in_pieces(x.len(), |at, n| {
        let value = dispatch(Extreme::<false>(&x[at..at + n]));
        least = if least.is_nan() || least < value { least } else { value };
    });
    least
}

/// The sum in `f64` of what `f` says of each block.
fn blocks(x: &[f32], mut f: impl FnMut(&[f32]) -> f32) -> f32 {
    let pace = Pace::default();
    let block = |x: &[f32]| {
        pace.spend(BLOCK);
        f64::from(f(x))
    };
    x.chunks(BLOCK).map(block).sum::<f64>() as f32
}

/// Folds `len` values: `step(acc, i, n)` takes `n` values from `i` on into one of [`WAYS`] accumulators, which are then joined in order.
#[inline(always)]
pub(crate) fn fold_ways<S: Simd>(
    _: S,
    len: usize,
    start: S::F,
    step: impl Fn(S::F, usize, Option<usize>) -> S::F,
    join: impl Fn(S::F, S::F) -> S::F,
) -> S::F {
    let mut acc = [start; WAYS];
    let mut i = 0;
    while i + WAYS * S::LANES <= len {
        for (w, acc) in acc.iter_mut().enumerate() {
            *acc = step(*acc, i + w * S::LANES, None);
        }
        i += WAYS * S::LANES;
    }
    while i + S::LANES <= len {
        acc[0] = step(acc[0], i, None);
        i += S::LANES;
    }
    if i < len {
        acc[1] = step(acc[1], i, Some(len - i));
    }
    join(join(acc[0], acc[1]), join(acc[2], acc[3]))
}

/// Loads a whole vector of `x` from `i` on, or the `n` values left.
///
/// # Safety
/// `x` holds that many values from `i` on.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(s: S, x: &[f32], i: usize, n: Option<usize>) -> S::F {
    // SAFETY: the caller keeps `i` within the slice.
    unsafe {
        match n {
            None => s.load(x.as_ptr().add(i)),
            Some(n) => s.load_partial(x.as_ptr().add(i), n),
        }
    }
}

struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let x = self.0;
        // SAFETY: the fold stays within the length.
        let step = |acc, i, n| s.add(acc, unsafe { load(s, x, i, n) });
        s.reduce_add(fold_ways(s, x.len(), s.zero(), step, |a, b| s.add(a, b)))
    }
}

struct Dot<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl Kernel for Dot<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { a, b } = self;
        let len = a.len().min(b.len());
        // SAFETY: the fold stays within the shorter length.
        let step = |acc, i, n| unsafe { s.fma(load(s, a, i, n), load(s, b, i, n), acc) };
        s.reduce_add(fold_ways(s, len, s.zero(), step, |a, b| s.add(a, b)))
    }
}

struct Deviations<'a> {
    x: &'a [f32],
    mean: f32,
}

impl Kernel for Deviations<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { x, mean } = self;
        let mean = s.splat(mean);
        let whole = x.len() - x.len() % S::LANES;
        let step = |acc, i, n| {
            // SAFETY: the fold stays within the length.
            let d = s.sub(unsafe { load(s, x, i, n) }, mean);
            s.fma(d, d, acc)
        };
        let acc = fold_ways(s, whole, s.zero(), step, |a, b| s.add(a, b));
        let tail: f32 = x[whole..].iter().map(|&v| (v - self.mean) * (v - self.mean)).sum();
        s.reduce_add(acc) + tail
    }
}

struct Extreme<'a, const MAX: bool>(&'a [f32]);

impl<const MAX: bool> Kernel for Extreme<'_, MAX> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let x = self.0;
        let pick = |a, b| if MAX { s.max_nan(a, b) } else { s.min_nan(a, b) };
        let start = if MAX { f32::NEG_INFINITY } else { f32::INFINITY };
        let whole = x.len() - x.len() % S::LANES;
        // SAFETY: the fold stays within the length.
        let step = |acc, i, n| pick(acc, unsafe { load(s, x, i, n) });
        let acc = fold_ways(s, whole, s.splat(start), step, pick);
        let start = if MAX { s.reduce_max(acc) } else { s.reduce_min(acc) };
        let better = |a: f32, b: f32| if MAX { b > a } else { b < a };
        x[whole..].iter().fold(start, |a, &b| if !a.is_nan() && (better(a, b) || b.is_nan()) { b } else { a })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dispatch_on, isa};

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + 11) % 101) as f32 - 50.0).collect()
    }

    #[test]
    fn small_integers_are_exact_at_every_length() {
        for len in (0..200).chain([4095, 4096, 4097, 9000]) {
            let x = values(len);
            let y: Vec<f32> = x.iter().rev().copied().collect();
            assert_eq!(sum(&x), x.iter().sum::<f32>(), "{len}");
            assert_eq!(dot(&x, &y), x.iter().zip(&y).map(|(a, b)| a * b).sum::<f32>(), "{len}");
            assert_eq!(sum_of_squares(&x), x.iter().map(|a| a * a).sum::<f32>(), "{len}");
            assert_eq!(sum_of_squared_deviations(&x, 2.0), x.iter().map(|a| (a - 2.0) * (a - 2.0)).sum::<f32>(), "{len}");
            assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max), "{len}");
            assert_eq!(min(&x), x.iter().copied().fold(f32::INFINITY, f32::min), "{len}");
        }
    }

    #[test]
    fn nan_is_found_wherever_it_is() {
        for isa in isa::available() {
            for at in 0..83 {
                let mut x = values(83);
                x[at] = f32::NAN;
                assert!(dispatch_on(isa, Extreme::<true>(&x)).is_nan(), "{isa:?} {at}");
                assert!(dispatch_on(isa, Extreme::<false>(&x)).is_nan(), "{isa:?} {at}");
                assert!(dispatch_on(isa, Sum(&x)).is_nan());
            }
        }
    }

    #[test]
    fn long_sums_keep_their_precision() {
        let x = vec![0.1f32; 10_000_000];
        assert!((f64::from(sum(&x)) - 1e7 * f64::from(0.1f32)).abs() < 1.0);
    }

    #[test]
    fn infinities_cancel_to_nan() {
        assert!(sum(&[f32::INFINITY, f32::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f32::INFINITY, 1.0]), f32::INFINITY);
        assert_eq!(max(&[]), f32::NEG_INFINITY);
        assert_eq!(min(&[]), f32::INFINITY);
    }
}
