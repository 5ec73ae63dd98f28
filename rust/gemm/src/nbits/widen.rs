//! From packed weights to floats.

use std::ops::Range;

use simd::{Kernel, Simd, dispatch_on};

use super::{PackedBlocks, Zeros};
use crate::scalar::Float;
use crate::source::Columns;

/// Weights of `BITS` bits less the middle of their range, by the lowest four bits of a word; of no use for eight bits.
pub(super) fn table<const BITS: u32>() -> [f32; 16] {
    std::array::from_fn(|i| if BITS == 2 { (i & 3) as f32 - 2.0 } else { i as f32 - 8.0 })
}

/// Weight `i` of each word, less the middle of the range.
#[inline(always)]
pub(super) fn weight<S: Simd, const BITS: u32>(s: S, table: S::Table, words: S::I, i: u32) -> S::F {
    match BITS {
        8 => s.to_float(s.shr(s.shl(words, 24 - 8 * i), 24)),
        // The table repeats itself for two bits: the upper two of an index do not matter.
        _ => s.lookup(table, s.shr_logical(words, BITS * i)),
    }
}

/// The zero points of `LANES` columns from entry `at` on, less the middle of the range, if there are any.
///
/// # Safety
/// The list has a vector from there on.
#[inline(always)]
pub(super) unsafe fn zero<S: Simd>(s: S, zeros: &Zeros, at: usize) -> Option<S::F> {
    // SAFETY: as the caller says.
    unsafe {
        match zeros {
            Zeros::None => None,
            Zeros::Bytes(z) => Some(s.to_float(s.load_i8(z.as_ptr().add(at)))),
            Zeros::Floats(z) => Some(s.load(z.as_ptr().add(at))),
        }
    }
}

impl<T: Float> Columns<T> for PackedBlocks<T> {
    fn rows(&self) -> usize {
        self.k
    }

    fn cols(&self) -> usize {
        self.n
    }

    fn fill(&self, _item: usize, cols: Range<usize>, width: usize, panel: &mut [T]) {
        assert!(width == self.width && panel.len() >= self.k * width, "panels are as wide as they were packed");
        T::widen_panel(self, cols.start / self.width, panel);
    }
}

/// Widens panel `index` of `b`.
pub(crate) fn widen_panel<T: Float>(b: &PackedBlocks<T>, index: usize, panel: &mut [T]) {
    match b.bits {
        2 => dispatch_on(b.isa, WidenPanel::<T, 2> { b, index, panel }),
        4 => dispatch_on(b.isa, WidenPanel::<T, 4> { b, index, panel }),
        _ => dispatch_on(b.isa, WidenPanel::<T, 8> { b, index, panel }),
    }
}

/// Widens panel `index` to rows of `width` floats.
struct WidenPanel<'a, T, const BITS: u32> {
    b: &'a PackedBlocks<T>,
    index: usize,
    panel: &'a mut [T],
}

impl<T: Float, const BITS: u32> Kernel for WidenPanel<'_, T, BITS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { b, index, panel } = self;
        let table = s.table(&table::<BITS>());
        let words = b.words.as_ptr::<i32>();
        let (per_word, block_words) = (32 / BITS as usize, b.block_words());
        for block in 0..b.blocks {
            for c in (0..b.width).step_by(S::LANES) {
                let at = (index * b.blocks + block) * b.width + c;
                // SAFETY: scales, zero points and words have a whole panel for each block.
                let (scale, zero) = unsafe { (T::load_float(s, b.scales.as_ptr().add(at)), zero(s, &b.zeros, at)) };
                for g in 0..block_words {
                    let first = block * b.block + g * per_word;
                    // SAFETY: as above.
                    let w = unsafe { s.iload(words.add(((index * b.blocks + block) * block_words + g) * b.width + c)) };
                    for i in 0..per_word.min(b.k.saturating_sub(first)) {
                        let mut x = weight::<S, BITS>(s, table, w, i as u32);
                        if let Some(zero) = zero {
                            x = s.sub(x, zero);
                        }
                        // SAFETY: the panel holds `k` rows of `width` floats, and the row lies before `k`.
                        unsafe { T::store_float(s, panel.as_mut_ptr().add((first + i) * b.width + c), s.mul(x, scale)) }
                    }
                }
            }
        }
    }
}
