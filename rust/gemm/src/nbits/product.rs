//! The driver of products with block-wise weights.

use std::mem::MaybeUninit;

use base::threads::parallel_for;
use base::{Result, ensure};
use simd::dispatch_on;

use super::PackedBlocks;
use super::dot::{DotTile, ROWS, RoundedRows, has_dot, multiply};
use super::few_rows::{FEW, FewRows, ReadyRows};
use super::round::RoundRows;
use crate::epilogue::{Epilogue, Finish};
use crate::matrix::{Batch, Mat, MatMut};
use crate::memory::{Scratch, Shared, SharedConst, padded};
use crate::panels::RowPanels;
use crate::product::{Buffer, FinishTile, Rhs, gemm_on, scratch_len};
use crate::scalar::Float;

/// Cycles that a chunk should take, about; a panel takes some cycles for each row of a vector.
const CHUNK: usize = 200_000;

/// How exact a product with block-wise weights is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Precision {
    /// Products of floats. Up to four rows, the weights are used as they are; for more, they are first widened and rounded to `T`.
    #[default]
    Floats,
    /// A may be rounded to eight bits, block by block, where the machine multiplies bytes faster.
    Bytes,
}

/// `c = epilogue(a * b)` for `a` of m by k and block-wise weights `b` of k by n, summed in `f32`. `scratch` of [`blocks_scratch_len`] bytes
/// makes the call allocate nothing; a shorter one (or none) is replaced.
///
/// # Errors
/// `InvalidArgument` when shapes disagree or an operand of the epilogue is too short, `Fail` when there is no memory for scratch.
pub fn blocks_gemm<T: Float>(
    a: Mat<'_, T>,
    b: &PackedBlocks<T>,
    precision: Precision,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let (m, k, n) = (a.rows, a.cols, b.n);
    let bytes = precision == Precision::Bytes && has_dot(b.isa, b.bits);
    if m > FEW && !bytes {
        return gemm_on(b.isa, &Batch::default(), a.into(), Rhs::Source(b), epilogue, c, scratch);
    }
    ensure!(k == b.k, InvalidArgument, "a {m}x{k} matrix cannot be multiplied by a {}x{n} one", b.k);
    ensure!(c.rows == m && c.cols == n, InvalidArgument, "a {m}x{n} product does not fit a {}x{} result", c.rows, c.cols);
    if m == 0 || n == 0 {
        return Ok(());
    }
    epilogue.check(&[], m, n)?;
    let mut own = Vec::new();
    let (padded_k, rows) = (b.blocks * b.block, RowPanels::new(m, if bytes { ROWS } else { FEW }));
    let needed = if bytes { bytes_scratch(m, padded_k, b.blocks) } else { few_scratch(m, padded_k, b.blocks) };
    let mut scratch = Scratch::new(scratch, &mut own, needed)?;
    let a = if bytes { round_rows(&a, b, &rows, &mut scratch)? } else { ready_rows(&a, b, &mut scratch)? };
    let job = BlocksJob { b, a, rows, epilogue, ldc: c.row_stride, c: Shared(c.data.as_mut_ptr()) };
    T::run_blocks(&job);
    Ok(())
}

/// The most scratch that a product with block-wise weights takes on the instruction set in use, in bytes.
pub fn blocks_scratch_len<T: Float>(m: usize, n: usize, k: usize, block: usize, precision: Precision) -> usize {
    let blocks = k.div_ceil(block.max(1));
    let padded_k = blocks.saturating_mul(block);
    let floats = if m > FEW { scratch_len::<T>(1, m, n, k, false, false) } else { few_scratch(m, padded_k, blocks) };
    let bytes = if precision == Precision::Bytes { bytes_scratch(m, padded_k, blocks) } else { 0 };
    floats.max(bytes)
}

/// Values, and one sum for each block.
fn few_scratch(m: usize, padded_k: usize, blocks: usize) -> usize {
    padded::<f32>(m.saturating_mul(padded_k)).saturating_add(padded::<f32>(m.saturating_mul(blocks)))
}

/// Words of four bytes, and a scale and a sum for each block.
fn bytes_scratch(m: usize, padded_k: usize, blocks: usize) -> usize {
    let each = padded::<f32>(m.saturating_mul(blocks));
    padded::<u32>(m.saturating_mul(padded_k / 4)).saturating_add(each).saturating_add(each)
}

/// A made ready, in scratch.
#[derive(Clone, Copy)]
enum Ready {
    Floats(SharedConst<f32>, SharedConst<f32>),
    Bytes(RoundedRows),
}

/// The few rows of `a`, widened.
fn ready_rows<T: Float>(a: &Mat<'_, T>, b: &PackedBlocks<T>, scratch: &mut Scratch<'_>) -> Result<Ready> {
    let values = scratch.take::<f32>(a.rows * b.blocks * b.block)?;
    let sums = scratch.take::<f32>(a.rows * b.blocks)?;
    // SAFETY: both pieces have the size that is needed.
    unsafe { make_ready(a, b, values, sums) }
    Ok(Ready::Floats(SharedConst(values), SharedConst(sums)))
}

