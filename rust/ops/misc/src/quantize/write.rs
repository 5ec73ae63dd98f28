//! Writing segments of numbers as the elements of a tensor.

use base::minifloat::Format;
use base::{DType, Result, packed};
use half::{bf16, f16};

use super::grid::SEGMENT;
use super::source::Each;

/// 1.5 · 2²³: adding it to a float below 2²² rounds it, ties to even, and leaves the integer in the low bits.
const ROUNDING: f32 = 12_582_912.0;

/// `value`, rounded and not below `low` or above `high`; `low` for NaN. The bounds are integers below 2²² in magnitude.
#[inline(always)]
pub(crate) fn rounded(value: f32, low: f32, high: f32) -> i32 {
    let value = if value > low { value } else { low };
    let value = if value < high { value } else { high };
    (value + ROUNDING).to_bits() as i32 - ROUNDING.to_bits() as i32
}

/// Rounds quotients, adds zero points, and keeps the sums within `range`.
pub(crate) fn saturate(quotients: &[f32], zero: Each<'_, i32>, range: (i32, i32), out: &mut [i32]) {
    let (low, high) = (range.0 as f32, range.1 as f32);
    match zero {
        Each::All(zero) => {
            let (low, high) = (low - zero as f32, high - zero as f32);
            out.iter_mut().zip(quotients).for_each(|(out, q)| *out = rounded(*q, low, high) + zero);
        }
        Each::One(zeros) => {
            for ((out, q), zero) in out.iter_mut().zip(quotients).zip(zeros) {
                *out = rounded(*q, low - *zero as f32, high - *zero as f32) + zero;
            }
        }
    }
}

/// Writes integers as elements of `dtype` from element `start` of `out` on, which begins at a whole byte of the tensor.
///
/// # Errors
/// `Fail` when the elements do not lie in `out`.
pub(crate) fn ints(dtype: DType, values: &[i32], out: &mut [u8], start: usize) -> Result<()> {
    match dtype {
        DType::U8 | DType::I8 => out[start..].iter_mut().zip(values).for_each(|(out, v)| *out = *v as u8),
        DType::U16 | DType::I16 => {
            let (out, _) = out[start * 2..].as_chunks_mut::<2>();
            out.iter_mut().zip(values).for_each(|(out, v)| *out = (*v as u16).to_ne_bytes());
        }
        _ => {
            let mut codes = [0; SEGMENT];
            let codes = &mut codes[..values.len()];
            codes.iter_mut().zip(values).for_each(|(code, v)| *code = *v as u8);
            packed::pack_into(dtype, codes, out, start)?;
        }
    }
    Ok(())
}

/// Writes floats in a small format, as [`ints`] does integers.
///
/// # Errors
/// `Fail` when the elements do not lie in `out`.
pub(crate) fn small(format: &Format, values: &[f32], saturate: bool, out: &mut [u8], start: usize) -> Result<()> {
    let mut codes = [0; SEGMENT];
    let codes = &mut codes[..values.len()];
    codes.iter_mut().zip(values).for_each(|(code, v)| *code = format.encode(*v, saturate));
    if format.dtype.is_packed() {
        return packed::pack_into(format.dtype, codes, out, start);
    }
    out[start..start + codes.len()].copy_from_slice(codes);
    Ok(())
}

/// Writes floats as `dtype`, a float type of 16 or 32 bits, as [`ints`] does integers.
pub(crate) fn floats(dtype: DType, values: &[f32], out: &mut [u8], start: usize) {
    match dtype {
        DType::F16 => {
            let mut halves = [f16::ZERO; SEGMENT];
            simd::f32_to_f16(values, &mut halves[..values.len()]);
            let (out, _) = out[start * 2..].as_chunks_mut::<2>();
            out.iter_mut().zip(&halves[..values.len()]).for_each(|(out, v)| *out = v.to_ne_bytes());
        }
        DType::BF16 => {
            let mut halves = [bf16::ZERO; SEGMENT];
            simd::f32_to_bf16(values, &mut halves[..values.len()]);
            let (out, _) = out[start * 2..].as_chunks_mut::<2>();
            out.iter_mut().zip(&halves[..values.len()]).for_each(|(out, v)| *out = v.to_ne_bytes());
        }
        _ => {
            let (out, _) = out[start * 4..].as_chunks_mut::<4>();
            out.iter_mut().zip(values).for_each(|(out, v)| *out = v.to_ne_bytes());
        }
    }
}

/// Rounds floats to what `dtype` can hold, if it is a float type of 16 bits.
pub(crate) fn round_to(dtype: DType, values: &mut [f32]) {
    match dtype {
        DType::F16 => {
            let mut halves = [f16::ZERO; SEGMENT];
            let halves = &mut halves[..values.len()];
            simd::f32_to_f16(values, halves);
            simd::f16_to_f32(halves, values);
        }
        DType::BF16 => {
            let mut halves = [bf16::ZERO; SEGMENT];
            let halves = &mut halves[..values.len()];
            simd::f32_to_bf16(values, halves);
            simd::bf16_to_f32(halves, values);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even_and_saturates() {
        let q = [0.5, 1.5, 2.5, -0.5, -1.5, 254.5, 255.5, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let mut out = [0; 12];
        saturate(&q, Each::All(0), (0, 255), &mut out);
        assert_eq!(out, [0, 2, 2, 0, 0, 254, 255, 255, 0, 255, 0, 0]);
        saturate(&q, Each::All(128), (-128, 127), &mut out);
        assert_eq!(out[..6], [127, 127, 127, 127, 126, 127]);
        saturate(&q[..2], Each::One(&[7, -3]), (-8, 7), &mut out);
        assert_eq!(out[..2], [7, -1]);
    }
}
