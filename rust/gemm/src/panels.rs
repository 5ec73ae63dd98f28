//! How rows and columns are cut into panels, the units of packing and of tiles.

use std::ops::Range;

use simd::Isa;

use crate::kernel::{Tiles, Visit, visit};
use crate::scalar::Scalar;

/// Rows cut into panels as even as can be: `m` rows of at most `max` each differ by one at most, so that no panel is a thin rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowPanels {
    pub(crate) count: usize,
    height: usize,
    /// Panels that have one row more.
    taller: usize,
}

impl RowPanels {
    pub(crate) fn new(m: usize, max: usize) -> Self {
        let count = m.div_ceil(max);
        if count == 0 {
            return Self { count, height: 0, taller: 0 };
        }
        Self { count, height: m / count, taller: m % count }
    }

    /// The first row of panel `i`; of `count`, the number of rows.
    #[inline]
    pub(crate) fn start(&self, i: usize) -> usize {
        i * self.height + i.min(self.taller)
    }

    /// The rows of panel `i`.
    #[inline]
    pub(crate) fn height(&self, i: usize) -> usize {
        self.height + usize::from(i < self.taller)
    }

    /// The rows of the panels in `range`.
    pub(crate) fn rows(&self, range: &Range<usize>) -> usize {
        self.start(range.end) - self.start(range.start)
    }
}

/// The tile of an element type on an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileShape {
    /// The most rows.
    pub(crate) rows: usize,
    /// Columns of a panel of B.
    pub(crate) cols: usize,
    /// Columns of one vector.
    pub(crate) lanes: usize,
}

impl TileShape {
    pub(crate) fn of<S: Tiles, T: Scalar>() -> Self {
        let ((rows, vectors), lanes) = (T::tile_shape::<S>(), T::lanes::<S>());
        Self { rows, cols: vectors * lanes, lanes }
    }

    /// The tile that `isa` is used with.
    pub(crate) fn on<T: Scalar>(isa: Isa) -> Self {
        struct Shape<T>(std::marker::PhantomData<T>);
        impl<T: Scalar> Visit for Shape<T> {
            type Output = TileShape;
            fn visit<S: Tiles>(self, _: S) -> TileShape {
                TileShape::of::<S, T>()
            }
        }
        visit(isa, Shape::<T>(std::marker::PhantomData))
    }
}

/// The greatest number of elements in any tile.
pub(crate) const MAX_TILE: usize = 14 * 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_cover_all_rows_evenly() {
        for m in 0..200 {
            for max in [1, 4, 6, 14] {
                let p = RowPanels::new(m, max);
                assert_eq!(p.start(p.count), m);
                for i in 0..p.count {
                    assert!((1..=max).contains(&p.height(i)));
                    assert_eq!(p.start(i) + p.height(i), p.start(i + 1));
                    assert!(p.height(0) - p.height(i) <= 1);
                }
            }
        }
    }

    #[test]
    fn no_tile_is_greater_than_the_buffer() {
        for isa in simd::isa::available() {
            for t in [TileShape::on::<f32>(isa), TileShape::on::<f64>(isa), TileShape::on::<i32>(isa), TileShape::on::<u64>(isa)] {
                assert!(t.rows * t.cols <= MAX_TILE && t.cols.is_multiple_of(t.lanes), "{isa:?} {t:?}");
            }
        }
    }
}
