//! Poolings: what a window, or a whole channel, is reduced to.

pub mod global;
mod indices;
mod rows;
pub mod unpool;
pub mod window;
mod windows;

use base::{DType, Layout, Result};

use crate::real::Real;

/// What the elements of a window become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reduction {
    /// The greatest; NaN if any is.
    Max,
    /// The sum divided by the number of elements, perhaps with those in the padding.
    Average {
        /// Whether elements in the padding count.
        padding: bool,
    },
    /// The p-norm.
    Norm(f64),
}

impl Reduction {
    /// What a window begins with.
    fn start<A: Real>(self) -> A {
        if self == Self::Max { A::neg_infinity() } else { A::zero() }
    }

    /// The window so far, and one more element.
    #[inline(always)]
    fn fold<A: Real>(self, sum: A, x: A) -> A {
        match self {
            Self::Max => {
                if x > sum || x.is_nan() {
                    x
                } else {
                    sum
                }
            }
            Self::Average { .. } => sum + x,
            Self::Norm(2.0) => sum + x * x,
            Self::Norm(1.0) => sum + x.abs(),
            Self::Norm(p) => sum + x.abs().powf(A::of(p)),
        }
    }

    /// The result of a window of `count` elements.
    #[inline(always)]
    fn finish<A: Real>(self, sum: A, count: usize) -> A {
        match self {
            Self::Max => sum,
            Self::Average { .. } => {
                if count == 0 {
                    A::zero()
                } else {
                    sum / A::of(count as f64)
                }
            }
            Self::Norm(2.0) => sum.sqrt(),
            Self::Norm(1.0) => sum,
            Self::Norm(p) => sum.powf(A::of(1.0 / p)),
        }
    }
}

/// How many channels lie side by side in a tensor of this layout.
///
/// # Errors
/// `NotImplemented` for a blocked layout of another type than `f32`.
fn side_by_side(layout: &Layout, dtype: DType) -> Result<usize> {
    match layout {
        Layout::Blocked(block) if dtype == DType::F32 => Ok((*block).into()),
        Layout::Blocked(_) => base::bail!(NotImplemented, "a pooling of blocked channels of {dtype}"),
        _ => Ok(1),
    }
}

/// The layout of a pooling's output: that of its input.
fn output_layout(input: &Layout, dtype: DType) -> Layout {
    match input {
        Layout::Blocked(block) if dtype == DType::F32 => Layout::Blocked(*block),
        _ => Layout::Dense,
    }
}
