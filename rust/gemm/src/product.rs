//! The driver: checks a batch of products, packs what is not packed, and spreads the tiles over threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use base::threads::parallel_for;
use base::{Result, ensure};
use simd::{Isa, Kernel, Simd};

use crate::blocking::{Blocking, Extents, Form, blocks, is_direct};
use crate::epilogue::{Epilogue, Finish};
use crate::kernel::{TileArgs, Tiles, Visit, panels_at_once, wide_tile};
use crate::matrix::{Batch, MAX_AXES, Mat, MatMut, batch_offset, batch_reach, check_disjoint, covers, extent, goes_on, is_shared};
use crate::memory::{Scratch, Shared, SharedConst, padded};
use crate::pack::{PackA, PackB};
use crate::packed::{PackedA, PackedB};
use crate::panels::{MAX_TILE, TileShape};
use crate::scalar::Scalar;
use crate::source::Columns;

/// The left operand of a product.
#[derive(Clone, Copy, Debug)]
pub enum Lhs<'a, T: Scalar> {
    /// A matrix as it lies.
    Plain(Mat<'a, T>),
    /// One packed beforehand.
    Packed(&'a PackedA<T>),
}

/// The right operand of a product.
#[derive(Clone, Copy, Debug)]
pub enum Rhs<'a, T: Scalar> {
    /// A matrix as it lies.
    Plain(Mat<'a, T>),
    /// One packed beforehand.
    Packed(&'a PackedB<T>),
    /// One whose panels are made when they are needed. Its batch strides only tell products apart: 0 on all axes if they share it.
    Source(&'a dyn Columns<T>),
}

impl<'a, T: Scalar> From<Mat<'a, T>> for Lhs<'a, T> {
    fn from(m: Mat<'a, T>) -> Self {
        Self::Plain(m)
    }
}

impl<'a, T: Scalar> From<&'a PackedA<T>> for Lhs<'a, T> {
    fn from(m: &'a PackedA<T>) -> Self {
        Self::Packed(m)
    }
}

impl<'a, T: Scalar> From<Mat<'a, T>> for Rhs<'a, T> {
    fn from(m: Mat<'a, T>) -> Self {
        Self::Plain(m)
    }
}

impl<'a, T: Scalar> From<&'a PackedB<T>> for Rhs<'a, T> {
    fn from(m: &'a PackedB<T>) -> Self {
        Self::Packed(m)
    }
}

impl<T: Scalar> Lhs<'_, T> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Plain(m) => (m.rows, m.cols),
            Self::Packed(p) => (p.m, p.k),
        }
    }
}

impl<T: Scalar> Rhs<'_, T> {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Plain(m) => (m.rows, m.cols),
            Self::Packed(p) => (p.k, p.n),
            Self::Source(s) => (s.rows(), s.cols()),
        }
    }
}

/// `c = epilogue(a * b)` for `a` of m by k, `b` of k by n and `c` of m by n. The old content of `c` is not read.
///
/// Each element is one chain of multiply-adds in the order of k, so its bits depend on its row and column only: not on the other rows, on
/// packing or on threads. `scratch` of [`scratch_len`] bytes makes the call allocate nothing; a shorter one (or none) is replaced.
///
/// # Errors
/// `InvalidArgument` when shapes disagree or an operand of the epilogue is too short, `NotImplemented` for an activation of a type that
/// has none, `Fail` when there is no memory for scratch.
pub fn gemm<'a, T: Scalar>(
    a: impl Into<Lhs<'a, T>>,
    b: impl Into<Rhs<'a, T>>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    gemm_batched(&Batch::default(), a, b, epilogue, c, scratch)
}

/// [`gemm`] for each product of a batch; the matrices given are those of the first product, their slices those of all.
///
/// # Errors
/// As [`gemm`]; also `InvalidArgument` when a slice is too short for the batch, products write the same element, or a packed operand has a
/// stride other than 0.
pub fn gemm_batched<'a, T: Scalar>(
    batch: &Batch<'_>,
    a: impl Into<Lhs<'a, T>>,
    b: impl Into<Rhs<'a, T>>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let (a, b) = (a.into(), b.into());
    let isa = match (&a, &b) {
        (Lhs::Packed(p), _) => p.isa,
        (_, Rhs::Packed(p)) => p.isa,
        _ => simd::isa::best(),
    };
    gemm_on(isa, batch, a, b, epilogue, c, scratch)
}

