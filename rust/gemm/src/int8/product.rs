//! The driver of products of bytes.

use std::ops::Range;

use base::threads::parallel_for;
use base::{Result, ensure};
use simd::{Isa, dispatch_on};

use super::finish::{FinishBytes, Target, target};
use super::kernel::{ByteArgs, ByteIsa, ByteShape, tile};
use super::pack::{PackCols, PackRows};
use super::{ByteMat, ByteOutput, ByteRhs, ByteTerms, check_list};
use crate::blocking::{Block, Blocking, Extents, Form, Work};
use crate::matrix::{Batch, MAX_AXES, batch_offset, batch_reach, check_disjoint, covers, extent, is_shared};
use crate::memory::{Scratch, Shared, SharedConst, padded};
use crate::panels::MAX_TILE;

/// `c = (a - a zero points) * (b - b zero points) + biases` for `a` of m by k, `b` of k by n and `c` of m by n, exact modulo 2^32, then
/// whatever `c` asks for. `scratch` of [`byte_scratch_len`] bytes makes the call allocate nothing; a shorter one (or none) is replaced.
///
/// # Errors
/// `InvalidArgument` when shapes disagree, `Fail` when there is no memory for scratch.
pub fn byte_gemm<'a>(
    a: impl Into<ByteMat<'a>>,
    b: impl Into<ByteRhs<'a>>,
    terms: &ByteTerms<'_>,
    c: ByteOutput<'_>,
    scratch: &mut [u8],
) -> Result<()> {
    byte_gemm_batched(&Batch::default(), a, b, terms, c, scratch)
}

/// [`byte_gemm`] for each product of a batch; the matrices given are those of the first product, their slices those of all. Zero points,
/// biases and scales are the same for all.
///
/// # Errors
/// As [`byte_gemm`]; also `InvalidArgument` when a slice is too short for the batch, products write the same element, or a packed operand
/// has a stride other than 0.
pub fn byte_gemm_batched<'a>(
    batch: &Batch<'_>,
    a: impl Into<ByteMat<'a>>,
    b: impl Into<ByteRhs<'a>>,
    terms: &ByteTerms<'_>,
    c: ByteOutput<'_>,
    scratch: &mut [u8],
) -> Result<()> {
    let b = b.into();
    let isa = match b {
        ByteRhs::Packed(p) => p.isa,
        ByteRhs::Plain(_) => simd::isa::best(),
    };
    byte_gemm_on(isa, batch, a.into(), b, terms, c, scratch)
}

/// [`byte_gemm_batched`] on a chosen instruction set.
///
/// # Errors
/// As [`byte_gemm_batched`]; also `InvalidArgument` when B is packed for another instruction set.
pub fn byte_gemm_on(
    isa: Isa,
    batch: &Batch<'_>,
    a: ByteMat<'_>,
    b: ByteRhs<'_>,
    terms: &ByteTerms<'_>,
    c: ByteOutput<'_>,
    scratch: &mut [u8],
) -> Result<()> {
    let Some(job) = Job::new(isa, batch, a, b, terms, c)? else { return Ok(()) };
    let extents = job.extents();
    let shape = ByteIsa::of(isa).shape();
    let blocking = Blocking::new(&extents, shape.tile);
    let sizes = Sizes::new(&blocking, shape, job.k);
    let mut own = Vec::new();
    let mut scratch = Scratch::new(scratch, &mut own, sizes.bytes())?;
    let driver = Driver {
        a_words: Shared(scratch.take(sizes.a_words)?),
        a_sums: Shared(scratch.take(sizes.a_sums)?),
        b_bytes: Shared(scratch.take(sizes.b_bytes)?),
        b_sums: Shared(scratch.take(sizes.b_sums)?),
        job,
        byte_isa: ByteIsa::of(isa),
        shape,
        blocking,
        extents,
    };
    driver.blocking.walk(driver.job.count, &driver);
    Ok(())
}

/// The most scratch that a batch of products of bytes takes on the instruction set in use, in bytes. `packed_b` says whether B is packed
/// beforehand.
pub fn byte_scratch_len(batch: usize, m: usize, n: usize, k: usize, packed_b: bool) -> usize {
    let shape = ByteIsa::of(simd::isa::best()).shape();
    let k = shape.groups(k).saturating_mul(shape.group);
    let a_values = Blocking::most_a(shape.tile, batch, m, k, WORD_SHARE);
    let b_values = if packed_b { 0 } else { Blocking::most_b(shape.tile, batch, n, k, 1) };
    let (rows, cols) = (a_values.div_ceil(k.max(1)), b_values.div_ceil(k.max(1)));
    let sums = if k == 0 { batch.saturating_mul(m.saturating_add(n + shape.tile.cols)) } else { rows + cols };
    let words = a_values.div_ceil(shape.group);
    padded::<u32>(words).saturating_add(padded::<u8>(b_values)).saturating_add(padded::<i32>(sums)).saturating_add(padded::<i32>(sums))
}

