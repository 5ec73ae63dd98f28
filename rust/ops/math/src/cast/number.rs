//! Conversions between the number types that Rust has.

use base::DType;

use crate::elementwise::{Map, each, each_wide};

/// A number that can become a `T`.
pub(crate) trait To<T> {
    /// What `as` says; but a float is cut to an integer as processors do it, so that what does not fit is as in other runtimes: the low
    /// bits of its whole part, or of the smallest `i32` (`i64` for `u32` and types of 64 bits) if it is none of that either.
    fn to(self) -> T;
}

/// An integer type that doubles are cut to.
pub(crate) trait Cut: Sized {
    /// As [`To::to`].
    fn cut(x: f64) -> Self;
}

macro_rules! plainly {
    ($($from:ty)* => $to:tt) => { $( plainly!(@ $from => $to); )* };
    (@ $from:ty => ($($to:ty)*)) => { $(
        impl To<$to> for $from {
            #[inline(always)]
            fn to(self) -> $to {
                self as $to
            }
        }
    )* };
}

plainly!(i8 u8 i16 u16 i32 u32 i64 u64 => (i8 u8 i16 u16 i32 u32 i64 u64 f32 f64));
plainly!(f32 f64 => (f32 f64));

macro_rules! cut {
    ($float:ty: $($to:ty => |$x:ident| $cut:expr),* $(,)?) => { $(
        impl To<$to> for $float {
            #[inline(always)]
            fn to(self) -> $to {
                let $x = self;
                $cut
            }
        }
    )* };
}

macro_rules! cuts {
    ($($float:ident)*) => { $(
        cut! { $float:
            i8 => |x| $float::to_i32(x) as i8,
            u8 => |x| $float::to_i32(x) as u8,
            i16 => |x| $float::to_i32(x) as i16,
            u16 => |x| $float::to_i32(x) as u16,
            i32 => |x| $float::to_i32(x),
            u32 => |x| $float::to_i64(x) as u32,
            i64 => |x| $float::to_i64(x),
            u64 => |x| {
                let beyond_i64 = ((2.0 as $float).powi(63)..(2.0 as $float).powi(64)).contains(&x);
                if beyond_i64 { x as u64 } else { $float::to_i64(x) as u64 }
            },
        }
    )* };
}

cuts!(f32 f64);

/// The whole part of a float, or the smallest integer if it is out of range.
trait Whole {
    fn to_i32(self) -> i32;
    fn to_i64(self) -> i64;
}

impl Whole for f32 {
    #[inline(always)]
    fn to_i32(self) -> i32 {
        if (-2_147_483_648.0..2_147_483_648.0).contains(&self) { self as i32 } else { i32::MIN }
    }

    #[inline(always)]
    fn to_i64(self) -> i64 {
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&self) { self as i64 } else { i64::MIN }
    }
}

impl Whole for f64 {
    #[inline(always)]
    fn to_i32(self) -> i32 {
        if self > -2_147_483_649.0 && self < 2_147_483_648.0 { self as i32 } else { i32::MIN }
    }

    #[inline(always)]
    fn to_i64(self) -> i64 {
        if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&self) { self as i64 } else { i64::MIN }
    }
}

impl<T> Cut for T
where
    f64: To<T>,
{
    fn cut(x: f64) -> Self {
        x.to()
    }
}

/// The loop from a number type of Rust to another; booleans are bytes. `None` for other types, and for those that are the same.
pub(crate) fn convert(from: DType, to: DType) -> Option<Box<dyn Map>> {
    if from == to {
        return None;
    }
    common(from, to).or_else(|| any(from, to))
}

