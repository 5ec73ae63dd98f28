//! The loop from any element type to any other, made of up to three: to a number type of Rust, to another, and from that.
//!
//! Elements of packed types are taken and given as codes, one to a byte.

use base::DType;
use base::minifloat::{Format, RoundMode, encode_e8m0};
use base::packed::to_i8;

use super::number::convert;
use crate::elementwise::{Convert, Map, MapThrough, each};

/// What the attributes of Cast say of 8-bit floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// Whether numbers out of range become the largest one.
    pub(crate) saturate: bool,
    /// How numbers become powers of two.
    pub(crate) mode: RoundMode,
}

impl Default for Rounding {
    fn default() -> Self {
        Self { saturate: true, mode: RoundMode::Up }
    }
}

/// The loop that converts elements of `from` to `to`; `None` where one is a string or complex.
pub(crate) fn cast(from: DType, to: DType, rounding: Rounding) -> Option<Box<dyn Map>> {
    if from == to {
        return copy(from);
    }
    if from == DType::F64
        && let Some(whole) = from_double(to, rounding)
    {
        return Some(whole);
    }
    let (start, first) = read(from)?;
    let (end, last) = write(to, rounding)?;
    let steps = [first, convert(start, end), last];
    if start != end && steps[1].is_none() {
        return None;
    }
    let mut chain: Option<(Box<dyn Map>, usize)> = None;
    for (step, size) in steps.into_iter().zip([size(start), size(end), size(to)]) {
        let Some(step) = step else { continue };
        chain = Some(match chain {
            None => (step, size),
            Some((before, _)) => {
                let through = MapThrough { load: Some(Convert(before)), inner: step, store: None, sizes: (self::size(from), size) };
                (Box::new(through), size)
            }
        });
    }
    chain.map_or_else(|| copy(from), |(map, _)| Some(map))
}

/// Bytes of an element in a loop.
fn size(dtype: DType) -> usize {
    dtype.size().unwrap_or(1)
}

fn copy(dtype: DType) -> Option<Box<dyn Map>> {
    match (dtype, size(dtype)) {
        (DType::String | DType::C64 | DType::C128, _) => None,
        (_, 1) => Some(each(|x: u8| x)),
        (_, 2) => Some(each(|x: u16| x)),
        (_, 4) => Some(each(|x: u32| x)),
        _ => Some(each(|x: u64| x)),
    }
}

/// The number type that elements of `from` are read as, and how, if they are not it already.
fn read(from: DType) -> Option<(DType, Option<Box<dyn Map>>)> {
    if let Some(widen) = Convert::widen(from) {
        return Some((DType::F32, Some(widen.0)));
    }
    if let Some(format) = Format::of(from) {
        return Some((DType::F32, Some(each(|code: u8| format.decode(code)))));
    }
    match from {
        DType::I4 | DType::I2 => Some((DType::I8, Some(each(move |code: u8| to_i8(from, code))))),
        DType::U4 | DType::U2 => Some((DType::U8, None)),
        DType::String | DType::C64 | DType::C128 => None,
        _ => Some((from, None)),
    }
}

/// The number type that elements of `to` are written from, and how, if they are not it already.
fn write(to: DType, rounding: Rounding) -> Option<(DType, Option<Box<dyn Map>>)> {
    if let Some(narrow) = Convert::narrow(to) {
        return Some((DType::F32, Some(narrow.0)));
    }
    if to == DType::F8E8M0 {
        return Some((DType::F32, Some(each(move |x: f32| encode_e8m0(x, rounding.mode, rounding.saturate)))));
    }
    if let Some(format) = Format::of(to) {
        return Some((DType::F32, Some(each(move |x: f32| format.encode(x, rounding.saturate)))));
    }
    match to {
        DType::I4 | DType::I2 => Some((DType::I8, None)),
        DType::U4 | DType::U2 => Some((DType::U8, None)),
        DType::String | DType::C64 | DType::C128 => None,
        _ => Some((to, None)),
    }
}

/// From `f64` to a float type of 16 bits or fewer, rounded once: by way of the nearest `f32` it would be rounded twice.
fn from_double(to: DType, rounding: Rounding) -> Option<Box<dyn Map>> {
    if let Some(narrow) = Convert::narrow(to) {
        let load = Some(Convert(each(to_odd)));
        return Some(Box::new(MapThrough { load, inner: narrow.0, store: None, sizes: (8, 2) }));
    }
    match to {
        DType::F8E8M0 => None,
        _ => Format::of(to).map(|format| each(move |x: f64| format.encode_f64(x, rounding.saturate))),
    }
}

/// The `f32` next to `x` towards zero, its last bit set if it is not `x`: rounding that to fewer bits is rounding `x`.
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || x.is_nan() {
        return near;
    }
    let beyond = f64::from(near).abs() > x.abs();
    f32::from_bits((near.to_bits() - u32::from(beyond)) | 1)
}
