//! The order of elements, for sorting.

use std::cmp::Ordering;

use base::Element;
use half::{bf16, f16};
use num_complex::Complex;

/// A total order of the elements of a type: NaN comes last and equals itself, zeros are equal, complex numbers go by real part first.
pub(crate) trait Ordered: Element {
    /// How `self` lies to `other`.
    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! exact {
    ($($t:ty),*) => {
        $(impl Ordered for $t {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
    };
}

exact!(i8, i16, i32, i64, u8, u16, u32, u64, bool);

macro_rules! floats {
    ($($t:ty),*) => {
        $(impl Ordered for $t {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.partial_cmp(other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
            }
        })*
    };
}

floats!(f32, f64, f16, bf16);

macro_rules! complex {
    ($($t:ty),*) => {
        $(impl Ordered for Complex<$t> {
            fn order(&self, other: &Self) -> Ordering {
                self.re.order(&other.re).then_with(|| self.im.order(&other.im))
            }
        })*
    };
}

complex!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_comes_last() {
        assert_eq!(f32::NAN.order(&f32::INFINITY), Ordering::Greater);
        assert_eq!(f32::INFINITY.order(&f32::NAN), Ordering::Less);
        assert_eq!(f64::NAN.order(&-f64::NAN), Ordering::Equal);
        assert_eq!(f16::ZERO.order(&f16::NEG_ZERO), Ordering::Equal);
        assert_eq!(Complex::new(1f32, 2.).order(&Complex::new(1., 3.)), Ordering::Less);
    }
}
