//! What happens to scores at the end.

use base::{Result, bail};
use num_traits::{Float, FloatConst};
use op::Attrs;

/// A number that scores are computed in.
pub(crate) trait Score: Float + FloatConst + std::ops::AddAssign + Send + Sync {}

impl<T: Float + FloatConst + std::ops::AddAssign + Send + Sync> Score for T {}

/// The function that scores go through at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PostTransform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

/// How the one score of a classifier of two classes becomes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    /// It stays alone.
    Absent,
    /// The score is a probability.
    Complement,
    /// The score is a decision: its sign tells the class.
    Opposite,
}

const NAMES: [&str; 5] = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"];

impl PostTransform {
    /// Reads the attribute `post_transform` as a name.
    pub(crate) fn load(a: &Attrs<'_>) -> Result<Self> {
        Self::from_number(a.choice("post_transform", &NAMES, "NONE")? as i64)
    }

    /// The transform of a number, as TreeEnsemble counts them.
    ///
    /// # Errors
    /// `InvalidGraph` when there is none.
    pub(crate) fn from_number(number: i64) -> Result<Self> {
        Ok(match number {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => bail!(InvalidGraph, "attribute 'post_transform' is {other}"),
        })
    }

    /// Transforms the scores of one row. A score that is alone is transformed by PROBIT only, as ONNX Runtime has it.
    pub(crate) fn apply<T: Score>(self, row: &mut [T]) {
        match (self, row.len()) {
            (Self::Probit, _) => row.iter_mut().for_each(|x| *x = probit(*x)),
            (Self::None, _) | (_, 0 | 1) => {}
            (Self::Logistic, _) => row.iter_mut().for_each(|x| *x = logistic(*x)),
            (Self::Softmax, _) => softmax(row, |_| true),
            // A score of zero says that the class was not met, and stays zero.
            (Self::SoftmaxZero, _) => softmax(row, |x| x.abs() > T::from(1e-7).unwrap_or_else(T::zero)),
        }
    }

    /// Makes two scores of the first of `row`.
    pub(crate) fn spread<T: Score>(self, second: Second, row: &mut [T; 2]) {
        let score = row[0];
        *row = match (self, second) {
            (Self::Probit, _) => [probit(score), T::zero()],
            (_, Second::Absent) => [score, T::zero()],
            (_, Second::Complement) => [T::one() - score, score],
            (Self::Logistic, Second::Opposite) => [logistic(-score), logistic(score)],
            (_, Second::Opposite) => [-score, score],
        };
    }
}

/// `1 / (1 + e^-x)`, without overflow.
pub(crate) fn logistic<T: Score>(x: T) -> T {
    let v = T::one() / (T::one() + (-x.abs()).exp());
    if x < T::zero() { T::one() - v } else { v }
}

/// The quantile function of the normal distribution, by Winitzki's approximation of the inverse error function (which ONNX Runtime uses
/// too; it is good to two parts in a thousand).
fn probit<T: Score>(x: T) -> T {
    let number = |x: f64| T::from(x).unwrap_or_else(T::nan);
    let y = number(2.0) * x - T::one();
    let log = ((T::one() - y) * (T::one() + y)).ln();
    let half = number(2.0 / (std::f64::consts::PI * 0.147)) + log / number(2.0);
    let root = ((half * half - log / number(0.147)).sqrt() - half).sqrt();
    T::SQRT_2() * if y < T::zero() { -root } else { root }
}

/// Softmax over the scores that `counts`; the others are scaled alike.
fn softmax<T: Score>(row: &mut [T], counts: impl Fn(T) -> bool) {
    let max = row.iter().fold(T::min_value(), |a, &b| if b > a { b } else { a });
    let rest = (-max).exp();
    let mut sum = T::zero();
    for x in row.iter_mut() {
        if counts(*x) {
            *x = (*x - max).exp();
            sum += *x;
        } else {
            *x = *x * rest;
        }
    }
    row.iter_mut().for_each(|x| *x = *x / sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: &[f32], b: &[f32]) {
        assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    }

    #[test]
    fn rows_are_transformed() {
        let check = |t: PostTransform, want: &[f32]| {
            let mut row = [0.5f32, 0.0, -1.0];
            t.apply(&mut row);
            close(&row, want);
        };
        check(PostTransform::None, &[0.5, 0.0, -1.0]);
        check(PostTransform::Logistic, &[0.62246, 0.5, 0.26894]);
        check(PostTransform::Softmax, &[0.54654, 0.3315, 0.12195]);
        check(PostTransform::SoftmaxZero, &[0.81757, 0.0, 0.18242]);
        let mut row = [0.3f32, 0.7];
        PostTransform::Probit.apply(&mut row);
        close(&row, &[-0.5244, 0.5244]);
    }

    #[test]
    fn one_score_becomes_two() {
        let two = |t: PostTransform, second| {
            let mut row = [0.25f32, 9.0];
            t.spread(second, &mut row);
            row
        };
        close(&two(PostTransform::None, Second::Complement), &[0.75, 0.25]);
        close(&two(PostTransform::Softmax, Second::Opposite), &[-0.25, 0.25]);
        close(&two(PostTransform::Logistic, Second::Opposite), &[0.43782, 0.56218]);
        close(&two(PostTransform::Logistic, Second::Absent), &[0.25, 0.0]);
        let mut alone = [3f32];
        PostTransform::Logistic.apply(&mut alone);
        assert_eq!(alone, [3.0]);
        assert!(PostTransform::from_number(5).is_err());
    }
}
