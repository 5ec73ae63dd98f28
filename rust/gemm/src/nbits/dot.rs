//! Products on bytes: rows of A are rounded to eight bits block by block, and whole groups of four weights are multiplied and added by one
//! instruction. What is lost is the rounding of A; weights, scales and zero points stay exact.

use simd::{Isa, Simd};

use super::PackedBlocks;
use super::widen::zero;
use crate::memory::SharedConst;
use crate::scalar::Float;

/// The most rows of a tile.
pub(super) const ROWS: usize = 6;

/// The most vectors across a panel.
const MAX_VECTORS: usize = 2;

/// Rows of A rounded to bytes, as one row panel of `R` rows has them.
#[derive(Clone, Copy)]
pub(super) struct RoundedRows {
    /// For each group of four bytes, a word of each row. Which weights a group holds follows from the order of bits in a packed word: group
    /// `i` of a word takes bits `BITS * i..` of each of its bytes.
    pub(super) words: SharedConst<i32>,
    /// For each block the scales of all rows.
    pub(super) scales: SharedConst<f32>,
    /// For each block the sums of the bytes of all rows.
    pub(super) sums: SharedConst<i32>,
}

/// One tile: a row panel times panel `index`, into rows of the panel's width.
pub(super) struct DotTile<'a, T> {
    pub(super) b: &'a PackedBlocks<T>,
    pub(super) index: usize,
    pub(super) a: RoundedRows,
    pub(super) out: *mut f32,
}

/// Adds to each lane the products of its four bytes, unsigned ones by signed ones.
trait Dot<S: Simd>: Copy {
    fn dot(self, s: S, acc: S::I, unsigned: S::I, signed: S::I) -> S::I;
}

/// Whether there are instructions for products of weights of so many bits on `isa`.
pub(super) fn has_dot(isa: Isa, bits: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    return match isa {
        Isa::Avx512 => simd::isa::has_vnni(),
        // The sums of two products saturate at 16 bits, which eight-bit weights would reach.
        Isa::Avx2 => bits <= 4,
        Isa::Portable => false,
    };
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (isa, bits);
        false
    }
}

/// Four groups of bits from each byte of a word: group `i`, unsigned.
#[inline(always)]
fn group<S: Simd, const BITS: u32>(s: S, words: S::I, i: u32) -> S::I {
    if BITS == 8 {
        // Packing made them signed.
        return s.ixor(words, s.isplat(i32::from_ne_bytes([0x80; 4])));
    }
    let mask = i32::from_ne_bytes([(1u8 << BITS) - 1; 4]);
    s.iand(s.shr_logical(words, BITS * i), s.isplat(mask))
}

impl<T: Float> DotTile<'_, T> {
    /// Computes the tile of `R` rows.
    ///
    /// # Safety
    /// The pointers are good for `R` rows, and the machine has what `dot` needs.
    #[inline(always)]
    unsafe fn run<S: Simd, D: Dot<S>, const BITS: u32, const R: usize>(&self, s: S, dot: D) {
        let Self { b, index, a, out } = *self;
        let vectors = b.width / S::LANES;
        let mut acc = [[s.zero(); MAX_VECTORS]; R];
        for block in 0..b.blocks {
            // SAFETY: the panel has words for each block, and A groups for all of them.
            let dots = unsafe { self.block::<S, D, BITS, R>(s, dot, block, vectors) };
            for v in 0..vectors {
                let at = (index * b.blocks + block) * b.width + v * S::LANES;
                // SAFETY: scales and zero points have a whole panel for each block, A a scale and a sum for each row.
                unsafe {
                    let scale = T::load_float(s, b.scales.as_ptr().add(at));
                    let zero = zero(s, &b.zeros, at);
                    for r in 0..R {
                        let mut x = s.to_float(dots[r][v]);
                        if let Some(zero) = zero {
                            x = s.fnma(s.splat(*a.sums.get().add(block * R + r) as f32), zero, x);
                        }
                        let both = s.mul(s.splat(*a.scales.get().add(block * R + r)), scale);
                        acc[r][v] = s.fma(x, both, acc[r][v]);
                    }
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, &x) in row.iter().enumerate().take(vectors) {
                // SAFETY: `out` holds rows of the panel's width.
                unsafe { s.store(out.add(r * b.width + v * S::LANES), x) }
            }
        }
    }

    /// The sums over one block of the weights less the middle of their range.
    ///
    /// # Safety
    /// As [`DotTile::run`].
    #[inline(always)]
    unsafe fn block<S: Simd, D: Dot<S>, const BITS: u32, const R: usize>(
        &self,
        s: S,
        dot: D,
        block: usize,
        vectors: usize,
    ) -> [[S::I; MAX_VECTORS]; R] {
        let b = self.b;
        let (block_words, groups) = (b.block_words(), 8 / BITS as usize);
        // SAFETY: as the caller says.
        unsafe {
            let sums = self.a.sums.get().add(block * R);
            let mut acc: [[S::I; MAX_VECTORS]; R] =
                std::array::from_fn(|r| [s.isplat((-(1i32 << (BITS - 1))).wrapping_mul(*sums.add(r))); MAX_VECTORS]);
            let mut words = b.words.as_ptr::<i32>().add((self.index * b.blocks + block) * block_words * b.width);
            let mut values = self.a.words.get().add(block * block_words * groups * R);
            for _ in 0..block_words {
                let packed: [S::I; MAX_VECTORS] = std::array::from_fn(|v| s.iload(words.add(v % vectors * S::LANES)));
                for i in 0..groups {
                    let weights = packed.map(|w| group::<S, BITS>(s, w, i as u32));
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let x = s.isplat(*values.add(i * R + r));
                        for (acc, &w) in acc.iter_mut().zip(&weights) {
                            *acc = dot.dot(s, *acc, w, x);
                        }
                    }
                }
                words = words.add(b.width);
                values = values.add(groups * R);
            }
            acc
        }
    }
}

