//! The shapes of a batched matrix product: which axes are rows, columns and batch, and how the batch axes broadcast.

use base::{Result, Shape, Strides, dense_strides, ensure};
use ir::{Dim, Dims};

/// How an operand of a product lies: which of its axes are its rows, its columns and its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    /// The matrix is transposed.
    pub(crate) transposed: bool,
    /// The rows are the first axis, before the batch axes.
    pub(crate) rows_first: bool,
}

/// Which axes of an operand are rows, columns and batch; of a vector, the missing one is `None`.
struct Axes {
    rows: Option<usize>,
    cols: Option<usize>,
    batch: std::ops::Range<usize>,
}

impl Form {
    fn axes(self, rank: usize, left: bool) -> Axes {
        if rank < 2 {
            let only = (rank == 1).then_some(0);
            return if left { Axes { rows: None, cols: only, batch: 0..0 } } else { Axes { rows: only, cols: None, batch: 0..0 } };
        }
        let (rows, batch) = if self.rows_first { (0, 1..rank - 1) } else { (rank - 2, 0..rank - 2) };
        let (rows, cols) = if self.transposed { (rank - 1, rows) } else { (rows, rank - 1) };
        Axes { rows: Some(rows), cols: Some(cols), batch }
    }
}

/// The sizes of the result of a product.
///
/// # Errors
/// `InvalidGraph` when an operand is a scalar, the inner sizes differ or the batch axes do not broadcast.
pub(crate) fn infer(a: &[Dim], a_form: Form, b: &[Dim], b_form: Form) -> Result<Dims> {
    ensure!(!a.is_empty() && !b.is_empty(), InvalidGraph, "a matrix product of shapes {a:?} and {b:?} has a scalar");
    let (x, y) = (a_form.axes(a.len(), true), b_form.axes(b.len(), false));
    if let (Some(i), Some(j)) = (x.cols, y.rows) {
        let differ = a[i].known().zip(b[j].known()).is_some_and(|(a, b)| a != b);
        ensure!(!differ, InvalidGraph, "Incompatible dimensions for matrix multiplication: {a:?} and {b:?}");
    }
    let batch = op::broadcast_dims(&[Some(&a[x.batch]), Some(&b[y.batch])])?.unwrap_or_default();
    Ok(batch.into_iter().chain(x.rows.map(|i| a[i].clone())).chain(y.cols.map(|j| b[j].clone())).collect())
}

/// One operand among concrete sizes.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
    /// The stride of each batch axis of the result; 0 where it is broadcast.
    pub(crate) batch: Shape,
}

/// A batched product of concrete sizes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// The batch axes, those merged that can be.
    pub(crate) dims: Shape,
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) c: Shape,
    /// The shape of the result.
    pub(crate) shape: Shape,
}

impl Plan {
    /// The product of dense operands of shapes `a` and `b`.
    ///
    /// # Errors
    /// `Fail` when the inner sizes differ or the batch axes do not broadcast.
    pub(crate) fn new(a: &[usize], a_form: Form, b: &[usize], b_form: Form) -> Result<Self> {
        ensure!(!a.is_empty() && !b.is_empty(), InvalidArgument, "a matrix product of {} and {}", Shape::from(a), Shape::from(b));
        let (x, y) = (a_form.axes(a.len(), true), b_form.axes(b.len(), false));
        let size = |shape: &[usize], axis: Option<usize>| axis.map_or(1, |i| shape[i]);
        let (m, k, n) = (size(a, x.rows), size(a, x.cols), size(b, y.cols));
        ensure!(k == size(b, y.rows), Fail, "matrices of shapes {} and {} have no product", Shape::from(a), Shape::from(b));
        let batch = base::broadcast(&a[x.batch.clone()], &b[y.batch.clone()])?;
        let shape: Shape = batch.iter().copied().chain(x.rows.map(|i| a[i])).chain(y.cols.map(|j| b[j])).collect();
        ensure!(Shape::checked_len(&shape).is_some(), InvalidArgument, "a product of shape {shape} is too large");
        let (a, b) = (side(a, &x, &batch), side(b, &y, &batch));
        let mut c = dense_strides(&batch);
        c.iter_mut().for_each(|s| *s *= (m * n) as isize);
        Ok(Self { m, n, k, dims: batch, a, b, c: unsigned(&c), shape }.merged())
    }

    /// How many products there are.
    pub(crate) fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// The same with neighbouring batch axes merged that lie evenly in all operands.
    fn merged(mut self) -> Self {
        let mut axis = self.dims.len();
        while axis > 1 {
            axis -= 1;
            let even = |s: &[usize]| s[axis - 1] == s[axis] * self.dims[axis];
            if self.dims[axis] == 1 || (even(&self.a.batch) && even(&self.b.batch) && even(&self.c)) {
                self.drop_axis(axis, axis - 1);
            } else if self.dims[axis - 1] == 1 {
                self.drop_axis(axis - 1, axis);
            }
        }
        self
    }

