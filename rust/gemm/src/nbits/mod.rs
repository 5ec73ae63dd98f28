//! Products with weights of 2, 4 or 8 bits, each block of a column with a scale and a zero point of its own.
//!
//! The weights stay as they are stored. For few rows they are widened in registers and summed block by block, so that a product reads no
//! more than the packed bytes; for many rows each panel is widened once and multiplied like any other.

mod dot;
mod few_rows;
mod pack;
mod product;
mod round;
#[cfg(test)]
mod tests;
mod widen;

use std::fmt;

use base::{Result, ensure};
use simd::Isa;

use crate::memory::Aligned;
use crate::panels::TileShape;
use crate::scalar::Float;

pub(crate) use product::BlocksJob;
pub use product::{Precision, blocks_gemm, blocks_scratch_len};
pub(crate) use round::RoundRows;
pub(crate) use widen::widen_panel;

/// Zero points of blocks of weights, in the order of the scales.
#[derive(Clone, Copy, Debug)]
pub enum BlockZeros<'a, T> {
    /// The middle of the range for all: `1 << (bits - 1)`.
    Middle,
    /// As many bits as a weight has, lowest first; each column begins with a byte of its own.
    Packed(&'a [u8]),
    /// As floats.
    Floats(&'a [T]),
}

/// Weights as operators hand them in, column by column.
#[derive(Clone, Copy, Debug)]
pub struct Blockwise<'a, T> {
    /// Bits of a weight: 2, 4 or 8.
    pub bits: usize,
    /// Weights of a block: a power of two, at least 16.
    pub block: usize,
    /// Rows of the operand, the length of the products.
    pub k: usize,
    /// Columns of the operand.
    pub n: usize,
    /// For each column its blocks, the last one filled up, lowest bits first.
    pub weights: &'a [u8],
    /// For each column the scales of its blocks.
    pub scales: &'a [T],
    /// For each column the zero points of its blocks.
    pub zeros: BlockZeros<'a, T>,
}

impl<T> Blockwise<'_, T> {
    /// Blocks of a column.
    pub(crate) fn blocks(&self) -> usize {
        self.k.div_ceil(self.block.max(1))
    }

    /// Bytes of the packed zero points of a column.
    pub(crate) fn zero_bytes(&self) -> usize {
        (self.blocks() * self.bits).div_ceil(8)
    }

    fn check(&self) -> Result<()> {
        let Self { bits, block, k, n, .. } = *self;
        ensure!(matches!(bits, 2 | 4 | 8), NotImplemented, "weights of {bits} bits; 2, 4 and 8 are supported");
        ensure!(block >= 16 && block.is_power_of_two(), InvalidArgument, "a block of {block} weights is no power of two from 16 on");
        let blocks = self.blocks();
        let fits = |what: &str, have: usize, each: Option<usize>| {
            let needed = each.and_then(|e| e.checked_mul(n));
            ensure!(
                needed == Some(have),
                InvalidArgument,
                "{have} {what} do not fit {n} columns of {blocks} blocks of {block} weights of {bits} bits (k is {k})"
            );
            Ok(())
        };
        fits("bytes of weights", self.weights.len(), blocks.checked_mul(block / 8 * bits))?;
        fits("scales", self.scales.len(), Some(blocks))?;
        match self.zeros {
            BlockZeros::Middle => Ok(()),
            BlockZeros::Packed(z) => fits("bytes of zero points", z.len(), Some(self.zero_bytes())),
            BlockZeros::Floats(z) => fits("zero points", z.len(), Some(blocks)),
        }
    }
}

/// What is subtracted from each weight beyond the middle of its range, which the widening takes care of.
pub(crate) enum Zeros {
    None,
    /// Whole numbers, `[panel][block][column]`.
    Bytes(Vec<i8>),
    /// Any numbers, `[panel][block][column]`.
    Floats(Vec<f32>),
}

/// Weights packed for one instruction set: `[panel][group][column]` words of 32 bits, which hold consecutive weights of one column.
pub struct PackedBlocks<T> {
    pub(crate) isa: Isa,
    pub(crate) bits: usize,
    pub(crate) block: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Blocks of a column.
    pub(crate) blocks: usize,
    /// Columns of a panel.
    pub(crate) width: usize,
    pub(crate) words: Aligned,
    /// `[panel][block][column]`.
    pub(crate) scales: Vec<T>,
    pub(crate) zeros: Zeros,
}

impl<T: Float> PackedBlocks<T> {
    /// Packs weights for the instruction set in use.
    ///
    /// # Errors
    /// `NotImplemented` for other numbers of bits, `InvalidArgument` when lengths do not fit, `Fail` when there is no memory for the copy.
    pub fn new(weights: &Blockwise<'_, T>) -> Result<Self> {
        Self::on(simd::isa::best(), weights)
    }

    /// Packs weights for `isa`.
    ///
    /// # Errors
    /// As [`PackedBlocks::new`].
    pub fn on(isa: Isa, weights: &Blockwise<'_, T>) -> Result<Self> {
        weights.check()?;
        let width = TileShape::on::<T>(isa).cols;
        pack::pack(isa, weights, width)
    }

    /// The rows of the operand, the length of the products.
    pub fn rows(&self) -> usize {
        self.k
    }

    /// The columns of the operand.
    pub fn cols(&self) -> usize {
        self.n
    }

    /// The instruction set it is packed for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The memory it takes.
    pub fn bytes(&self) -> usize {
        let zeros = match &self.zeros {
            Zeros::None => 0,
            Zeros::Bytes(z) => z.len(),
            Zeros::Floats(z) => z.len() * size_of::<f32>(),
        };
        self.words.bytes() + self.scales.len() * size_of::<T>() + zeros
    }

    /// Words of a column in one block.
    pub(crate) fn block_words(&self) -> usize {
        self.block * self.bits / 32
    }
}

impl<T> fmt::Debug for PackedBlocks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedBlocks({}x{} of {} bits in blocks of {} for {})", self.k, self.n, self.bits, self.block, self.isa.name())
    }
}
