//! The two types that trees compare and add in.

use std::borrow::Cow;

use base::{DType, Element, Result, TensorRef};
use half::f16;

use crate::features::floats;
use crate::post::Score;

/// `f32`, or `f64` where features are of that type.
pub(crate) trait Number: Score + Element + std::fmt::Debug {
    /// The next smaller value; NaN, which nothing is at most, below minus infinity.
    fn below(self) -> Self;
    /// The value nearest to `x`.
    fn near(x: f64) -> Self;
    /// The value nearest to `self`.
    fn f32(self) -> f32;
    /// The features `t`.
    ///
    /// # Errors
    /// `NotImplemented` for types without trees.
    fn features<'a>(t: &TensorRef<'a>) -> Result<Cow<'a, [Self]>>;
}

macro_rules! number {
    ($t:ty, $features:expr) => {
        impl Number for $t {
            fn below(self) -> Self {
                if self == <$t>::NEG_INFINITY { <$t>::NAN } else { self.next_down() }
            }

            fn near(x: f64) -> Self {
                x as $t
            }

            fn f32(self) -> f32 {
                self as f32
            }

            fn features<'a>(t: &TensorRef<'a>) -> Result<Cow<'a, [Self]>> {
                let read: fn(&TensorRef<'a>) -> Result<Cow<'a, [Self]>> = $features;
                read(t)
            }
        }
    };
}

number!(f32, |t| match t.dtype() {
    DType::F16 => Ok(t.slice::<f16>()?.iter().map(|x| x.to_f32()).collect()),
    _ => floats(t),
});
number!(f64, |t| Ok(Cow::Borrowed(t.slice::<f64>()?)));
