//! Matrices as callers hand them in: slices with strides, checked once.

use base::{Result, ensure};

/// A matrix to read: element `(i, j)` lies at `data[i * row_stride + j * col_stride]`.
#[derive(Debug)]
pub struct Mat<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<T> Clone for Mat<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Mat<'_, T> {}

/// One more than the greatest offset of a `rows` by `cols` matrix; 0 if it is empty, `None` if that overflows.
pub(crate) fn extent(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    let down = (rows - 1).checked_mul(row_stride)?;
    let across = (cols - 1).checked_mul(col_stride)?;
    down.checked_add(across)?.checked_add(1)
}

impl<'a, T> Mat<'a, T> {
    /// A `rows` by `cols` matrix with the given strides, in elements. Strides may be 0 or make elements overlap.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is too short.
    pub fn new(data: &'a [T], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Result<Self> {
        let needed = extent(rows, cols, row_stride, col_stride);
        ensure!(
            needed.is_some_and(|n| n <= data.len()),
            InvalidArgument,
            "a {rows}x{cols} matrix with strides {row_stride} and {col_stride} does not fit {} elements",
            data.len()
        );
        Ok(Self { data, rows, cols, row_stride, col_stride })
    }

    /// A dense matrix, row by row.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is too short.
    pub fn row_major(data: &'a [T], rows: usize, cols: usize) -> Result<Self> {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transpose, of the same elements.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }
}

/// A matrix to write, with rows `row_stride` apart and columns next to each other.
#[derive(Debug)]
pub struct MatMut<'a, T> {
    pub(crate) data: &'a mut [T],
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
}

impl<'a, T> MatMut<'a, T> {
    /// A `rows` by `cols` matrix whose rows begin `row_stride` elements apart.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is too short or rows overlap.
    pub fn new(data: &'a mut [T], rows: usize, cols: usize, row_stride: usize) -> Result<Self> {
        let needed = extent(rows, cols, row_stride, 1);
        ensure!(
            needed.is_some_and(|n| n <= data.len()),
            InvalidArgument,
            "a {rows}x{cols} matrix with rows {row_stride} apart does not fit {} elements",
            data.len()
        );
        ensure!(rows <= 1 || row_stride >= cols, InvalidArgument, "rows of {cols} elements, {row_stride} apart, overlap");
        Ok(Self { data, rows, cols, row_stride })
    }

    /// A dense matrix, row by row.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is too short.
    pub fn row_major(data: &'a mut [T], rows: usize, cols: usize) -> Result<Self> {
        Self::new(data, rows, cols, cols)
    }
}

/// Many products of one shape: the sizes of the batch axes, outermost first, and for each operand the stride of each axis in elements.
/// A stride of 0 repeats an operand. The default is a single product.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batch<'a> {
    /// The sizes of the batch axes.
    pub dims: &'a [usize],
    /// Strides of the left operand.
    pub a: &'a [usize],
    /// Strides of the right operand.
    pub b: &'a [usize],
    /// Strides of the result; no two products may write the same element.
    pub c: &'a [usize],
}

/// Batch axes that can be handled; tensors of more axes do not occur once equal ones are merged.
pub(crate) const MAX_AXES: usize = 16;

impl Batch<'_> {
    /// The number of products, `None` if that overflows.
    pub(crate) fn count(&self) -> Option<usize> {
        self.dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
    }

    /// Checks that each list has one entry for each axis.
    pub(crate) fn check(&self) -> Result<()> {
        let n = self.dims.len();
        ensure!(n <= MAX_AXES, InvalidArgument, "{n} batch axes are more than {MAX_AXES}");
        for (name, strides) in [("A", self.a), ("B", self.b), ("C", self.c)] {
            ensure!(strides.len() == n, InvalidArgument, "{n} batch axes, but {} strides for {name}", strides.len());
        }
        Ok(())
    }
}

/// The offset of product `index` in an operand with the given strides.
#[inline]
pub(crate) fn batch_offset(mut index: usize, dims: &[usize], strides: &[usize]) -> usize {
    let mut offset = 0;
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        offset += index % dim * stride;
        index /= dim;
    }
    offset
}