/// Bytes of packed A that a value takes, for the blocking: up to two.
const WORD_SHARE: usize = 2;

/// Values of scratch that the blocks take.
struct Sizes {
    a_words: usize,
    a_sums: usize,
    b_bytes: usize,
    b_sums: usize,
}

impl Sizes {
    fn new(blocking: &Blocking, shape: ByteShape, k: usize) -> Self {
        let padded_k = shape.groups(k) * shape.group;
        let (rows, cols) = (blocking.scratch_rows, blocking.scratch_cols);
        Self { a_words: rows * shape.groups(k), a_sums: rows, b_bytes: cols * padded_k, b_sums: cols }
    }

    fn bytes(&self) -> usize {
        padded::<u32>(self.a_words) + padded::<i32>(self.a_sums) + padded::<u8>(self.b_bytes) + padded::<i32>(self.b_sums)
    }
}

/// A checked batch of products.
struct Job<'a> {
    batch: Batch<'a>,
    count: usize,
    m: usize,
    n: usize,
    k: usize,
    a: ByteMat<'a>,
    b: ByteRhs<'a>,
    terms: ByteTerms<'a>,
    target: Target<'a>,
    ldc: usize,
}

impl<'a> Job<'a> {
    /// The job, unless it has nothing to write.
    fn new(
        isa: Isa,
        batch: &Batch<'a>,
        a: ByteMat<'a>,
        b: ByteRhs<'a>,
        terms: &ByteTerms<'a>,
        output: ByteOutput<'a>,
    ) -> Result<Option<Self>> {
        batch.check()?;
        let ((m, k), (k2, n)) = ((a.mat.rows, a.mat.cols), b.shape());
        let ((rows, cols, ldc, c_len), target) = target(output);
        ensure!(k == k2, InvalidArgument, "a {m}x{k} matrix cannot be multiplied by a {k2}x{n} one");
        ensure!(rows == m && cols == n, InvalidArgument, "a {m}x{n} product does not fit a {rows}x{cols} result");
        let count = batch.count();
        ensure!(count.is_some(), InvalidArgument, "the number of products overflows: batch axes {:?}", batch.dims);
        let count = count.unwrap_or(0);
        if count == 0 || m == 0 || n == 0 {
            return Ok(None);
        }
        let job = Self { batch: *batch, count, m, n, k, a, b, terms: *terms, target, ldc };
        job.check_operands(isa)?;
        job.check_result(c_len)?;
        job.check_lists()?;
        Ok(Some(job.folded()))
    }

    fn check_operands(&self, isa: Isa) -> Result<()> {
        covers("A", &self.a.mat, self.batch.dims, self.batch.a)?;
        match self.b {
            ByteRhs::Plain(b) => covers("B", &b.mat, self.batch.dims, self.batch.b),
            ByteRhs::Packed(p) => {
                let (want, have) = (isa.name(), p.isa.name());
                ensure!(p.isa == isa, InvalidArgument, "B is packed for {have}, but the product runs on {want}");
                let strides = self.batch.b;
                let still = is_shared(self.batch.dims, strides);
                ensure!(still, InvalidArgument, "B is packed, so its batch strides must be 0, not {strides:?}");
                Ok(())
            }
        }
    }

    fn check_result(&self, c_len: usize) -> Result<()> {
        let Batch { dims, c, .. } = self.batch;
        let needed = extent(self.m, self.n, self.ldc, 1).and_then(|e| e.checked_add(batch_reach(dims, c)?));
        let (count, m, n) = (self.count, self.m, self.n);
        let fits = needed.is_some_and(|e| e <= c_len);
        ensure!(fits, InvalidArgument, "a result of {c_len} elements does not hold {count} products of {m}x{n}");
        let mut axes = [(0, 1); MAX_AXES + 2];
        for (axis, (&dim, &stride)) in axes.iter_mut().zip(dims.iter().zip(c)) {
            *axis = (stride, dim);
        }
        axes[dims.len()] = (self.ldc, m);
        axes[dims.len() + 1] = (1, n);
        check_disjoint(&mut axes[..dims.len() + 2])
    }

