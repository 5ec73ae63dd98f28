//! The axes that tensors are walked along together, as kernels take them.

use ::cuda::Argument;
use base::{Layout, Result, Shape, TensorRef, ensure, error};

/// More axes than that have no kernel, after those that lie evenly are merged.
pub const MAX_RANK: usize = 8;

/// The axes that `K` tensors are walked along together, outermost first: `Axes` of `common.cuh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Axes<const K: usize> {
    pub(super) rank: u64,
    pub(super) dims: [u64; MAX_RANK],
    pub(super) strides: [[i64; MAX_RANK]; K],
}

/// Kernels move elements of so many bytes at most.
const LARGEST: usize = 16;

// SAFETY: the kernels declare the same structure, which has no padding.
unsafe impl<const K: usize> Argument for Axes<K> {}

impl<const K: usize> Axes<K> {
    /// Axes of sizes `dims`, along which tensor `k` advances by `strides[k]` elements. Axes of size 1 are dropped, and neighbours that
    /// lie evenly in all tensors are merged.
    ///
    /// # Errors
    /// `NotImplemented` when more are left than kernels take.
    pub fn new(dims: &[usize], strides: [&[isize]; K]) -> Result<Self> {
        let mut axes = Self { rank: 0, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
        for (i, &dim) in dims.iter().enumerate() {
            ensure!(strides.iter().all(|s| s.len() == dims.len()), Fail, "strides for other axes than {}", Shape::from(dims));
            let here = strides.map(|s| s[i] as i64);
            if dim == 1 {
                continue;
            }
            let last = (axes.rank as usize).checked_sub(1);
            let even = |k: usize, last: usize| axes.strides[k][last] == here[k].wrapping_mul(dim as i64);
            match last.filter(|last| (0..K).all(|k| even(k, *last))) {
                Some(last) => axes.dims[last] *= dim as u64,
                None => {
                    let rank = axes.rank as usize;
                    ensure!(rank < MAX_RANK, NotImplemented, "shape {} has more than {MAX_RANK} axes for CUDA", Shape::from(dims));
                    axes.dims[rank] = dim as u64;
                    axes.rank += 1;
                }
            }
            let at = axes.rank as usize - 1;
            (0..K).for_each(|k| axes.strides[k][at] = here[k]);
        }
        Ok(axes)
    }

    /// The one axis that is left, with its size and the strides along it; an axis of size 1 where none is. `None` for more axes.
    pub fn single(&self) -> Option<(u64, [i64; K])> {
        let strides = std::array::from_fn(|k| if self.rank == 0 { 0 } else { self.strides[k][0] });
        (self.rank < 2).then_some((self.dims[0], strides))
    }

    /// How many elements are walked along.
    pub(super) fn len(&self) -> usize {
        self.dims[..self.rank as usize].iter().product::<u64>() as usize
    }

    /// The same bytes in fewer, larger elements, as far as neighbours lie together in all tensors and kernels move elements of that
    /// size. Elements have `size` bytes, and begin at `addresses`. With the new size.
    pub(super) fn joined(mut self, mut size: usize, addresses: [u64; K]) -> (Self, usize) {
        while size < LARGEST && self.joins(2 * size as u64, addresses) {
            let last = self.rank as usize - 1;
            self.dims[last] /= 2;
            for strides in &mut self.strides {
                strides[..last].iter_mut().for_each(|s| *s /= 2);
            }
            size *= 2;
        }
        (self, size)
    }

    /// Whether two neighbours on the last axis, `size` bytes together, can be one element.
    fn joins(&self, size: u64, addresses: [u64; K]) -> bool {
        let Some(last) = (self.rank as usize).checked_sub(1) else { return false };
        let together = |s: &[i64; MAX_RANK]| s[last] == 1 && s[..last].iter().all(|s| s % 2 == 0);
        self.dims[last].is_multiple_of(2) && self.strides.iter().all(together) && addresses.iter().all(|a| a.is_multiple_of(size))
    }

    /// Tensors of shapes `shapes`, dense, broadcast to `dims`.
    ///
    /// # Errors
    /// `InvalidArgument` when one does not broadcast.
    pub fn broadcast(dims: &[usize], shapes: [&[usize]; K]) -> Result<Self> {
        let strides = shapes.map(|shape| broadcast_strides(shape, dims));
        let mut lists: [Vec<isize>; K] = std::array::from_fn(|_| Vec::new());
        for (list, strides) in lists.iter_mut().zip(strides) {
            *list = strides?;
        }
        Self::new(dims, lists.each_ref().map(Vec::as_slice))
    }
}

/// Rows of `row` elements of `size` bytes, which begin at multiples of their length from `addresses` on, in fewer, larger elements: how
/// many, and of what size.
pub fn joined_row(mut row: usize, mut size: usize, addresses: [u64; 2]) -> (usize, usize) {
    while size < LARGEST && row > 0 && row.is_multiple_of(2) && addresses.iter().all(|a| a.is_multiple_of(2 * size as u64)) {
        (row, size) = (row / 2, 2 * size);
    }
    (row, size)
}

/// The distance of neighbours along each of `dims` in a dense tensor of `shape` that is broadcast to them.
fn broadcast_strides(shape: &[usize], dims: &[usize]) -> Result<Vec<isize>> {
    let refuse = || error!(InvalidArgument, "shape {} does not broadcast to {}", Shape::from(shape), Shape::from(dims));
    let added = dims.len().checked_sub(shape.len()).ok_or_else(refuse)?;
    let dense = base::dense_strides(shape);
    let mut strides = vec![0; dims.len()];
    for (i, (&size, &stride)) in shape.iter().zip(&dense).enumerate() {
        ensure!(size == 1 || size == dims[added + i], InvalidArgument, "{}", refuse().detail());
        strides[added + i] = if size == 1 { 0 } else { stride };
    }
    Ok(strides)
}

/// The strides of a tensor on a device.
///
/// # Errors
/// `Fail` when its layout is blocked.
pub(super) fn strides_of(tensor: &TensorRef<'_>) -> Result<Vec<isize>> {
    strides(tensor.layout(), tensor.shape())
}

pub(super) fn strides(layout: &Layout, shape: &[usize]) -> Result<Vec<isize>> {
    layout.strides(shape).map(|s| s.to_vec()).ok_or_else(|| error!(Fail, "a blocked tensor cannot be walked by its axes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_neighbours_merge() {
        let a = Axes::<2>::broadcast(&[2, 3, 4], [&[2, 3, 4], &[4]]).unwrap();
        assert_eq!((a.rank, &a.dims[..2]), (2, &[6, 4][..]));
        assert_eq!((&a.strides[0][..2], &a.strides[1][..2]), (&[4, 1][..], &[0, 1][..]));
        let a = Axes::<1>::new(&[5, 1, 7], [&[7, 99, 1]]).unwrap();
        assert_eq!((a.rank, a.dims[0], a.strides[0][0]), (1, 35, 1));
        let none = Axes::<1>::new(&[], [&[]]).unwrap();
        assert_eq!((none.rank, none.single(), a.single()), (0, Some((1, [0])), Some((35, [1]))));
    }

    #[test]
    fn neighbours_join() {
        let rows = |by: isize| Axes::<2>::new(&[3, 12], [&[by, 1], &[12, 1]]).unwrap();
        let (a, size) = rows(20).joined(2, [64, 128]);
        assert_eq!((size, a.len(), &a.dims[..2], &a.strides[0][..2]), (8, 9, &[3, 3][..], &[5, 1][..]));
        assert_eq!(rows(21).joined(2, [64, 128]).1, 2, "lines begin anywhere");
        assert_eq!(rows(20).joined(2, [64, 132]).1, 4, "so does the target");
        assert_eq!(Axes::<1>::new(&[], [&[]]).unwrap().joined(4, [0]).1, 4);
        assert_eq!(Axes::<1>::new(&[64], [&[1]]).unwrap().joined(1, [0]).1, 16);
        assert_eq!((joined_row(12, 2, [32, 64]), joined_row(12, 2, [32, 36]), joined_row(0, 4, [0, 0])), ((3, 8), (6, 4), (0, 4)));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Axes::<1>::broadcast(&[2, 3], [&[2]]).is_err());
        assert!(Axes::<1>::broadcast(&[3], [&[1, 3]]).is_err());
        let strides: Vec<isize> = (0..9).map(|i| 1 - i * i).collect();
        assert!(Axes::<1>::new(&[2; 9], [&strides]).is_err());
    }
}