/// [`gemm_batched`] on a chosen instruction set.
///
/// # Errors
/// As [`gemm_batched`]; also `InvalidArgument` when an operand is packed for another instruction set.
pub fn gemm_on<T: Scalar>(
    isa: Isa,
    batch: &Batch<'_>,
    a: Lhs<'_, T>,
    b: Rhs<'_, T>,
    epilogue: &Epilogue<'_, T>,
    c: MatMut<'_, T>,
    scratch: &mut [u8],
) -> Result<()> {
    let job = Job::new(isa, batch, a, b, epilogue, c)?;
    if job.is_empty() {
        return Ok(());
    }
    T::run(isa, Run { job: job.folded(), scratch })
}

/// The most scratch that a batch of products takes on the instruction set in use, in bytes. `packed_a` and `packed_b` say which operands
/// are packed beforehand.
pub fn scratch_len<T: Scalar>(batch: usize, m: usize, n: usize, k: usize, packed_a: bool, packed_b: bool) -> usize {
    let tile = TileShape::on::<T>(simd::isa::best());
    let a = if packed_a { 0 } else { Blocking::most_a(tile, batch, m, k, size_of::<T::Acc>()) };
    let b = if packed_b { 0 } else { Blocking::most_b(tile, batch, n, k, size_of::<T>()) };
    padded::<T::Acc>(a).saturating_add(padded::<T>(b))
}

fn need<T: Scalar>(blocking: &Blocking, k: usize) -> usize {
    padded::<T::Acc>(blocking.scratch_rows * k) + padded::<T>(blocking.scratch_cols * k)
}

/// A checked batch of products.
struct Job<'a, T: Scalar> {
    isa: Isa,
    dims: &'a [usize],
    a_batch: &'a [usize],
    b_batch: &'a [usize],
    c_batch: &'a [usize],
    count: usize,
    m: usize,
    n: usize,
    k: usize,
    a: Lhs<'a, T>,
    b: Rhs<'a, T>,
    epilogue: &'a Epilogue<'a, T>,
    c: Shared<T>,
    ldc: usize,
}

impl<'a, T: Scalar> Job<'a, T> {
    fn new(isa: Isa, batch: &Batch<'a>, a: Lhs<'a, T>, b: Rhs<'a, T>, epilogue: &'a Epilogue<'a, T>, c: MatMut<'a, T>) -> Result<Self> {
        batch.check()?;
        let ((m, k), (k2, n)) = (a.shape(), b.shape());
        ensure!(k == k2, InvalidArgument, "a {m}x{k} matrix cannot be multiplied by a {k2}x{n} one");
        ensure!(c.rows == m && c.cols == n, InvalidArgument, "a {m}x{n} product does not fit a {}x{} result", c.rows, c.cols);
        let count = batch.count();
        ensure!(count.is_some(), InvalidArgument, "the number of products overflows: batch axes {:?}", batch.dims);
        let job = Self {
            isa,
            dims: batch.dims,
            a_batch: batch.a,
            b_batch: batch.b,
            c_batch: batch.c,
            count: count.unwrap_or(0),
            m,
            n,
            k,
            a,
            b,
            epilogue,
            c: Shared(c.data.as_mut_ptr()),
            ldc: c.row_stride,
        };
        if !job.is_empty() {
            job.check(c.data.len())?;
        }
        Ok(job)
    }

    fn is_empty(&self) -> bool {
        self.count == 0 || self.m == 0 || self.n == 0
    }

