//! The two types that floating-point kernels compute in, and what they do to whole rows.

use base::Element;
use base::threads::pieces;
use num_traits::Float;

/// `f32` or `f64`: what elements are widened to before arithmetic, and what is rounded once at the end.
pub(crate) trait Real: Element + Float + std::iter::Sum + std::ops::AddAssign + std::ops::MulAssign + std::ops::SubAssign {
    /// The value rounded to this type.
    fn of(x: f64) -> Self;
    /// The value as `f64`.
    fn f64(self) -> f64;
    /// The sum, in an order that depends on the length only.
    fn sum_of(x: &[Self]) -> Self;
    /// The sum of the squares.
    fn sum_of_squares(x: &[Self]) -> Self;
    /// The sum of the absolute values.
    fn sum_of_sizes(x: &[Self]) -> Self {
        x.iter().map(|v| v.abs()).sum()
    }
    /// The greatest value; NaN if any is.
    fn greatest(x: &[Self]) -> Self;
    /// Mean and biased variance.
    fn mean_variance(x: &[Self]) -> (Self, Self);
    /// `dst = e^(src - max) / sum`.
    fn softmax(src: &[Self], dst: &mut [Self]);
    /// The same in place.
    fn softmax_in_place(x: &mut [Self]);
    /// `dst = src - max - ln sum`.
    fn log_softmax(src: &[Self], dst: &mut [Self]);
    /// `dst = (src - mean) * factor * gamma + beta`.
    fn normalize(src: &[Self], dst: &mut [Self], mean: Self, factor: Self, gamma: Option<&[Self]>, beta: Option<&[Self]>);
    /// `dst = src * scale + shift`.
    fn affine(src: &[Self], dst: &mut [Self], scale: Self, shift: Self);
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }

    fn f64(self) -> f64 {
        self.into()
    }

    fn sum_of(x: &[Self]) -> Self {
        simd::reduce::sum(x)
    }

    fn sum_of_squares(x: &[Self]) -> Self {
        simd::reduce::sum_of_squares(x)
    }

    fn greatest(x: &[Self]) -> Self {
        simd::reduce::max(x)
    }

    fn mean_variance(x: &[Self]) -> (Self, Self) {
        simd::rows::mean_variance(x)
    }

    fn softmax(src: &[Self], dst: &mut [Self]) {
        simd::rows::softmax(src, dst);
    }

    fn softmax_in_place(x: &mut [Self]) {
        simd::rows::softmax_in_place(x);
    }

    fn log_softmax(src: &[Self], dst: &mut [Self]) {
        simd::rows::log_softmax(src, dst);
    }

    fn normalize(src: &[Self], dst: &mut [Self], mean: Self, factor: Self, gamma: Option<&[Self]>, beta: Option<&[Self]>) {
        simd::rows::normalize(src, dst, mean, factor, gamma, beta);
    }

    fn affine(src: &[Self], dst: &mut [Self], scale: Self, shift: Self) {
        simd::map(simd::math::Affine { scale, shift }, src, dst);
    }
}

/// Elements between checkpoints.
const PIECE: usize = 1 << 14;

/// The sum of `f` over all elements, in their order.
fn summed(x: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    pieces(x.len(), PIECE).fold(0.0, |sum, piece| x[piece].iter().fold(sum, |sum, v| sum + f(*v)))
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn f64(self) -> f64 {
        self
    }

    fn sum_of(x: &[Self]) -> Self {
        summed(x, |v| v)
    }

    fn sum_of_squares(x: &[Self]) -> Self {
        summed(x, |v| v * v)
    }

    fn greatest(x: &[Self]) -> Self {
        let greater = |a: f64, b: &f64| if a.is_nan() || a > *b { a } else { *b };
        pieces(x.len(), PIECE).fold(f64::NEG_INFINITY, |a, piece| x[piece].iter().fold(a, greater))
    }

    fn mean_variance(x: &[Self]) -> (Self, Self) {
        let n = x.len() as f64;
        let mean = summed(x, |v| v) / n;
        (mean, summed(x, |v| (v - mean) * (v - mean)) / n)
    }

    fn softmax(src: &[Self], dst: &mut [Self]) {
        pieces(src.len(), PIECE).for_each(|piece| dst[piece.clone()].copy_from_slice(&src[piece]));
        Self::softmax_in_place(dst);
    }

    fn softmax_in_place(x: &mut [Self]) {
        let max = Self::greatest(x);
        pieces(x.len(), PIECE).for_each(|piece| x[piece].iter_mut().for_each(|v| *v = (*v - max).exp()));
        let total = summed(x, |v| v);
        pieces(x.len(), PIECE).for_each(|piece| x[piece].iter_mut().for_each(|v| *v /= total));
    }

    fn log_softmax(src: &[Self], dst: &mut [Self]) {
        let max = Self::greatest(src);
        let log = summed(src, |v| (v - max).exp()).ln();
        for piece in pieces(src.len(), PIECE) {
            dst[piece.clone()].iter_mut().zip(&src[piece]).for_each(|(y, x)| *y = x - max - log);
        }
    }

    fn normalize(src: &[Self], dst: &mut [Self], mean: Self, factor: Self, gamma: Option<&[Self]>, beta: Option<&[Self]>) {
        for i in pieces(dst.len(), PIECE).flatten() {
            dst[i] = (src[i] - mean) * factor * gamma.map_or(1.0, |g| g[i]) + beta.map_or(0.0, |b| b[i]);
        }
    }

    fn affine(src: &[Self], dst: &mut [Self], scale: Self, shift: Self) {
        for piece in pieces(src.len(), PIECE) {
            dst[piece.clone()].iter_mut().zip(&src[piece]).for_each(|(y, x)| *y = x * scale + shift);
        }
    }
}
