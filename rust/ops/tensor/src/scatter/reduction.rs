//! Combining an update with what is there.

use base::Element;
use half::{bf16, f16};
use num_complex::Complex;

use super::Combine;

/// What becomes of an element that an update meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reduction {
    /// The update takes its place.
    None,
    /// Their sum.
    Add,
    /// Their product.
    Mul,
    /// The larger one; NaN if one is.
    Max,
    /// The smaller one; NaN if one is.
    Min,
}

impl Reduction {
    /// Their names, those of opset 16 first.
    pub(super) const NAMES: [(&'static str, Reduction); 5] =
        [("none", Self::None), ("add", Self::Add), ("mul", Self::Mul), ("max", Self::Max), ("min", Self::Min)];

    /// The function, if the type has it.
    pub(super) fn of<T: Number>(self) -> Option<Combine<T>> {
        match self {
            Self::None => Some(|_, update| update),
            Self::Add => Some(T::add),
            Self::Mul => Some(T::mul),
            Self::Max => T::MAX,
            Self::Min => T::MIN,
        }
    }
}

/// An element type whose elements can be combined. Integers wrap; booleans are 0 and 1, and stay so.
pub(super) trait Number: Element {
    /// The larger of two, for types with an order.
    const MAX: Option<Combine<Self>>;
    /// The smaller of two.
    const MIN: Option<Combine<Self>>;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
}

macro_rules! integers {
    ($($t:ty),*) => {
        $(impl Number for $t {
            const MAX: Option<Combine<Self>> = Some(Ord::max);
            const MIN: Option<Combine<Self>> = Some(Ord::min);
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        })*
    };
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($t:ty),*) => {
        $(impl Number for $t {
            const MAX: Option<Combine<Self>> = Some(|a, b| if a.is_nan() || a > b { a } else { b });
            const MIN: Option<Combine<Self>> = Some(|a, b| if a.is_nan() || a < b { a } else { b });
            fn add(self, other: Self) -> Self {
                self + other
            }
            fn mul(self, other: Self) -> Self {
                self * other
            }
        })*
    };
}

floats!(f32, f64);

macro_rules! narrow_floats {
    ($($t:ty),*) => {
        $(impl Number for $t {
            const MAX: Option<Combine<Self>> = Some(|a, b| if a.is_nan() || a > b { a } else { b });
            const MIN: Option<Combine<Self>> = Some(|a, b| if a.is_nan() || a < b { a } else { b });
            fn add(self, other: Self) -> Self {
                <$t>::from_f32(self.to_f32() + other.to_f32())
            }
            fn mul(self, other: Self) -> Self {
                <$t>::from_f32(self.to_f32() * other.to_f32())
            }
        })*
    };
}

narrow_floats!(f16, bf16);

impl Number for bool {
    const MAX: Option<Combine<Self>> = Some(|a, b| a | b);
    const MIN: Option<Combine<Self>> = Some(|a, b| a & b);
    fn add(self, other: Self) -> Self {
        self | other
    }
    fn mul(self, other: Self) -> Self {
        self & other
    }
}

macro_rules! complex {
    ($($t:ty),*) => {
        $(impl Number for Complex<$t> {
            const MAX: Option<Combine<Self>> = None;
            const MIN: Option<Combine<Self>> = None;
            fn add(self, other: Self) -> Self {
                self + other
            }
            fn mul(self, other: Self) -> Self {
                self * other
            }
        })*
    };
}

complex!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_wins_and_integers_wrap() {
        let max = Reduction::Max.of::<f32>().unwrap();
        assert!(max(f32::NAN, 1.0).is_nan() && max(1.0, f32::NAN).is_nan());
        assert_eq!((max(-1.0, 2.0), Reduction::Min.of::<f16>().unwrap()(f16::ONE, f16::NEG_ONE)), (2.0, f16::NEG_ONE));
        assert_eq!(Reduction::Add.of::<i8>().unwrap()(127, 1), -128);
        assert!(Reduction::Min.of::<Complex<f32>>().is_none());
        assert!(!Reduction::Mul.of::<bool>().unwrap()(true, false));
    }
}