    /// Checks that operands and result hold all products, and that the result holds them apart.
    fn check(&self, c_len: usize) -> Result<()> {
        match self.a {
            Lhs::Plain(a) => covers("A", &a, self.dims, self.a_batch)?,
            Lhs::Packed(p) => self.check_packed("A", p.isa, self.a_batch)?,
        }
        match self.b {
            Rhs::Plain(b) => covers("B", &b, self.dims, self.b_batch)?,
            Rhs::Packed(p) => self.check_packed("B", p.isa, self.b_batch)?,
            Rhs::Source(_) => {}
        }
        let needed = extent(self.m, self.n, self.ldc, 1).and_then(|e| e.checked_add(batch_reach(self.dims, self.c_batch)?));
        ensure!(
            needed.is_some_and(|e| e <= c_len),
            InvalidArgument,
            "a result of {c_len} elements does not hold {} products of {}x{}",
            self.count,
            self.m,
            self.n
        );
        let mut axes = [(0, 1); MAX_AXES + 2];
        for (axis, (&dim, &stride)) in axes.iter_mut().zip(self.dims.iter().zip(self.c_batch)) {
            *axis = (stride, dim);
        }
        axes[self.dims.len()] = (self.ldc, self.m);
        axes[self.dims.len() + 1] = (1, self.n);
        check_disjoint(&mut axes[..self.dims.len() + 2])?;
        self.epilogue.check(self.dims, self.m, self.n)
    }

    fn check_packed(&self, name: &str, isa: Isa, strides: &[usize]) -> Result<()> {
        let (want, have) = (self.isa.name(), isa.name());
        ensure!(isa == self.isa, InvalidArgument, "{name} is packed for {have}, but the product runs on {want}");
        let still = self.dims.iter().zip(strides).all(|(&d, &s)| d == 1 || s == 0);
        ensure!(still, InvalidArgument, "{name} is packed, so its batch strides must be 0, not {strides:?}");
        Ok(())
    }

    /// The same products as a single one, if all share B and the rows of A, of the result and of the epilogue go on evenly from one product
    /// to the next.
    fn folded(self) -> Self {
        let Lhs::Plain(a) = self.a else { return self };
        let even = |stride, batch| goes_on(stride, self.m, self.dims, batch);
        let shared = is_shared(self.dims, self.b_batch);
        let folds = self.count > 1
            && shared
            && even(a.row_stride, self.a_batch)
            && even(self.ldc, self.c_batch)
            && self.epilogue.folds(self.dims, self.m);
        if !folds {
            return self;
        }
        let m = self.m * self.count;
        let a = Lhs::Plain(Mat { rows: m, ..a });
        Self { dims: &[], a_batch: &[], b_batch: &[], c_batch: &[], count: 1, m, a, ..self }
    }

    fn form_a(&self) -> Form {
        match self.a {
            Lhs::Packed(_) => Form::Packed,
            Lhs::Plain(a) if self.m == 1 && (a.col_stride == 1 || self.k <= 1) && T::IS_ACC => Form::Direct,
            Lhs::Plain(_) => Form::Pack,
        }
    }

    fn form_b(&self, tile: TileShape) -> Form {
        match self.b {
            Rhs::Packed(_) => Form::Packed,
            Rhs::Plain(b) if b.col_stride == 1 && is_direct(self.m, tile) => Form::Direct,
            Rhs::Plain(_) | Rhs::Source(_) => Form::Pack,
        }
    }
}

/// A checked batch of products, ready to run.
#[doc(hidden)]
pub struct Run<'a, 's, T: Scalar> {
    job: Job<'a, T>,
    scratch: &'s mut [u8],
}

impl<T: Scalar> Visit for Run<'_, '_, T> {
    type Output = Result<()>;

    fn visit<S: Tiles>(self, s: S) -> Result<()> {
        let job = self.job;
        let tile = TileShape::of::<S, T>();
        let extents = Extents {
            batch: job.count,
            m: job.m,
            n: job.n,
            k: job.k,
            acc: size_of::<T::Acc>(),
            element: size_of::<T>(),
            shared_a: is_shared(job.dims, job.a_batch),
            shared_b: is_shared(job.dims, job.b_batch),
            form_a: job.form_a(),
            form_b: job.form_b(tile),
        };
        let blocking = Blocking::new(&extents, tile);
        let mut own = Vec::new();
        let mut scratch = Scratch::new(self.scratch, &mut own, need::<T>(&blocking, job.k))?;
        let a_pack = Shared(scratch.take::<T::Acc>(blocking.scratch_rows * job.k)?);
        let b_pack = Shared(scratch.take::<T>(blocking.scratch_cols * job.k)?);
        Driver { s, job, blocking, extents, a_pack, b_pack }.run();
        Ok(())
    }
}