/// The rows of `a`, rounded to bytes, row panel by row panel.
fn round_rows<T: Float>(a: &Mat<'_, T>, b: &PackedBlocks<T>, rows: &RowPanels, scratch: &mut Scratch<'_>) -> Result<Ready> {
    let words = Shared(scratch.take::<u32>(a.rows * b.blocks * b.block / 4)?);
    let scales = Shared(scratch.take::<f32>(a.rows * b.blocks)?);
    let sums = Shared(scratch.take::<i32>(a.rows * b.blocks)?);
    let per_chunk = (ROUND_CHUNK / (ROWS * a.cols).max(1)).max(1);
    parallel_for(rows.count.div_ceil(per_chunk), &|chunk| {
        for i in chunk * per_chunk..rows.count.min((chunk + 1) * per_chunk) {
            let row = rows.start(i);
            // SAFETY: the pieces hold all rows, and each panel is written by one chunk only.
            let (words, scales, sums) = unsafe {
                let at = row * b.blocks;
                (words.get().add(at * b.block / 4), scales.get().add(at), sums.get().add(at))
            };
            T::round_rows(b.isa, RoundRows { a: *a, row, rows: rows.height(i), block: b.block, bits: b.bits, words, scales, sums });
        }
    });
    let words = SharedConst(words.get().cast_const().cast());
    Ok(Ready::Bytes(RoundedRows { words, scales: SharedConst(scales.get()), sums: SharedConst(sums.get()) }))
}

/// Values rounded in one chunk, at least.
const ROUND_CHUNK: usize = 1 << 16;

/// Widens the rows of `a` and sums them block by block.
///
/// # Safety
/// `values` holds the rows filled up to whole blocks, `sums` one sum for each block and row.
unsafe fn make_ready<T: Float>(a: &Mat<'_, T>, b: &PackedBlocks<T>, values: *mut f32, sums: *mut f32) {
    let m = a.rows;
    for r in 0..m {
        for block in 0..b.blocks {
            let mut sum = 0.0f32;
            for p in block * b.block..(block + 1) * b.block {
                let x = if p < a.cols { a.data[r * a.row_stride + p * a.col_stride].widen() } else { 0.0 };
                sum += x;
                // SAFETY: as the caller says.
                unsafe { values.add(p * m + r).write(x) }
            }
            // SAFETY: as the caller says.
            unsafe { sums.add(block * m + r).write(sum) }
        }
    }
}

/// A product under way.
#[doc(hidden)]
pub struct BlocksJob<'a, T: Float> {
    b: &'a PackedBlocks<T>,
    a: Ready,
    rows: RowPanels,
    epilogue: &'a Epilogue<'a, T>,
    c: Shared<T>,
    ldc: usize,
}

impl<T: Float> BlocksJob<'_, T> {
    /// Computes all columns.
    pub(crate) fn run(&self) {
        let (k, panels, rows) = (self.b.k, self.b.n.div_ceil(self.b.width), self.rows.start(self.rows.count));
        let cost = match self.a {
            Ready::Floats(..) => k * (3 + rows),
            Ready::Bytes(_) => k * (2 + rows) / 4,
        };
        let per_chunk = (CHUNK / cost.max(1)).clamp(1, panels);
        parallel_for(panels.div_ceil(per_chunk), &|chunk| {
            for index in chunk * per_chunk..panels.min((chunk + 1) * per_chunk) {
                self.panel(index);
            }
        });
    }

    /// Computes the columns of panel `index`.
    fn panel(&self, index: usize) {
        for i in 0..self.rows.count {
            let (row, rows) = (self.rows.start(i), self.rows.height(i));
            let mut buffer = Buffer::<f32>(MaybeUninit::uninit());
            let out = buffer.0.as_mut_ptr().cast::<f32>();
            match &self.a {
                Ready::Floats(values, sums) => self.floats(ReadyRows { values: values.get(), sums: sums.get() }, rows, index, out),
                Ready::Bytes(a) => self.bytes(a, row, rows, index, out),
            }
            self.finish(index, row, rows, out);
        }
    }

    /// Applies the epilogue to a tile and stores it.
    fn finish(&self, index: usize, row: usize, rows: usize, tile: *mut f32) {
        let b = self.b;
        let col = index * b.width;
        // SAFETY: the element lies in the result.
        let c = unsafe { self.c.get().add(row * self.ldc + col) };
        let (cols, ldc, epilogue) = (b.width.min(b.n - col), self.ldc, self.epilogue);
        let finish = Finish { tile, ldt: b.width, rows, cols, c, ldc, epilogue, dims: &[], item: 0, row, col };
        dispatch_on(b.isa, FinishTile(finish));
    }

    fn bytes(&self, a: &RoundedRows, row: usize, rows: usize, index: usize, out: *mut f32) {
        let b = self.b;
        let at = row * b.blocks;
        // SAFETY: the rows before lie in the scratch.
        let a = unsafe {
            RoundedRows {
                words: SharedConst(a.words.get().add(at * b.block / 4)),
                scales: SharedConst(a.scales.get().add(at)),
                sums: SharedConst(a.sums.get().add(at)),
            }
        };
        // SAFETY: the panel of A has `rows` rows, the buffer holds any tile, and the instructions were looked for.
        unsafe { multiply(&DotTile { b, index, a, out }, rows) }
    }

    fn floats(&self, a: ReadyRows, rows: usize, index: usize, out: *mut f32) {
        match self.b.bits {
            2 => self.widening::<2>(a, rows, index, out),
            4 => self.widening::<4>(a, rows, index, out),
            _ => self.widening::<8>(a, rows, index, out),
        }
    }

    fn widening<const BITS: u32>(&self, a: ReadyRows, rows: usize, index: usize, out: *mut f32) {
        let b = self.b;
        match rows {
            1 => dispatch_on(b.isa, FewRows::<T, BITS, 1> { b, index, a, out }),
            2 => dispatch_on(b.isa, FewRows::<T, BITS, 2> { b, index, a, out }),
            3 => dispatch_on(b.isa, FewRows::<T, BITS, 3> { b, index, a, out }),
            _ => dispatch_on(b.isa, FewRows::<T, BITS, 4> { b, index, a, out }),
        }
    }
}
