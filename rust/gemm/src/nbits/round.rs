//! Rows of A rounded to eight bits, each block with a scale of its own.

use simd::{Kernel, MAX_LANES, Simd};

use crate::matrix::Mat;
use crate::scalar::Float;

/// The greatest size of a rounded value.
const GREATEST: f32 = 127.0;

/// Rounds rows `row..row + rows` of `a`, which follow each other in the destination as a row panel.
#[doc(hidden)]
pub struct RoundRows<'a, T> {
    pub(super) a: Mat<'a, T>,
    pub(super) row: usize,
    pub(super) rows: usize,
    /// Values of a block, and how many bits its weights have.
    pub(super) block: usize,
    pub(super) bits: usize,
    /// For each group of four a word of each row; for each block a scale and a sum of each row.
    pub(super) words: *mut u32,
    pub(super) scales: *mut f32,
    pub(super) sums: *mut i32,
}

impl<T: Float> Kernel for RoundRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, block, rows, .. } = self;
        let mut values = [0.0f32; MAX_BLOCK];
        let mut bytes = [0i8; MAX_BLOCK];
        for r in 0..rows {
            for index in 0..a.cols.div_ceil(block) {
                let first = index * block;
                // Long blocks are rounded in pieces, all with the scale of the whole.
                let scale = self.greatest(s, r, first, &mut values) / GREATEST;
                let factor = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                let mut sum = 0i32;
                for piece in (0..block).step_by(MAX_BLOCK) {
                    let n = MAX_BLOCK.min(block - piece);
                    self.load(s, r, first + piece, &mut values[..n]);
                    sum += round(s, &values[..n], factor, &mut bytes[..n]);
                    // SAFETY: the destination has a word for each group and row.
                    unsafe { self.store(&bytes[..n], first + piece, r) }
                }
                // SAFETY: there is a scale and a sum for each block and row.
                unsafe {
                    self.scales.add(index * rows + r).write(scale);
                    self.sums.add(index * rows + r).write(sum);
                }
            }
        }
    }
}

/// Values rounded at a time.
const MAX_BLOCK: usize = 256;

impl<T: Float> RoundRows<'_, T> {
    /// Loads values from column `first` on; zeros stand for those past the end.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, r: usize, first: usize, values: &mut [f32]) {
        let Mat { data, cols, row_stride, col_stride, .. } = self.a;
        let inside = values.len().min(cols.saturating_sub(first));
        values[inside..].fill(0.0);
        let start = (self.row + r) * row_stride + first * col_stride;
        let mut i = 0;
        while col_stride == 1 && i + S::LANES <= inside {
            // SAFETY: the matrix was checked to lie in its slice, and holds a vector from here on.
            unsafe { s.store(values.as_mut_ptr().add(i), T::load_float(s, data.as_ptr().add(start + i))) }
            i += S::LANES;
        }
        for (i, x) in values[..inside].iter_mut().enumerate().skip(i) {
            *x = data[start + i * col_stride].widen();
        }
    }

    /// The greatest size of the block's values; NaN if one is.
    #[inline(always)]
    fn greatest<S: Simd>(&self, s: S, r: usize, first: usize, values: &mut [f32; MAX_BLOCK]) -> f32 {
        let mut greatest = s.zero();
        for piece in (0..self.block).step_by(MAX_BLOCK) {
            let n = MAX_BLOCK.min(self.block - piece);
            self.load(s, r, first + piece, &mut values[..n]);
            for i in (0..n).step_by(S::LANES) {
                // SAFETY: blocks are whole vectors, for they are multiples of sixteen.
                greatest = s.max_nan(greatest, s.abs(unsafe { s.load(values.as_ptr().add(i)) }));
            }
        }
        s.reduce_max(greatest)
    }

    /// Stores rounded values, which begin with value `first` of the row, in groups of four.
    ///
    /// # Safety
    /// The destination has a word for each group and row.
    #[inline(always)]
    unsafe fn store(&self, bytes: &[i8], first: usize, r: usize) {
        let groups = 8 / self.bits;
        // A packed word of weights holds four bytes of `groups` weights each.
        for (w, word) in bytes.chunks_exact(4 * groups).enumerate() {
            for i in 0..groups {
                let four: [u8; 4] = std::array::from_fn(|j| word[j * groups + i] as u8);
                let at = (first / 4 + w * groups + i) * self.rows + r;
                // SAFETY: as the caller says.
                unsafe { self.words.add(at).write(u32::from_ne_bytes(four)) }
            }
        }
    }
}

/// Rounds `values` times `factor` to nearest even; gives the sum.
#[inline(always)]
fn round<S: Simd>(s: S, values: &[f32], factor: f32, bytes: &mut [i8]) -> i32 {
    let mut sum = s.isplat(0);
    let mut lanes = [0i32; MAX_LANES];
    for i in (0..values.len()).step_by(S::LANES) {
        // SAFETY: blocks are whole vectors, and the array holds one.
        unsafe {
            let x = s.to_int(s.mul(s.load(values.as_ptr().add(i)), s.splat(factor)));
            sum = s.iadd(sum, x);
            s.istore(lanes.as_mut_ptr(), x);
        }
        for (b, &x) in bytes[i..].iter_mut().zip(&lanes[..S::LANES]) {
            *b = x as i8;
        }
    }
    // SAFETY: the array holds a vector.
    unsafe { s.istore(lanes.as_mut_ptr(), sum) }
    lanes[..S::LANES].iter().fold(0, |sum, &x| sum.wrapping_add(x))
}