/// A batch of products under way.
struct Driver<'a, S, T: Scalar> {
    s: S,
    job: Job<'a, T>,
    blocking: Blocking,
    extents: Extents,
    a_pack: Shared<T::Acc>,
    b_pack: Shared<T>,
}

/// The panels and products worked on together.
struct Block {
    items: Range<usize>,
    rows: Range<usize>,
    cols: Range<usize>,
}

impl<S: Tiles, T: Scalar> Driver<'_, S, T> {
    fn run(&self) {
        let b = &self.blocking;
        for items in blocks(self.job.count, b.items) {
            for cols in blocks(b.cols, b.col_block) {
                self.pack_b(&items, &cols);
                for rows in blocks(b.rows.count, b.row_block) {
                    self.pack_a(&items, &rows);
                    self.compute(&Block { items: items.clone(), rows, cols: cols.clone() });
                }
            }
        }
    }

    /// Packs the row panels of a block, product by product.
    fn pack_a(&self, items: &Range<usize>, rows: &Range<usize>) {
        let Lhs::Plain(a) = self.job.a else { return };
        if self.extents.form_a != Form::Pack {
            return;
        }
        let k = self.job.k;
        let panels = self.blocking.rows;
        let copies = if self.extents.shared_a { 1 } else { items.len() };
        let units = copies * rows.len();
        let per_chunk = self.blocking.pack_rows(k, size_of::<T::Acc>());
        let values = panels.rows(rows) * k;
        parallel_for(units.div_ceil(per_chunk), &|chunk| {
            for unit in chunk * per_chunk..units.min((chunk + 1) * per_chunk) {
                let (copy, i) = (unit / rows.len(), rows.start + unit % rows.len());
                let (row, height) = (panels.start(i), panels.height(i));
                let offset = batch_offset(items.start + copy, self.job.dims, self.job.a_batch);
                // SAFETY: the scratch holds `values` for each copy, and each panel is written by one chunk only.
                let dst = unsafe { self.a_pack.get().add(copy * values + (row - panels.start(rows.start)) * k) };
                T::pack_a(S::ISA, PackA { a, offset, row, rows: height, dst });
            }
        });
    }

    /// Packs the column panels of a block, product by product: all of them, or only the narrow last one.
    fn pack_b(&self, items: &Range<usize>, cols: &Range<usize>) {
        let width = self.blocking.tile.cols;
        let cols = match self.extents.form_b {
            Form::Pack => cols.clone(),
            Form::Direct if !self.job.n.is_multiple_of(width) => self.blocking.cols - 1..self.blocking.cols,
            _ => return,
        };
        let copies = if self.extents.shared_b { 1 } else { items.len() };
        let per_chunk = self.blocking.pack_cols(self.job.k, size_of::<T>());
        let chunks = cols.len().div_ceil(per_chunk);
        parallel_for(copies * chunks, &|index| {
            let (copy, chunk) = (index / chunks, index % chunks);
            let first = cols.start + chunk * per_chunk;
            let panels = first..cols.end.min(first + per_chunk);
            // SAFETY: the scratch holds the panels of each copy, and each is written by one chunk only.
            let dst = unsafe { self.b_pack.get().add((copy * cols.len() + first - cols.start) * width * self.job.k) };
            self.pack_panels(if self.extents.shared_b { 0 } else { items.start + copy }, panels, dst);
        });
    }

    /// Packs column panels of product `item` to `dst`, which has room for them.
    fn pack_panels(&self, item: usize, panels: Range<usize>, dst: *mut T) {
        let (width, k) = (self.blocking.tile.cols, self.job.k);
        match self.job.b {
            Rhs::Plain(b) => {
                let offset = batch_offset(item, self.job.dims, self.job.b_batch);
                T::pack_b(S::ISA, PackB { b, offset, col: panels.start * width, panels: panels.len(), width, dst });
            }
            Rhs::Source(source) => {
                for j in panels.clone() {
                    // SAFETY: `dst` has room for the panels, initialized with whatever the scratch held.
                    let panel = unsafe { std::slice::from_raw_parts_mut(dst.add((j - panels.start) * width * k), width * k) };
                    panel.fill(T::default());
                    source.fill(item, j * width..self.job.n.min((j + 1) * width), width, panel);
                }
            }
            Rhs::Packed(_) => {}
        }
    }

    /// Computes the tiles of a block.
    fn compute(&self, block: &Block) {
        let b = &self.blocking;
        let (down, across) = (block.rows.len().div_ceil(b.chunk_rows), block.cols.len().div_ceil(b.chunk_cols));
        parallel_for(block.items.len() * down * across, &|chunk| {
            let (item, chunk) = (block.items.start + chunk / (down * across), chunk % (down * across));
            let (col, row) = (block.cols.start + chunk / down * b.chunk_cols, block.rows.start + chunk % down * b.chunk_rows);
            let rows = row..block.rows.end.min(row + b.chunk_rows);
            let (mut j, end) = (col, block.cols.end.min(col + b.chunk_cols));
            while j < end {
                let count = self.panels_at_once(&rows, j..end);
                self.column_panels(block, item, rows.clone(), j..j + count);
                j += count;
            }
        });
    }

    /// How many of the column panels `cols` are taken at once: several for one panel of few rows, if all are whole.
    fn panels_at_once(&self, rows: &Range<usize>, cols: Range<usize>) -> usize {
        let floats = T::tile_shape::<S>() == (S::ROWS, S::VECTORS);
        let count = if floats && rows.len() == 1 { panels_at_once(self.blocking.rows.height(rows.start)) } else { 1 };
        let whole = count <= cols.len() && (cols.start + count) * self.blocking.tile.cols <= self.job.n;
        if whole { count } else { 1 }
    }

    /// Computes the tiles of neighbouring column panels in the given row panels.
    fn column_panels(&self, block: &Block, item: usize, rows: Range<usize>, across: Range<usize>) {
        let (b, ldb) = self.b_panel(block, item, across.start);
        let tile = &self.blocking.tile;
        let panels = &self.blocking.rows;
        let (col, k) = (across.start * tile.cols, self.job.k);
        let cols = (across.len() * tile.cols).min(self.job.n - col);
        // Panels as they lie are neighbours in each row.
        let apart = if ldb == tile.cols { tile.cols * k } else { tile.cols };
        let a = self.a_block(block, item);
        let origin = batch_offset(item, self.job.dims, self.job.c_batch);
        for i in rows {
            let (row, height) = (panels.start(i), panels.height(i));
            // SAFETY: panel `i` lies in the block of A, and element `(row, col)` in the result.
            let (a, c) = unsafe {
                let a = a.get().add((row - panels.start(block.rows.start)) * k);
                (a, self.job.c.get().add(origin + row * self.job.ldc + col))
            };
            // SAFETY: the panels hold `k` steps of `height` rows and of a tile's columns; the result holds `height` by `cols` elements,
            // written by this tile only.
            unsafe { self.tile(Place { item, row, col, height, cols, panels: across.len() }, a, b.get(), ldb, apart, c) }
        }
    }

    /// The packed rows of the block for product `item`.
    fn a_block(&self, block: &Block, item: usize) -> SharedConst<T::Acc> {
        let panels = &self.blocking.rows;
        // SAFETY: the offsets lie in the operand (which was checked) or in its packed copy (which holds all rows of the block).
        unsafe {
            match self.job.a {
                Lhs::Packed(p) => SharedConst(p.panels.as_ptr::<T::Acc>().add(panels.start(block.rows.start) * self.job.k)),
                Lhs::Plain(a) if self.extents.form_a == Form::Direct => {
                    SharedConst(a.data.as_ptr().add(batch_offset(item, self.job.dims, self.job.a_batch)).cast())
                }
                Lhs::Plain(_) => {
                    let copy = if self.extents.shared_a { 0 } else { item - block.items.start };
                    SharedConst(self.a_pack.get().add(copy * panels.rows(&block.rows) * self.job.k).cast_const())
                }
            }
        }
    }

    /// Column panel `j` for product `item`, and the distance of its rows.
    fn b_panel(&self, block: &Block, item: usize, j: usize) -> (SharedConst<T>, usize) {
        let (width, k) = (self.blocking.tile.cols, self.job.k);
        let copy = if self.extents.shared_b { 0 } else { item - block.items.start };
        // SAFETY: the offsets lie in the operand (which was checked) or in its packed copy (which holds all panels of the block).
        unsafe {
            match (self.job.b, self.extents.form_b) {
                (Rhs::Packed(p), _) => (SharedConst(p.panels.as_ptr::<T>().add(j * width * k)), width),
                (Rhs::Plain(b), Form::Direct) if (j + 1) * width <= self.job.n => {
                    let offset = batch_offset(item, self.job.dims, self.job.b_batch) + j * width;
                    (SharedConst(b.data.as_ptr().add(offset)), b.row_stride)
                }
                (Rhs::Plain(_), Form::Direct) => (SharedConst(self.b_pack.get().add(copy * width * k).cast_const()), width),
                (Rhs::Plain(_) | Rhs::Source(_), _) => {
                    let panel = copy * block.cols.len() + j - block.cols.start;
                    (SharedConst(self.b_pack.get().add(panel * width * k).cast_const()), width)
                }
            }
        }
    }

    /// Computes one tile: straight into the result where nothing is to be done to it, else by way of a buffer.
    ///
    /// # Safety
    /// The panels hold `k` steps of the place's rows and of a whole tile's columns; `c` points to the place, which nobody else touches.
    unsafe fn tile(&self, at: Place, a: *const T::Acc, b: *const T, ldb: usize, apart: usize, c: *mut T) {
        let (shape, s, k) = (&self.blocking.tile, self.s, self.job.k);
        let vectors = at.cols.div_ceil(shape.lanes);
        let whole = vectors * shape.lanes == at.cols;
        let compute = |c: *mut T::Acc, ldc: usize| {
            let args = TileArgs { k, a, b, ldb, c, ldc };
            // SAFETY: as the caller says; `c` takes the tile, whose panels lie `apart`.
            unsafe { if at.panels > 1 { wide_tile(s, at.height, args, apart) } else { T::tile(s, at.height, vectors, args) } }
        };
        if T::IS_ACC && whole && self.job.epilogue.is_plain() {
            compute(c.cast(), self.job.ldc);
            return;
        }
        let mut buffer = Buffer::<T::Acc>(MaybeUninit::uninit());
        let ldt = at.panels * shape.cols;
        compute(buffer.0.as_mut_ptr().cast(), ldt);
        let finish = Finish {
            tile: buffer.0.as_ptr().cast(),
            ldt,
            rows: at.height,
            cols: at.cols,
            c,
            ldc: self.job.ldc,
            epilogue: self.job.epilogue,
            dims: self.job.dims,
            item: at.item,
            row: at.row,
            col: at.col,
        };
        s.vectorize(FinishTile(finish));
    }
}

/// Where a tile lies: the product, its first element, and how much of it lies in the result.
struct Place {
    item: usize,
    row: usize,
    col: usize,
    height: usize,
    cols: usize,
    /// The column panels that it covers.
    panels: usize,
}

/// A tile on a line boundary.
#[repr(align(64))]
pub(crate) struct Buffer<T>(pub(crate) MaybeUninit<[T; MAX_TILE]>);

/// Finishes a tile whose pointers are good.
pub(crate) struct FinishTile<'a, T: Scalar>(pub(crate) Finish<'a, T>);

impl<T: Scalar> Kernel for FinishTile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: whoever makes it vouches for the pointers and has checked the epilogue.
        unsafe { T::finish(s, self.0) }
    }
}

#[cfg(test)]
mod tests;
