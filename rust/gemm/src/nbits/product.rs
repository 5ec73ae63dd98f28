//! The driver of products with block-wise weights.

use std::mem::MaybeUninit;

use base::threads::parallel_for;
use base::{Result, ensure};
use simd::dispatch_on;

use super::PackedBlocks;
use super::few_rows::{FEW, FewRows, ReadyRows};
use crate::epilogue::{Epilogue, Finish};
use crate::matrix::{Batch, Mat, MatMut};
use crate::memory::{Scratch, Shared, SharedConst, padded};
use crate::product::{Buffer, FinishTile, Rhs, gemm_on, scratch_len};
use crate::scalar::Float;

/// Cycles that a chunk should take, about; a panel takes some cycles for each row of a vector.
const CHUNK: usize = 200_000;

/// `c = epilogue(a * b)` for `a` of m by k and block-wise weights `b` of k by n, summed in `f32`. Up to four rows, the weights are used as
/// they are; for more, they are first widened and rounded to `T`. `scratch` of [`blocks_scratch_len`] bytes makes the call allocate
/// nothing; a shorter one (or none) is replaced.
///
/// # Errors
/// `InvalidArgument` when shapes disagree or an operand of the epilogue is too short, `Fail` when there is no memory for scratch.
pub fn blocks_gemm<T: Float>(
    a: Mat<'_, T>,
    b: &PackedBlocks<T>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let (m, k, n) = (a.rows, a.cols, b.n);
    if m > FEW {
        return gemm_on(b.isa, &Batch::default(), a.into(), Rhs::Source(b), epilogue, c, scratch);
    }
    ensure!(k == b.k, InvalidArgument, "a {m}x{k} matrix cannot be multiplied by a {}x{n} one", b.k);
    ensure!(c.rows == m && c.cols == n, InvalidArgument, "a {m}x{n} product does not fit a {}x{} result", c.rows, c.cols);
    if m == 0 || n == 0 {
        return Ok(());
    }
    epilogue.check(&[], m, n)?;
    let mut own = Vec::new();
    let mut scratch = Scratch::new(scratch, &mut own, few_scratch(m, b.blocks * b.block, b.blocks))?;
    let values = scratch.take::<f32>(m * b.blocks * b.block)?;
    let sums = scratch.take::<f32>(m * b.blocks)?;
    // SAFETY: both pieces have the size that is needed.
    unsafe { make_ready(&a, b, values, sums) }
    let job = Few { b, a: (SharedConst(values), SharedConst(sums)), m, epilogue, ldc: c.row_stride, c: Shared(c.data.as_mut_ptr()) };
    let panels = n.div_ceil(b.width);
    let per_chunk = (CHUNK / (k * (3 + m)).max(1)).clamp(1, panels);
    parallel_for(panels.div_ceil(per_chunk), &|chunk| {
        for index in chunk * per_chunk..panels.min((chunk + 1) * per_chunk) {
            job.panel(index);
        }
    });
    Ok(())
}

/// The most scratch that a product with block-wise weights takes on the instruction set in use, in bytes.
pub fn blocks_scratch_len<T: Float>(m: usize, n: usize, k: usize, block: usize) -> usize {
    if m > FEW {
        return scratch_len::<T>(1, m, n, k, false, false);
    }
    let blocks = k.div_ceil(block.max(1));
    few_scratch(m, blocks.saturating_mul(block), blocks)
}

fn few_scratch(m: usize, padded_k: usize, blocks: usize) -> usize {
    padded::<f32>(m.saturating_mul(padded_k)).saturating_add(padded::<f32>(m.saturating_mul(blocks)))
}

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

/// A product of few rows under way.
struct Few<'a, T: Float> {
    b: &'a PackedBlocks<T>,
    a: (SharedConst<f32>, SharedConst<f32>),
    m: usize,
    epilogue: &'a Epilogue<'a, T>,
    c: Shared<T>,
    ldc: usize,
}

impl<T: Float> Few<'_, T> {
    fn panel(&self, index: usize) {
        let b = self.b;
        let mut buffer = Buffer::<f32>(MaybeUninit::uninit());
        let out = buffer.0.as_mut_ptr().cast::<f32>();
        match b.bits {
            2 => self.multiply::<2>(index, out),
            4 => self.multiply::<4>(index, out),
            _ => self.multiply::<8>(index, out),
        }
        let col = index * b.width;
        // SAFETY: the column lies in the result.
        let c = unsafe { self.c.get().add(col) };
        let finish = Finish {
            tile: out.cast_const(),
            ldt: b.width,
            rows: self.m,
            cols: b.width.min(b.n - col),
            c,
            ldc: self.ldc,
            epilogue: self.epilogue,
            dims: &[],
            item: 0,
            row: 0,
            col,
        };
        dispatch_on(b.isa, FinishTile(finish));
    }

    fn multiply<const BITS: u32>(&self, index: usize, out: *mut f32) {
        let (b, a) = (self.b, ReadyRows { values: self.a.0.get(), sums: self.a.1.get() });
        match self.m {
            1 => dispatch_on(b.isa, FewRows::<T, BITS, 1> { b, index, a, out }),
            2 => dispatch_on(b.isa, FewRows::<T, BITS, 2> { b, index, a, out }),
            3 => dispatch_on(b.isa, FewRows::<T, BITS, 3> { b, index, a, out }),
            _ => dispatch_on(b.isa, FewRows::<T, BITS, 4> { b, index, a, out }),
        }
    }
}
