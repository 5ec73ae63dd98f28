//! Conversions between `f32` and the 16-bit floats, rounded to nearest even.

use half::{bf16, f16};

use crate::pieces::in_pieces;
use crate::vector::{Kernel, MAX_LANES, Simd, dispatch};

/// `dst = src`, widened.
///
/// # Panics
/// If the lengths differ.
pub fn f16_to_f32(src: &[f16], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a conversion differ in length");
    in_pieces(dst.len(), |at, n| dispatch(Widen::<false> { src: src[at..at + n].as_ptr().cast(), dst: &mut dst[at..at + n] }));
}

/// `dst = src`, widened.
///
/// # Panics
/// If the lengths differ.
pub fn bf16_to_f32(src: &[bf16], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a conversion differ in length");
    in_pieces(dst.len(), |at, n| dispatch(Widen::<true> { src: src[at..at + n].as_ptr().cast(), dst: &mut dst[at..at + n] }));
}

/// `dst = src`, rounded to nearest even; beyond the range it is infinite.
///
/// # Panics
/// If the lengths differ.
pub fn f32_to_f16(src: &[f32], dst: &mut [f16]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a conversion differ in length");
    in_pieces(src.len(), |at, n| dispatch(Narrow::<false> { src: &src[at..at + n], dst: dst[at..at + n].as_mut_ptr().cast() }));
}

/// `dst = src`, rounded to nearest even; beyond the range it is infinite.
///
/// # Panics
/// If the lengths differ.
pub fn f32_to_bf16(src: &[f32], dst: &mut [bf16]) {
    assert_eq!(src.len(), dst.len(), "source and destination of a conversion differ in length");
    in_pieces(src.len(), |at, n| dispatch(Narrow::<true> { src: &src[at..at + n], dst: dst[at..at + n].as_mut_ptr().cast() }));
}

/// From the bits of `dst.len()` values.
struct Widen<'a, const BRAIN: bool> {
    src: *const u16,
    dst: &'a mut [f32],
}

impl<const BRAIN: bool> Kernel for Widen<'_, BRAIN> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: called with pointers that are good for `LANES` values.
        let one = |p: *const u16| unsafe { if BRAIN { s.load_bf16(p) } else { s.load_f16(p) } };
        let (len, dst) = (self.dst.len(), self.dst.as_mut_ptr());
        let whole = len - len % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: both sides hold `LANES` values from `i` on.
            unsafe { s.store(dst.add(i), one(self.src.add(i))) }
        }
        if whole < len {
            let mut tail = [0u16; MAX_LANES];
            // SAFETY: both sides hold `len - whole` values from `whole` on, fewer than the array.
            unsafe {
                std::ptr::copy_nonoverlapping(self.src.add(whole), tail.as_mut_ptr(), len - whole);
                s.store_partial(dst.add(whole), len - whole, one(tail.as_ptr()));
            }
        }
    }
}

/// Into the bits of `src.len()` values.
struct Narrow<'a, const BRAIN: bool> {
    src: &'a [f32],
    dst: *mut u16,
}

impl<const BRAIN: bool> Kernel for Narrow<'_, BRAIN> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: called with pointers that are good for `LANES` values.
        let one = |p: *mut u16, v| unsafe { if BRAIN { s.store_bf16(p, v) } else { s.store_f16(p, v) } };
        let (len, src) = (self.src.len(), self.src.as_ptr());
        let whole = len - len % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: both sides hold `LANES` values from `i` on.
            unsafe { one(self.dst.add(i), s.load(src.add(i))) }
        }
        if whole < len {
            let mut tail = [0u16; MAX_LANES];
            // SAFETY: both sides hold `len - whole` values from `whole` on, fewer than the array.
            unsafe {
                one(tail.as_mut_ptr(), s.load_partial(src.add(whole), len - whole));
                std::ptr::copy_nonoverlapping(tail.as_ptr(), self.dst.add(whole), len - whole);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dispatch_on, isa};

    #[test]
    fn every_16_bit_value_widens_exactly() {
        let bits: Vec<u16> = (0..=u16::MAX).chain([1, 2, 3]).collect();
        let mut y = vec![0.0f32; bits.len()];
        for isa in isa::available() {
            dispatch_on(isa, Widen::<false> { src: bits.as_ptr(), dst: &mut y });
            for (&b, &y) in bits.iter().zip(&y) {
                let want = f16::from_bits(b).to_f32();
                assert!(y.to_bits() == want.to_bits() || (y.is_nan() && want.is_nan()), "{isa:?} {b:x}");
            }
            dispatch_on(isa, Widen::<true> { src: bits.as_ptr(), dst: &mut y });
            for (&b, &y) in bits.iter().zip(&y) {
                assert_eq!(y.to_bits(), u32::from(b) << 16, "{isa:?} {b:x}");
            }
        }
    }

    #[test]
    fn rounds_to_nearest_even() {
        let x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
        let mut y = vec![0u16; x.len()];
        for isa in isa::available() {
            dispatch_on(isa, Narrow::<false> { src: &x, dst: y.as_mut_ptr() });
            for (&x, &y) in x.iter().zip(&y) {
                let want = f16::from_f32(x);
                assert!(y == want.to_bits() || (f16::from_bits(y).is_nan() && want.is_nan()), "{isa:?} {x:e}");
            }
            dispatch_on(isa, Narrow::<true> { src: &x, dst: y.as_mut_ptr() });
            for (&x, &y) in x.iter().zip(&y) {
                let want = bf16::from_f32(x);
                assert!(y == want.to_bits() || (bf16::from_bits(y).is_nan() && want.is_nan()), "{isa:?} {x:e}");
            }
        }
    }

    #[test]
    fn every_short_length() {
        for len in 0..40 {
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let (mut h, mut b, mut back) = (vec![f16::ZERO; len], vec![bf16::ZERO; len], vec![0.0; len]);
            f32_to_f16(&x, &mut h);
            f16_to_f32(&h, &mut back);
            assert_eq!(x, back);
            f32_to_bf16(&x, &mut b);
            bf16_to_f32(&b, &mut back);
            assert_eq!(x, back);
        }
    }
}