    fn check_lists(&self) -> Result<()> {
        check_list("zero points of A", self.terms.a.len(), self.m, false)?;
        check_list("zero points of B", self.terms.b.len(), self.n, false)?;
        check_list("biases of rows", self.terms.row_bias.len(), self.m, false)?;
        check_list("biases of columns", self.terms.col_bias.len(), self.n, false)?;
        if let Target::F32(_, scales, _) | Target::U8(_, scales, _) | Target::I8(_, scales, _) = &self.target {
            check_list("scales of rows", scales.rows.len(), self.m, true)?;
            check_list("scales of columns", scales.cols.len(), self.n, true)?;
        }
        if let Target::F32(_, _, epilogue) = &self.target {
            epilogue.check(self.batch.dims, self.m, self.n)?;
        }
        Ok(())
    }

    /// The same products as a single one, if all share B, and rows and everything that goes by row go on evenly.
    fn folded(self) -> Self {
        let Batch { dims, a, b, c } = self.batch;
        let by_row = |len: usize| len > 1;
        let mut folds = self.count > 1
            && is_shared(dims, b)
            && crate::matrix::goes_on(self.a.mat.row_stride, self.m, dims, a)
            && crate::matrix::goes_on(self.ldc, self.m, dims, c)
            && !by_row(self.terms.a.len())
            && !by_row(self.terms.row_bias.len());
        match &self.target {
            Target::I32(_) => {}
            Target::F32(_, scales, epilogue) => folds &= !by_row(scales.rows.len()) && epilogue.folds(dims, self.m),
            Target::U8(_, scales, _) | Target::I8(_, scales, _) => folds &= !by_row(scales.rows.len()),
        }
        if !folds {
            return self;
        }
        let m = self.m * self.count;
        let mut a = self.a;
        a.mat.rows = m;
        Self { batch: Batch::default(), count: 1, m, a, ..self }
    }

    fn extents(&self) -> Extents {
        Extents {
            batch: self.count,
            m: self.m,
            n: self.n,
            k: self.k,
            acc: WORD_SHARE,
            sums: false,
            element: 1,
            shared_a: is_shared(self.batch.dims, self.batch.a),
            shared_b: is_shared(self.batch.dims, self.batch.b),
            form_a: Form::Pack,
            form_b: if matches!(self.b, ByteRhs::Packed(_)) { Form::Packed } else { Form::Pack },
        }
    }
}

/// A batch of products under way.
struct Driver<'a> {
    job: Job<'a>,
    byte_isa: ByteIsa,
    shape: ByteShape,
    blocking: Blocking,
    extents: Extents,
    a_words: Shared<u32>,
    a_sums: Shared<i32>,
    b_bytes: Shared<u8>,
    b_sums: Shared<i32>,
}

impl Work for Driver<'_> {
    fn pack_a(&self, items: &Range<usize>, rows: &Range<usize>) {
        let (k, panels, groups) = (self.job.k, self.blocking.rows, self.shape.groups(self.job.k));
        let copies = if self.extents.shared_a { 1 } else { items.len() };
        let units = copies * rows.len();
        let per_chunk = self.blocking.pack_rows(k, 1);
        let block_rows = panels.rows(rows);
        parallel_for(units.div_ceil(per_chunk), &|chunk| {
            for unit in chunk * per_chunk..units.min((chunk + 1) * per_chunk) {
                let (copy, i) = (unit / rows.len(), rows.start + unit % rows.len());
                let (row, height) = (panels.start(i), panels.height(i));
                let at = copy * block_rows + row - panels.start(rows.start);
                let offset = batch_offset(items.start + copy, self.job.batch.dims, self.job.batch.a);
                // SAFETY: the scratch holds the rows of each copy, and each panel is written by one chunk only.
                let (dst, sums) = unsafe { (self.a_words.get().add(at * groups), self.a_sums.get().add(at)) };
                let pack = PackRows { a: self.job.a, offset, row, rows: height, group: self.shape.group, dst, sums };
                dispatch_on(self.simd_isa(), pack);
            }
        });
    }

    fn pack_b(&self, items: &Range<usize>, cols: &Range<usize>) {
        let ByteRhs::Plain(b) = self.job.b else { return };
        let (width, bytes) = (self.shape.tile.cols, self.shape.panel_bytes(self.job.k));
        let copies = if self.extents.shared_b { 1 } else { items.len() };
        let per_chunk = self.blocking.pack_cols(self.job.k, 1);
        let chunks = cols.len().div_ceil(per_chunk);
        parallel_for(copies * chunks, &|index| {
            let (copy, chunk) = (index / chunks, index % chunks);
            let first = cols.start + chunk * per_chunk;
            let panels = per_chunk.min(cols.end - first);
            let at = copy * cols.len() + first - cols.start;
            let offset = batch_offset(items.start + copy, self.job.batch.dims, self.job.batch.b);
            // SAFETY: the scratch holds the panels of each copy, and each is written by one chunk only.
            let (dst, sums) = unsafe { (self.b_bytes.get().add(at * bytes), self.b_sums.get().add(at * width)) };
            dispatch_on(self.simd_isa(), PackCols { b, offset, col: first * width, panels, shape: self.shape, dst, sums });
        });
    }

    fn compute(&self, block: &Block, item: usize, rows: Range<usize>, cols: Range<usize>) {
        cols.for_each(|j| self.column_panel(block, item, rows.clone(), j));
    }
}