    /// Takes `axis` out, its size going to `into`.
    fn drop_axis(&mut self, axis: usize, into: usize) {
        self.dims.dims_mut()[into] *= self.dims[axis];
        let outer_goes = axis < into;
        for strides in [&mut self.a.batch, &mut self.b.batch, &mut self.c] {
            let inner = strides[axis];
            if !outer_goes && self.dims[axis] > 1 {
                strides.dims_mut()[into] = inner;
            }
            strides.remove(axis);
        }
        self.dims.remove(axis);
    }
}

fn side(shape: &[usize], axes: &Axes, batch: &[usize]) -> Side {
    let strides = dense_strides(shape);
    let stride = |axis: Option<usize>| axis.map_or(0, |i| strides[i] as usize);
    let missing = batch.len() - axes.batch.len();
    let along = |i: usize| {
        let axis = axes.batch.start + i.checked_sub(missing)?;
        Some(if shape[axis] == 1 { 0 } else { strides[axis] as usize })
    };
    let mut row_stride = stride(axes.rows);
    let col_stride = stride(axes.cols);
    // The one row of a vector on the left may have any stride, but kernels look for dense ones.
    if axes.rows.is_none() {
        row_stride = shape.first().copied().unwrap_or(1);
    }
    Side { row_stride, col_stride, batch: (0..batch.len()).map(|i| along(i).unwrap_or(0)).collect() }
}

fn unsigned(strides: &Strides) -> Shape {
    strides.iter().map(|s| *s as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Form = Form { transposed: false, rows_first: false };
    const TRANSPOSED: Form = Form { transposed: true, rows_first: false };

    #[test]
    fn batch_axes_merge() {
        let p = Plan::new(&[2, 3, 4, 5], PLAIN, &[5, 6], PLAIN).unwrap();
        assert_eq!((&*p.dims, &*p.a.batch, &*p.b.batch, &*p.c), (&[6][..], &[20][..], &[0][..], &[24][..]));
        let p = Plan::new(&[2, 3, 4, 5], PLAIN, &[2, 3, 5, 6], PLAIN).unwrap();
        assert_eq!((&*p.dims, &*p.a.batch, &*p.b.batch), (&[6][..], &[20][..], &[30][..]));
        let p = Plan::new(&[2, 1, 4, 5], PLAIN, &[3, 5, 6], PLAIN).unwrap();
        assert_eq!((&*p.dims, &*p.a.batch, &*p.b.batch), (&[2, 3][..], &[20, 0][..], &[0, 30][..]));
        assert_eq!(&*p.shape, [2, 3, 4, 6]);
        let p = Plan::new(&[1, 7, 4, 5], PLAIN, &[7, 5, 6], PLAIN).unwrap();
        assert_eq!((&*p.dims, &*p.a.batch, &*p.b.batch, &*p.c), (&[7][..], &[20][..], &[30][..], &[24][..]));
    }

    #[test]
    fn vectors_lose_their_axis() {
        assert_eq!(&*Plan::new(&[3], PLAIN, &[3], PLAIN).unwrap().shape, []);
        assert_eq!(&*Plan::new(&[3], PLAIN, &[2, 3, 4], PLAIN).unwrap().shape, [2, 4]);
        assert_eq!(&*Plan::new(&[2, 4, 3], PLAIN, &[3], PLAIN).unwrap().shape, [2, 4]);
        assert!(Plan::new(&[], PLAIN, &[3], PLAIN).is_err());
    }

    #[test]
    fn forms_change_strides() {
        let p = Plan::new(&[2, 5, 4], TRANSPOSED, &[2, 6, 5], TRANSPOSED).unwrap();
        assert_eq!((p.m, p.k, p.n), (4, 5, 6));
        assert_eq!((p.a.row_stride, p.a.col_stride, p.b.row_stride, p.b.col_stride), (1, 4, 1, 5));
        let first = Form { transposed: false, rows_first: true };
        let p = Plan::new(&[4, 2, 5], first, &[2, 5, 6], PLAIN).unwrap();
        assert_eq!((p.m, p.k, p.n, &*p.dims), (4, 5, 6, &[2][..]));
        assert_eq!((p.a.row_stride, p.a.col_stride, p.a.batch[0]), (10, 1, 5));
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        assert!(Plan::new(&[2, 3], PLAIN, &[2, 3], PLAIN).unwrap_err().detail().contains("{2,3} and {2,3}"));
        assert!(Plan::new(&[2, 3, 3], PLAIN, &[4, 3, 3], PLAIN).is_err());
    }
}
