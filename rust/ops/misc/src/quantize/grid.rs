//! How scales lie over a tensor.

use std::ops::Range;

/// Elements of one segment at most: as much as fits on the stack of a kernel.
pub(crate) const SEGMENT: usize = 512;

/// How scales lie over a tensor: a dense tensor is cut into rows, and each row knows its scales.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    /// Elements of a row.
    row: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// One scale for all.
    Tensor,
    /// One scale for each row; they repeat after so many rows.
    Rows(usize),
    /// One scale for each element of a row.
    Columns,
    /// Rows are cut into blocks of so many elements, one scale each.
    Blocks(usize),
    /// So many rows share the scales of their elements, and they start anew after so many rows.
    Bands(usize, usize),
}

/// A run of elements with their scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The first element.
    pub(crate) start: usize,
    /// How many there are, at most [`SEGMENT`].
    pub(crate) len: usize,
    /// The scale of the first element.
    pub(crate) scale: usize,
    /// Whether all have the same scale; else each has the next.
    pub(crate) uniform: bool,
}

impl Grid {
    pub(crate) fn tensor(x: &[usize]) -> Self {
        Self { row: x.iter().product::<usize>().max(1), kind: Kind::Tensor }
    }

    pub(crate) fn axis(x: &[usize], axis: usize) -> Self {
        match x[axis + 1..].iter().product() {
            1 => Self { row: x[axis], kind: Kind::Columns },
            inner => Self { row: inner, kind: Kind::Rows(x[axis]) },
        }
    }

    pub(crate) fn blocks(x: &[usize], axis: usize, block: usize) -> Self {
        match x[axis + 1..].iter().product() {
            1 => Self { row: x[axis], kind: Kind::Blocks(block) },
            inner => Self { row: inner, kind: Kind::Bands(block, x[axis]) },
        }
    }

    /// The segments of the elements `range`, in order.
    pub(crate) fn segments(self, range: Range<usize>) -> impl Iterator<Item = Segment> {
        let mut next = range.start;
        std::iter::from_fn(move || {
            let segment = (next < range.end).then(|| self.segment(next, range.end))?;
            next += segment.len;
            Some(segment)
        })
    }

    fn segment(self, start: usize, end: usize) -> Segment {
        let (row, at) = (start / self.row, start % self.row);
        let len = (self.row - at).min(end - start).min(SEGMENT);
        match self.kind {
            Kind::Tensor => Segment { start, len, scale: 0, uniform: true },
            Kind::Rows(scales) => Segment { start, len, scale: row % scales, uniform: true },
            Kind::Columns => Segment { start, len, scale: at, uniform: false },
            Kind::Blocks(block) => {
                let scale = row * self.row.div_ceil(block) + at / block;
                Segment { start, len: len.min(block - at % block), scale, uniform: true }
            }
            Kind::Bands(block, rows) => {
                let band = row / rows * rows.div_ceil(block) + row % rows / block;
                Segment { start, len, scale: band * self.row + at, uniform: false }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scale of every element, by the definition of granularities.
    fn expected(x: &[usize], axis: usize, block: usize, blocked: bool) -> Vec<usize> {
        let inner: usize = x[axis + 1..].iter().product();
        let scales = x[axis].div_ceil(block);
        let of = |i: usize| {
            let (o, a, i) = (i / inner / x[axis], i / inner % x[axis], i % inner);
            if blocked { (o * scales + a / block) * inner + i } else { a }
        };
        (0..x.iter().product()).map(of).collect()
    }

    fn spread(grid: Grid, len: usize, chunk: usize) -> Vec<usize> {
        let ranges = (0..len).step_by(chunk).map(|s| s..len.min(s + chunk));
        let segments: Vec<Segment> = ranges.flat_map(|r| grid.segments(r)).collect();
        assert!(segments.iter().all(|s| s.len > 0 && s.len <= SEGMENT));
        segments.iter().flat_map(|s| (0..s.len).map(|i| if s.uniform { s.scale } else { s.scale + i })).collect()
    }

    #[test]
    fn every_element_finds_its_scale() {
        for x in [&[7][..], &[3, 5], &[2, 3, 4], &[2, 600, 3], &[3, 2, 1]] {
            let len: usize = x.iter().product();
            for axis in 0..x.len() {
                for chunk in [1, 4, len.max(1)] {
                    assert_eq!(spread(Grid::axis(x, axis), len, chunk), expected(x, axis, 1, false), "{x:?} {axis}");
                    for block in [1, 2, 3, 1000] {
                        assert_eq!(
                            spread(Grid::blocks(x, axis, block), len, chunk),
                            expected(x, axis, block, true),
                            "{x:?} {axis} {block}"
                        );
                    }
                }
            }
            assert!(spread(Grid::tensor(x), len, 4).iter().all(|s| *s == 0));
        }
    }
}
