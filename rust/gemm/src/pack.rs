//! Packing: operands rearranged so that the microkernel reads them in the order of their addresses.
//!
//! A panel of A holds, for each step of `k`, the values of its rows; a panel of B, for each step, the values of its columns, padded with
//! zeros to the width of a tile. Panels follow each other.

use base::threads::{paced, pieces};
use simd::{Kernel, MAX_LANES, Simd};

use crate::kernel::STEPS;
use crate::matrix::Mat;
use crate::scalar::Scalar;

/// Packs rows `row..row + rows` of `a` for steps `0..k` into a panel.
#[doc(hidden)]
pub struct PackA<'a, T: Scalar> {
    pub(crate) a: Mat<'a, T>,
    /// Where the matrix begins in its slice: the batch item.
    pub(crate) offset: usize,
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) dst: *mut T::Acc,
}

impl<T: Scalar> Kernel for PackA<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, offset, row, rows, dst } = self;
        let k = a.cols;
        // SAFETY: the matrix was checked to lie in its slice, and `dst` holds `rows * k` values.
        unsafe {
            let src = a.data.as_ptr().add(offset + row * a.row_stride);
            if a.col_stride == 1 {
                for piece in pieces(k, STEPS) {
                    T::transpose(s, src.add(piece.start), a.row_stride, rows, piece.len(), dst.add(piece.start * rows), rows);
                }
                return;
            }
            for p in paced(0..k, 2 * rows) {
                for r in 0..rows {
                    dst.add(p * rows + r).write((*src.add(p * a.col_stride + r * a.row_stride)).widen());
                }
            }
        }
    }
}

/// Packs panels of `width` columns from column `col` on; `dst` takes the first of `panels`.
#[doc(hidden)]
pub struct PackB<'a, T: Scalar> {
    pub(crate) b: Mat<'a, T>,
    /// Where the matrix begins in its slice: the batch item.
    pub(crate) offset: usize,
    pub(crate) col: usize,
    pub(crate) panels: usize,
    pub(crate) width: usize,
    pub(crate) dst: *mut T,
}

/// Rows of B read for all panels before the next: long enough runs of each row, few enough pages at once.
const ROWS_AT_ONCE: usize = 16;

impl<T: Scalar> Kernel for PackB<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.b.rows;
        for p in paced((0..k).step_by(ROWS_AT_ONCE), ROWS_AT_ONCE * self.panels * self.width / 4) {
            let steps = ROWS_AT_ONCE.min(k - p);
            for panel in 0..self.panels {
                let cols = self.width.min(self.b.cols - self.col - panel * self.width);
                // SAFETY: the block lies in the matrix, which was checked to lie in its slice; `dst` holds all panels.
                unsafe { self.block(s, p, steps, panel, cols) }
            }
        }
    }
}

impl<T: Scalar> PackB<'_, T> {
    /// Packs `steps` rows from `p` on of one panel.
    ///
    /// # Safety
    /// The panel has `cols` columns in the matrix, and `dst` holds it.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, s: S, p: usize, steps: usize, panel: usize, cols: usize) {
        let Self { b, width, .. } = *self;
        let col = self.col + panel * width;
        // SAFETY: as the caller says.
        unsafe {
            let src = b.data.as_ptr().add(self.offset + p * b.row_stride + col * b.col_stride);
            let dst = self.dst.add((panel * b.rows + p) * width);
            if b.col_stride == 1 && cols == width {
                copy_rows::<S, T>(src, b.row_stride, dst, width, steps);
            } else if b.row_stride == 1 && T::IS_ACC {
                let lanes = S::LANES.min(width);
                for c in (0..cols).step_by(lanes) {
                    let n = lanes.min(cols - c);
                    T::transpose(s, src.add(c * b.col_stride), b.col_stride, n, steps, dst.add(c).cast(), width);
                }
                pad(dst, width, cols, steps);
            } else {
                for i in 0..steps {
                    for c in 0..cols {
                        dst.add(i * width + c).write(*src.add(i * b.row_stride + c * b.col_stride));
                    }
                }
                pad(dst, width, cols, steps);
            }
        }
    }
}

/// Copies `steps` rows of `width` values.
///
/// # Safety
/// Both pointers are good for them.
#[inline(always)]
unsafe fn copy_rows<S: Simd, T: Scalar>(src: *const T, stride: usize, dst: *mut T, width: usize, steps: usize) {
    let lanes = T::lanes::<S>();
    for i in 0..steps {
        for c in (0..width).step_by(lanes) {
            // The count is a constant here, which makes this a vector load and store.
            // SAFETY: the width of a panel is a multiple of the lanes.
            unsafe { std::ptr::copy_nonoverlapping(src.add(i * stride + c), dst.add(i * width + c), lanes) }
        }
    }
}

/// Writes zeros to columns `cols..width` of `steps` rows.
///
/// # Safety
/// `dst` is good for the rows.
#[inline(always)]
unsafe fn pad<T: Scalar>(dst: *mut T, width: usize, cols: usize, steps: usize) {
    for i in 0..steps {
        for c in cols..width {
            // SAFETY: as the caller says.
            unsafe { dst.add(i * width + c).write(T::default()) }
        }
    }
}

/// Transposes `rows` rows of `k` values into `k` rows of `rows` values, `dst_stride` apart, widening them.
///
/// # Safety
/// `src` is good for `rows` rows `stride` apart, `dst` for `k` rows.
#[inline(always)]
pub(crate) unsafe fn transpose_f32<S: Simd, T>(s: S, src: *const T, stride: usize, rows: usize, k: usize, dst: *mut f32, dst_stride: usize)
where
    T: Scalar<Acc = f32, V<S> = S::F>,
{
    let whole = if rows <= S::LANES { k - k % S::LANES } else { 0 };
    for p in (0..whole).step_by(S::LANES) {
        // SAFETY: `LANES` values of each row are left from `p` on.
        unsafe {
            let dst = dst.add(p * dst_stride);
            if T::IS_ACC {
                s.transpose(src.add(p).cast(), stride, rows, dst, dst_stride);
                continue;
            }
            let mut wide = [0.0f32; MAX_LANES * MAX_LANES];
            for r in 0..rows {
                s.store(wide.as_mut_ptr().add(r * S::LANES), T::load(s, src.add(r * stride + p)));
            }
            s.transpose(wide.as_ptr(), S::LANES, rows, dst, dst_stride);
        }
    }
    for r in 0..rows {
        for p in whole..k {
            // SAFETY: as the caller says.
            unsafe { dst.add(p * dst_stride + r).write((*src.add(r * stride + p)).widen()) }
        }
    }
}
