//! The two types that floating-point kernels compute in, and what they do to whole rows.

use base::Element;
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

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }

    fn f64(self) -> f64 {
        self
    }

    fn sum_of(x: &[Self]) -> Self {
        x.iter().sum()
    }

    fn sum_of_squares(x: &[Self]) -> Self {
        x.iter().map(|v| v * v).sum()
    }

    fn greatest(x: &[Self]) -> Self {
        x.iter().fold(f64::NEG_INFINITY, |a, &b| if a.is_nan() || a > b { a } else { b })
    }

    fn mean_variance(x: &[Self]) -> (Self, Self) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n)
    }

    fn softmax(src: &[Self], dst: &mut [Self]) {
        dst.copy_from_slice(src);
        Self::softmax_in_place(dst);
    }

    fn softmax_in_place(x: &mut [Self]) {
        let max = Self::greatest(x);
        x.iter_mut().for_each(|v| *v = (*v - max).exp());
        let total: f64 = x.iter().sum();
        x.iter_mut().for_each(|v| *v /= total);
    }

    fn log_softmax(src: &[Self], dst: &mut [Self]) {
        let max = Self::greatest(src);
        let log = src.iter().map(|v| (v - max).exp()).sum::<f64>().ln();
        dst.iter_mut().zip(src).for_each(|(y, x)| *y = x - max - log);
    }

    fn normalize(src: &[Self], dst: &mut [Self], mean: Self, factor: Self, gamma: Option<&[Self]>, beta: Option<&[Self]>) {
        for (i, (y, x)) in dst.iter_mut().zip(src).enumerate() {
            *y = (x - mean) * factor * gamma.map_or(1.0, |g| g[i]) + beta.map_or(0.0, |b| b[i]);
        }
    }

    fn affine(src: &[Self], dst: &mut [Self], scale: Self, shift: Self) {
        dst.iter_mut().zip(src).for_each(|(y, x)| *y = x * scale + shift);
    }
}
