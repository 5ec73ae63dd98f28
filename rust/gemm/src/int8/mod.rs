//! Products of 8-bit integers with zero points, summed in 32 bits.
//!
//! Inside, A is unsigned and B signed, as the dot-product instructions want them: a signed A is shifted up by 128 and an unsigned B down
//! by 128, and their zero points with them. With `a`, `b` the shifted values and `za`, `zb` the shifted zero points,
//! `sum (a - za)(b - zb) = sum a b - zb sum a - za sum b + k za zb`: the microkernel computes the first sum, packing the other two.

mod finish;
mod kernel;
mod pack;
mod product;
#[cfg(test)]
mod tests;

use std::fmt;

use base::{Result, ensure};
use simd::Isa;

use crate::epilogue::Epilogue;
use crate::matrix::{Mat, MatMut};
use crate::memory::Aligned;
use kernel::ByteIsa;

pub use product::{byte_gemm, byte_gemm_batched, byte_gemm_on, byte_scratch_len};

/// A matrix of 8-bit integers to read.
#[derive(Clone, Copy, Debug)]
pub struct ByteMat<'a> {
    pub(crate) mat: Mat<'a, u8>,
    pub(crate) signed: bool,
}

impl<'a> From<Mat<'a, u8>> for ByteMat<'a> {
    fn from(mat: Mat<'a, u8>) -> Self {
        Self { mat, signed: false }
    }
}

impl<'a> From<Mat<'a, i8>> for ByteMat<'a> {
    fn from(m: Mat<'a, i8>) -> Self {
        // SAFETY: both types are one byte of any value.
        let data = unsafe { std::slice::from_raw_parts(m.data.as_ptr().cast::<u8>(), m.data.len()) };
        let mat = Mat { data, rows: m.rows, cols: m.cols, row_stride: m.row_stride, col_stride: m.col_stride };
        Self { mat, signed: true }
    }
}

/// A right operand packed for one instruction set, with the sums of its columns.
pub struct PackedBytes {
    pub(crate) isa: Isa,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Whether the values were signed; what is stored is.
    pub(crate) signed: bool,
    pub(crate) panels: Aligned,
    pub(crate) sums: Vec<i32>,
}

impl PackedBytes {
    /// Packs `b` for the instruction set in use.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn new<'a>(b: impl Into<ByteMat<'a>>) -> Result<Self> {
        Self::on(simd::isa::best(), b)
    }

    /// Packs `b` for `isa`.
    ///
    /// # Errors
    /// `Fail` when there is no memory for the copy.
    pub fn on<'a>(isa: Isa, b: impl Into<ByteMat<'a>>) -> Result<Self> {
        let b = b.into();
        let (k, n) = (b.mat.rows, b.mat.cols);
        let shape = ByteIsa::of(isa).shape();
        let count = n.div_ceil(shape.tile.cols);
        let mut panels = Aligned::zeroed::<u8>(count.saturating_mul(shape.panel_bytes(k)))?;
        let mut sums = vec![0; count * shape.tile.cols];
        pack::pack_all(isa, &b, panels.as_mut_ptr(), &mut sums);
        Ok(Self { isa, k, n, signed: b.signed, panels, sums })
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
        self.panels.bytes() + self.sums.len() * size_of::<i32>()
    }
}

impl fmt::Debug for PackedBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedBytes({}x{} for {})", self.k, self.n, self.isa.name())
    }
}

/// The right operand of a product of bytes.
#[derive(Clone, Copy, Debug)]
pub enum ByteRhs<'a> {
    /// A matrix as it lies.
    Plain(ByteMat<'a>),
    /// One packed beforehand.
    Packed(&'a PackedBytes),
}

impl<'a> From<ByteMat<'a>> for ByteRhs<'a> {
    fn from(m: ByteMat<'a>) -> Self {
        Self::Plain(m)
    }
}

impl<'a> From<Mat<'a, u8>> for ByteRhs<'a> {
    fn from(m: Mat<'a, u8>) -> Self {
        Self::Plain(m.into())
    }
}

impl<'a> From<Mat<'a, i8>> for ByteRhs<'a> {
    fn from(m: Mat<'a, i8>) -> Self {
        Self::Plain(m.into())
    }
}

impl<'a> From<&'a PackedBytes> for ByteRhs<'a> {
    fn from(p: &'a PackedBytes) -> Self {
        Self::Packed(p)
    }
}

impl ByteRhs<'_> {
    pub(crate) fn shape(&self) -> (usize, usize) {
        match self {
            Self::Plain(b) => (b.mat.rows, b.mat.cols),
            Self::Packed(p) => (p.k, p.n),
        }
    }

    pub(crate) fn signed(&self) -> bool {
        match self {
            Self::Plain(b) => b.signed,
            Self::Packed(p) => p.signed,
        }
    }
}

/// What is subtracted from the operands and added to the sums. Each list has no element (which means 0), one for all, or one for each row
/// of A (`a`), column of B (`b`), row or column of the result (`row_bias`, `col_bias`).
#[derive(Clone, Copy, Debug, Default)]
pub struct ByteTerms<'a> {
    /// Zero points of A, as the values of its type.
    pub a: &'a [i32],
    /// Zero points of B, as the values of its type.
    pub b: &'a [i32],
    /// Added to each row of the sums.
    pub row_bias: &'a [i32],
    /// Added to each column of the sums.
    pub col_bias: &'a [i32],
}

/// The factor of each sum: the product of a row's and a column's. Each list has one element for all, or one for each row or column.
#[derive(Clone, Copy, Debug)]
pub struct Scales<'a> {
    /// Factors of the rows.
    pub rows: &'a [f32],
    /// Factors of the columns.
    pub cols: &'a [f32],
}

/// Where the sums go, and as what.
#[derive(Debug)]
pub enum ByteOutput<'a> {
    /// As they are.
    I32(MatMut<'a, i32>),
    /// Scaled, then through an epilogue.
    F32 {
        /// The result.
        c: MatMut<'a, f32>,
        /// The factors of the sums.
        scales: Scales<'a>,
        /// What follows.
        epilogue: Epilogue<'a, f32>,
    },
    /// Scaled, rounded to nearest even, shifted by the zero point and saturated.
    U8 {
        /// The result.
        c: MatMut<'a, u8>,
        /// The factors of the sums.
        scales: Scales<'a>,
        /// Zero point of the result.
        zero_point: u8,
    },
    /// Scaled, rounded to nearest even, shifted by the zero point and saturated.
    I8 {
        /// The result.
        c: MatMut<'a, i8>,
        /// The factors of the sums.
        scales: Scales<'a>,
        /// Zero point of the result.
        zero_point: i8,
    },
}

/// Checks that a list has none, one, or `len` elements; `needed` rules out none.
fn check_list(name: &str, have: usize, len: usize, needed: bool) -> Result<()> {
    let fits = have == 1 || have == len || (have == 0 && !needed);
    ensure!(fits, InvalidArgument, "{have} {name}, where 1 or {len} are needed");
    Ok(())
}