macro_rules! by_rows {
    ($tile:ident, $bits:literal, $rows:ident, $t:ident, $($r:literal)*) => {
        match $rows {
            // SAFETY: the caller's tile holds, and the machine has the instructions.
            $($r => unsafe { $t::<T, $bits, $r>($tile) },)*
            _ => unreachable!("no tile of {} rows", $rows),
        }
    };
}

/// Computes a tile of `rows` rows, up to [`ROWS`].
///
/// # Safety
/// The pointers are good for the tile, and [`has_dot`] is true of the weights.
pub(super) unsafe fn multiply<T: Float>(tile: &DotTile<'_, T>, rows: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use x86::{avx2, vnni};
        match (tile.b.isa, tile.b.bits) {
            (Isa::Avx512, 2) => by_rows!(tile, 2, rows, vnni, 1 2 3 4 5 6),
            (Isa::Avx512, 4) => by_rows!(tile, 4, rows, vnni, 1 2 3 4 5 6),
            (Isa::Avx512, _) => by_rows!(tile, 8, rows, vnni, 1 2 3 4 5 6),
            (_, 2) => by_rows!(tile, 2, rows, avx2, 1 2 3 4 5 6),
            _ => by_rows!(tile, 4, rows, avx2, 1 2 3 4 5 6),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    unreachable!("no products of {rows} rows of {tile:?} on bytes", tile = tile.b);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use simd::{Avx2Token, Avx512Token};

    use super::{Dot, DotTile};
    use crate::scalar::Float;

    #[derive(Clone, Copy)]
    struct Vnni;

    impl Dot<Avx512Token> for Vnni {
        #[inline(always)]
        fn dot(self, _: Avx512Token, acc: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
            // SAFETY: made only in a function compiled for these instructions.
            unsafe { _mm512_dpbusd_epi32(acc, unsigned, signed) }
        }
    }

    /// # Safety
    /// As [`super::multiply`].
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
    pub(super) unsafe fn vnni<T: Float, const BITS: u32, const R: usize>(tile: &DotTile<'_, T>) {
        if let Some(s) = Avx512Token::new() {
            // SAFETY: as the caller says.
            unsafe { tile.run::<_, _, BITS, R>(s, Vnni) }
        }
    }

    #[derive(Clone, Copy)]
    struct Pairs;

    impl Dot<Avx2Token> for Pairs {
        #[inline(always)]
        fn dot(self, _: Avx2Token, acc: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
            // SAFETY: a token proves the instructions. Weights of four bits keep the sums of pairs within 16 bits.
            unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(unsigned, signed), _mm256_set1_epi16(1))) }
        }
    }

    /// # Safety
    /// As [`super::multiply`].
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) unsafe fn avx2<T: Float, const BITS: u32, const R: usize>(tile: &DotTile<'_, T>) {
        if let Some(s) = Avx2Token::new() {
            // SAFETY: as the caller says.
            unsafe { tile.run::<_, _, BITS, R>(s, Pairs) }
        }
    }
}
