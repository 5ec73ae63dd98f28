//! Copies whose neighbours are others in what is read than in what is written.

use ::cuda::Argument;

use super::{Axes, MAX_RANK};

/// Axes shorter than this are not worth a square of shared memory.
const SHORTEST: u64 = 8;

/// `Swap` of `movement.cu`: neighbours along `p` lie together in what is read, those along `q` in what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Swap {
    p: u64,
    q: u64,
    from_q: i64,
    to_p: i64,
}

// SAFETY: the kernel declares the same structure, which has no padding.
unsafe impl Argument for Swap {}

/// A copy that is made in squares of two axes.
pub(super) struct Swapped {
    /// The axes beside the two.
    pub others: Axes<2>,
    pub swap: Swap,
    /// One for each square.
    pub blocks: usize,
}

impl Axes<2> {
    /// The copy along these axes, of elements of `size` bytes, in squares: where one axis lies together in the first tensor and the last
    /// one in the second.
    pub(super) fn swapped(&self, size: usize) -> Option<Swapped> {
        let q = (self.rank as usize).checked_sub(1)?;
        let p = (0..q).find(|i| self.strides[0][*i] == 1)?;
        if self.strides[1][q] != 1 || self.dims[p].min(self.dims[q]) < SHORTEST {
            return None;
        }
        let mut others = Self { rank: 0, dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; 2] };
        for i in (0..q).filter(|i| *i != p) {
            let at = others.rank as usize;
            others.dims[at] = self.dims[i];
            (0..2).for_each(|k| others.strides[k][at] = self.strides[k][i]);
            others.rank += 1;
        }
        let swap = Swap { p: self.dims[p], q: self.dims[q], from_q: self.strides[0][q], to_p: self.strides[1][p] };
        let side = if size < 4 { 64 } else { 32 };
        let blocks = others.len() * (swap.p.div_ceil(side) * swap.q.div_ceil(side)) as usize;
        Some(Swapped { others, swap, blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_that_change_places_are_found() {
        let image = Axes::<2>::new(&[2, 40, 50, 9], [&[18000, 50, 1, 2000], &[18000, 450, 9, 1]]).unwrap();
        let Swapped { others, swap, blocks } = image.swapped(4).unwrap();
        assert_eq!(swap, Swap { p: 2000, q: 9, from_q: 2000, to_p: 9 });
        assert_eq!((others.len(), blocks), (2, 2 * 63));
        let heads = Axes::<2>::new(&[2, 12, 50, 64], [&[38400, 64, 768, 1], &[38400, 3200, 64, 1]]).unwrap();
        assert!(heads.swapped(4).is_none(), "neighbours stay neighbours");
    }
}