/// The greatest offset of any product in an operand with the given strides; `None` if it overflows. No axis is empty.
pub(crate) fn batch_reach(dims: &[usize], strides: &[usize]) -> Option<usize> {
    dims.iter().zip(strides).try_fold(0usize, |n, (&d, &s)| n.checked_add((d - 1).checked_mul(s)?))
}

/// Whether all products share an operand.
pub(crate) fn is_shared(dims: &[usize], strides: &[usize]) -> bool {
    dims.iter().zip(strides).all(|(&d, &s)| d == 1 || s == 0)
}

/// Checks that the slice of `m` holds the matrix of each product.
pub(crate) fn covers<T>(name: &str, m: &Mat<'_, T>, dims: &[usize], strides: &[usize]) -> Result<()> {
    let own = extent(m.rows, m.cols, m.row_stride, m.col_stride);
    let needed = own.and_then(|e| e.checked_add(batch_reach(dims, strides)?));
    ensure!(
        m.rows == 0 || m.cols == 0 || needed.is_some_and(|e| e <= m.data.len()),
        InvalidArgument,
        "{name} of {} elements does not hold {dims:?} matrices of {}x{} with strides {strides:?}",
        m.data.len(),
        m.rows,
        m.cols
    );
    Ok(())
}

/// Whether the rows of one product go on evenly from those of the one before: each has `m` rows, `stride` apart.
pub(crate) fn goes_on(stride: usize, m: usize, dims: &[usize], batch: &[usize]) -> bool {
    let mut next = stride.checked_mul(m);
    for (&dim, &step) in dims.iter().zip(batch).rev() {
        if dim > 1 && next != Some(step) {
            return false;
        }
        next = next.and_then(|n| n.checked_mul(dim));
    }
    true
}

/// Checks that no two of the elements that the axes span share an offset: sorted by stride, each axis steps over all smaller ones.
pub(crate) fn check_disjoint(axes: &mut [(usize, usize)]) -> Result<()> {
    axes.sort_unstable_by_key(|&(stride, _)| stride);
    let mut reach = 0usize;
    for &(stride, dim) in axes.iter().filter(|&&(_, dim)| dim > 1) {
        ensure!(stride > reach, InvalidArgument, "a stride of {stride} makes elements of the result overlap");
        reach += (dim - 1) * stride;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_checked() {
        let x = [0.0f32; 12];
        assert!(Mat::row_major(&x, 3, 4).is_ok());
        assert!(Mat::row_major(&x, 4, 4).is_err());
        assert!(Mat::new(&x, 3, 4, 1, 3).is_ok());
        assert!(Mat::new(&x, 3, 4, 2, 3).is_err());
        assert!(Mat::new(&x, usize::MAX, 2, usize::MAX, 1).is_err());
        assert!(Mat::new(&x, usize::MAX, 0, usize::MAX, 1).is_ok());
        assert!(Mat::new(&x, 5, 12, 0, 1).is_ok());
        let mut y = [0.0f32; 12];
        assert!(MatMut::new(&mut y, 3, 4, 3).is_err());
        assert!(MatMut::new(&mut y, 2, 4, 8).is_ok());
        assert!(MatMut::new(&mut y, 3, 4, 5).is_err());
    }

    #[test]
    fn offsets_follow_the_axes() {
        assert_eq!(batch_offset(5, &[2, 3], &[100, 7]), 114);
        assert_eq!(batch_offset(0, &[], &[]), 0);
        assert_eq!(batch_reach(&[2, 3], &[100, 7]), Some(114));
        assert_eq!(batch_reach(&[2, 3], &[usize::MAX, 7]), None);
    }

    #[test]
    fn overlap_is_found() {
        // Heads interleaved in rows: [sequence, head, column] with row stride 8, head stride 4.
        assert!(check_disjoint(&mut [(4, 2), (8, 5), (1, 4)]).is_ok());
        assert!(check_disjoint(&mut [(3, 2), (8, 5), (1, 4)]).is_err());
        assert!(check_disjoint(&mut [(0, 2), (1, 4)]).is_err());
        assert!(check_disjoint(&mut [(0, 1), (1, 4)]).is_ok());
    }
}
