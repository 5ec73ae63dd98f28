//! Right operands that are not in memory as a matrix: their panels are written when they are needed.

use std::fmt;
use std::ops::Range;

/// A right operand whose columns are made on demand: patches of an image, dequantized weights.
pub trait Columns<T>: Sync + fmt::Debug {
    /// The rows of the operand, the length of the products.
    fn rows(&self) -> usize;

    /// The columns of the operand.
    fn cols(&self) -> usize;

    /// Writes the given columns of product `item` (0 if all products share the operand): element `(k, j)` to
    /// `panel[k * width + j - cols.start]`. `cols` begins at a multiple of `width` and is no longer than it; `panel` holds `rows() * width`
    /// zeros.
    fn fill(&self, item: usize, cols: Range<usize>, width: usize, panel: &mut [T]);
}
