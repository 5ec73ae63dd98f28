//! The product of few rows: weights are widened in registers.
//!
//! Within a block the sum runs over the weights as they are; scale and zero point come in once at its end:
//! `sum a (w - z) s = s (sum a w - z sum a)`.

use simd::{Kernel, Simd};

use super::PackedBlocks;
use super::widen::{table, weight, zero};
use crate::scalar::Float;

/// The most rows that are multiplied this way.
pub(super) const FEW: usize = 4;

/// The most vectors across a panel.
const MAX_VECTORS: usize = 2;

/// Rows of A made ready: widened, filled up with zeros to whole blocks, and their sums over each block.
#[derive(Clone, Copy)]
pub(super) struct ReadyRows {
    /// For each `k` the values of all rows.
    pub(super) values: *const f32,
    /// For each block the sums of all rows.
    pub(super) sums: *const f32,
}

/// `R` rows times panel `index`, into rows of the panel's width.
pub(super) struct FewRows<'a, T, const BITS: u32, const R: usize> {
    pub(super) b: &'a PackedBlocks<T>,
    pub(super) index: usize,
    pub(super) a: ReadyRows,
    pub(super) out: *mut f32,
}

impl<T: Float, const BITS: u32, const R: usize> Kernel for FewRows<'_, T, BITS, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { b, index, a, out } = self;
        let vectors = b.width / S::LANES;
        let table = s.table(&table::<BITS>());
        let mut acc = [[s.zero(); MAX_VECTORS]; R];
        for block in 0..b.blocks {
            // SAFETY: the panel has words for each block, and A values for all of them.
            let sums = unsafe { self.block(s, block, vectors, table) };
            for v in 0..vectors {
                let at = (index * b.blocks + block) * b.width + v * S::LANES;
                // SAFETY: scales and zero points have a whole panel for each block, A a sum for each row.
                unsafe {
                    let scale = T::load_float(s, b.scales.as_ptr().add(at));
                    let zero = zero(s, &b.zeros, at);
                    for r in 0..R {
                        let mut x = sums[r][v];
                        if let Some(zero) = zero {
                            x = s.fnma(s.splat(*a.sums.add(block * R + r)), zero, x);
                        }
                        acc[r][v] = s.fma(x, scale, acc[r][v]);
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
}

impl<T: Float, const BITS: u32, const R: usize> FewRows<'_, T, BITS, R> {
    /// The sums over one block, without scale and zero point. Even and odd weights go to sums of their own: half the chain.
    ///
    /// # Safety
    /// The panel has words for the block, and A values.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, s: S, block: usize, vectors: usize, table: S::Table) -> [[S::F; MAX_VECTORS]; R] {
        let b = self.b;
        let block_words = b.block_words();
        let mut acc = [[[s.zero(); MAX_VECTORS]; R]; 2];
        // SAFETY: as the caller says.
        unsafe {
            let mut words = b.words.as_ptr::<i32>().add((self.index * b.blocks + block) * block_words * b.width);
            let mut values = self.a.values.add(block * b.block * R);
            for _ in 0..block_words {
                for v in 0..vectors {
                    let w = s.iload(words.add(v * S::LANES));
                    for i in 0..32 / BITS {
                        let x = weight::<S, BITS>(s, table, w, i);
                        for r in 0..R {
                            let acc = &mut acc[(i & 1) as usize][r][v];
                            *acc = s.fma(s.splat(*values.add(i as usize * R + r)), x, *acc);
                        }
                    }
                }
                words = words.add(b.width);
                values = values.add(32 / BITS as usize * R);
            }
        }
        let [even, odd] = acc;
        std::array::from_fn(|r| std::array::from_fn(|v| s.add(even[r][v], odd[r][v])))
    }
}