impl Driver<'_> {
    /// Computes the tiles of column panel `j` in the given row panels.
    fn column_panel(&self, block: &Block, item: usize, rows: Range<usize>, j: usize) {
        let panels = &self.blocking.rows;
        let groups = self.shape.groups(self.job.k);
        let copy = if self.extents.shared_a { 0 } else { item - block.items.start };
        let (b, col_sums) = self.b_panel(block, item, j);
        for i in rows {
            let at = copy * panels.rows(&block.rows) + panels.start(i) - panels.start(block.rows.start);
            // SAFETY: the scratch holds the rows of each copy.
            let (a, row_sums) = unsafe { (self.a_words.get().add(at * groups), self.a_sums.get().add(at)) };
            let mut sums = Tile([0; MAX_TILE]);
            let args = ByteArgs { groups, a, b: b.get().cast(), c: sums.0.as_mut_ptr(), ldc: self.shape.tile.cols };
            let col = j * self.shape.tile.cols;
            let cols = self.shape.tile.cols.min(self.job.n - col);
            // SAFETY: both panels hold `groups` steps, and the buffer any tile.
            unsafe { tile(self.byte_isa, panels.height(i), cols.div_ceil(self.shape.tile.lanes), args) }
            let finish = FinishBytes {
                tile: &mut sums.0,
                ldt: self.shape.tile.cols,
                rows: panels.height(i),
                cols,
                row: panels.start(i),
                col,
                item,
                dims: self.job.batch.dims,
                origin: batch_offset(item, self.job.batch.dims, self.job.batch.c),
                ldc: self.job.ldc,
                k: self.job.k,
                terms: self.job.terms,
                shift: (if self.job.a.signed { 128 } else { 0 }, if self.job.b.signed() { 0 } else { -128 }),
                row_sums,
                col_sums: col_sums.get(),
                target: self.job.target,
            };
            dispatch_on(self.simd_isa(), finish);
        }
    }

    /// Column panel `j` for product `item`, and the sums of its columns.
    fn b_panel(&self, block: &Block, item: usize, j: usize) -> (SharedConst<u8>, SharedConst<i32>) {
        let (width, bytes) = (self.shape.tile.cols, self.shape.panel_bytes(self.job.k));
        // SAFETY: the packed operand or the scratch holds panel `j` and its sums.
        unsafe {
            match self.job.b {
                ByteRhs::Packed(p) => (SharedConst(p.panels.as_ptr::<u8>().add(j * bytes)), SharedConst(p.sums.as_ptr().add(j * width))),
                ByteRhs::Plain(_) => {
                    let copy = if self.extents.shared_b { 0 } else { item - block.items.start };
                    let at = copy * block.cols.len() + j - block.cols.start;
                    (SharedConst(self.b_bytes.get().add(at * bytes)), SharedConst(self.b_sums.get().add(at * width)))
                }
            }
        }
    }

    /// The vectors that packing and finishing use.
    fn simd_isa(&self) -> Isa {
        match self.byte_isa {
            ByteIsa::Portable => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            ByteIsa::Avx2 => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            ByteIsa::Vnni => Isa::Avx512,
        }
    }
}

/// A tile of sums on a line boundary.
#[repr(align(64))]
struct Tile([i32; MAX_TILE]);
