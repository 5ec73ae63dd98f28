//! Weights in blocks of few bits, as the tools of quantization make them.

pub mod bnb4;
pub mod columns;
pub mod fp4;
mod grid;
pub mod rows;

use base::{Element, Result, ensure, error};
use half::f16;

/// The numbers that weights are.
pub trait Weight: Element {
    /// The number in 32 bits.
    fn wide(self) -> f32;
    /// The nearest number of this type.
    fn narrow(x: f32) -> Self;
}

impl Weight for f32 {
    fn wide(self) -> f32 {
        self
    }

    fn narrow(x: f32) -> Self {
        x
    }
}

impl Weight for f16 {
    fn wide(self) -> f32 {
        self.to_f32()
    }

    fn narrow(x: f32) -> Self {
        Self::from_f32(x)
    }
}

/// A matrix of weights, cut along its rows into blocks of one column each.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// How many rows there are.
    pub rows: usize,
    /// How many columns there are.
    pub columns: usize,
    /// How many rows a block has; the last one may have fewer.
    pub size: usize,
    /// How many bits an element takes: 2, 4 or 8.
    pub bits: u32,
    /// Whether zero is in the middle of the levels, so that no block has a zero point.
    pub symmetric: bool,
}

/// Quantized weights: packed levels, a scale for each block, and packed zero points unless zero is in the middle.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized<T> {
    /// The levels.
    pub levels: Vec<u8>,
    /// The scales.
    pub scales: Vec<T>,
    /// The zero points; none where zero is in the middle.
    pub zero_points: Option<Vec<u8>>,
}

impl Blocks {
    /// How many blocks a column has.
    pub fn count(&self) -> usize {
        self.rows.div_ceil(self.size)
    }

    /// How many elements a byte holds.
    fn per_byte(&self) -> usize {
        8 / self.bits as usize
    }

    /// The level in the middle.
    fn middle(&self) -> u8 {
        1 << (self.bits - 1)
    }

    /// The weights of the matrix, which may be followed by others: tools fill the last blocks up.
    fn matrix<'a, T>(&self, weights: &'a [T]) -> Result<&'a [T]> {
        ensure!(matches!(self.bits, 2 | 4 | 8), InvalidArgument, "elements of {} bits", self.bits);
        ensure!(self.size > 0, InvalidArgument, "blocks without elements");
        let (rows, columns) = (self.rows, self.columns);
        let held = rows.checked_mul(columns).and_then(|len| weights.get(..len));
        held.ok_or_else(|| error!(InvalidArgument, "{} weights are fewer than {rows}x{columns}", weights.len()))
    }

    /// The elements of block `block` of column `column`.
    fn elements<'a, T: Weight>(&self, weights: &'a [T], column: usize, block: usize) -> impl Iterator<Item = f32> + 'a {
        let (columns, rows) = (self.columns, block * self.size..((block + 1) * self.size).min(self.rows));
        rows.map(move |row| weights[row * columns + column].wide())
    }
}