/// The loops that large tensors take.
fn common(from: DType, to: DType) -> Option<Box<dyn Map>> {
    use DType::{Bool, F32, F64, I8, I32, I64, U8};
    Some(match (from, to) {
        (F32, F64) => each_wide(|x: f32| f64::from(x)),
        (F64, F32) => each_wide(|x: f64| x as f32),
        (F32, I32) => each_wide(|x: f32| x.to_i32()),
        (I32, F32) => each_wide(|x: i32| x as f32),
        (F32, I8 | U8) => each_wide(|x: f32| x.to_i32() as u8),
        (I8, F32) => each_wide(|x: i8| f32::from(x)),
        (U8 | Bool, F32) => each_wide(|x: u8| f32::from(x)),
        (F32, Bool) => each_wide(|x: f32| u8::from(x != 0.0)),
        (I32, I64) => each_wide(|x: i32| i64::from(x)),
        (I64, I32) => each_wide(|x: i64| x as i32),
        (I32, Bool) => each_wide(|x: i32| u8::from(x != 0)),
        (I64, Bool) => each_wide(|x: i64| u8::from(x != 0)),
        _ => return None,
    })
}

/// The expression for the Rust type of each number type.
macro_rules! for_numbers {
    ($dtype:expr, $t:ident => $body:expr) => {
        for_numbers!(@ $dtype, $t, $body, I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64, F32 f32, F64 f64)
    };
    (@ $dtype:expr, $t:ident, $body:expr, $($d:ident $r:ty),*) => {
        match $dtype {
            $(DType::$d => {
                type $t = $r;
                Some($body)
            })*
            _ => None,
        }
    };
}

fn any(from: DType, to: DType) -> Option<Box<dyn Map>> {
    // A boolean is a byte of 0 or 1.
    let from = if from == DType::Bool { DType::U8 } else { from };
    if to == DType::Bool {
        return for_numbers!(from, S => each(|x: S| u8::from(x != S::default())));
    }
    if from == to {
        return Some(each(|x: u8| x));
    }
    for_numbers!(from, S => for_numbers!(to, T => each(|x: S| -> T { x.to() }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_out_of_range_are_cut() {
        let x = [-1.5f32, 256.7, -200.2, 70000.5, 3e9, 1e19, f32::NAN, f32::INFINITY];
        let cut = |x: f32| -> (i8, u8, u16) { (x.to(), x.to(), x.to()) };
        assert_eq!(x.map(cut).map(|c| c.0), [-1, 0, 56, 112, 0, 0, 0, 0]);
        assert_eq!(x.map(cut).map(|c| c.1), [255, 0, 56, 112, 0, 0, 0, 0]);
        assert_eq!(x.map(cut).map(|c| c.2), [65535, 256, 65336, 4464, 0, 0, 0, 0]);
        let min = i32::MIN;
        assert_eq!(x.map(|x| -> i32 { x.to() }), [-1, 256, -200, 70000, min, min, min, min]);
        assert_eq!(x.map(|x| -> i32 { f64::from(x).to() }), [-1, 256, -200, 70000, min, min, min, min]);
        assert_eq!(x.map(|x| -> u32 { x.to() }), [u32::MAX, 256, 4294967096, 70000, 3000000000, 0, 0, 0]);
        let (wide, high) = (1u64 << 63, 9999999980506447872);
        assert_eq!(x.map(|x| -> u64 { x.to() }), [u64::MAX, 256, u64::MAX - 199, 70000, 3000000000, high, wide, wide]);
        assert_eq!(To::<i32>::to(-2147483648.9f64), i32::MIN);
        assert_eq!(To::<i32>::to(2147483647.9f64), i32::MAX);
    }

    #[test]
    fn every_pair_has_a_loop() {
        let numbers = || DType::all().filter(|d| d.size().is_some_and(|s| s <= 8) && !d.is_float() || matches!(d, DType::F32 | DType::F64));
        for from in numbers().filter(|d| *d != DType::C64) {
            for to in numbers().filter(|d| *d != DType::C64) {
                assert_eq!(convert(from, to).is_some(), from != to, "{from} {to}");
            }
        }
        assert!(convert(DType::F16, DType::F32).is_none());
    }
}
