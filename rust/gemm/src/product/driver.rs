//! The walk over a batch of products: packs what is not packed, and spreads the tiles over threads.

use std::mem::MaybeUninit;
use std::ops::Range;

use base::Result;
use base::threads::parallel_for;
use simd::{Kernel, Simd};

use super::{Job, Lhs, Rhs};
use crate::blocking::{Block, Blocking, Extents, Form, Work};
use crate::epilogue::Finish;
use crate::kernel::{Later, TileArgs, Tiles, Visit, panels_at_once, wide_tile};
use crate::matrix::{batch_offset, is_shared};
use crate::memory::{Scratch, Shared, SharedConst};
use crate::pack::{PackA, PackB};
use crate::panels::{MAX_TILE, TileShape};
use crate::scalar::Scalar;

/// A checked batch of products, ready to run.
#[doc(hidden)]
pub struct Run<'a, 's, T: Scalar> {
    pub(super) job: Job<'a, T>,
    pub(super) scratch: &'s mut [u8],
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
            sums: T::IS_ACC,
            shared_a: is_shared(job.dims, job.a_batch),
            shared_b: is_shared(job.dims, job.b_batch),
            form_a: job.form_a(),
            form_b: job.form_b(tile),
        };
        let blocking = Blocking::new(&extents, tile);
        let mut own = Vec::new();
        let mut scratch = Scratch::new(self.scratch, &mut own, blocking.scratch::<T>(job.k))?;
        let a_pack = Shared(scratch.take::<T::Acc>(blocking.scratch_rows * job.k)?);
        let b_pack = Shared(scratch.take::<T>(blocking.scratch_cols * job.k)?);
        blocking.walk(job.count, &Driver { s, job: &job, blocking: &blocking, extents, a_pack, b_pack });
        Ok(())
    }
}

/// A batch of products under way.
struct Driver<'d, 'a, S, T: Scalar> {
    s: S,
    job: &'d Job<'a, T>,
    blocking: &'d Blocking,
    extents: Extents,
    a_pack: Shared<T::Acc>,
    b_pack: Shared<T>,
}

impl<S: Tiles, T: Scalar> Work for Driver<'_, '_, S, T> {
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

    fn compute(&self, block: &Block, item: usize, rows: Range<usize>, cols: Range<usize>) {
        for steps in self.blocking.cuts(self.job.k) {
            let mut j = cols.start;
            while j < cols.end {
                let count = self.panels_at_once(&rows, j..cols.end);
                let next = match (j + count < cols.end, steps.end < self.job.k) {
                    (true, _) => (j + count, steps.start),
                    (_, true) => (cols.start, steps.end),
                    _ => (cols.end.min(block.cols.end - 1), 0),
                };
                self.column_panels(block, item, rows.clone(), j..j + count, steps.clone(), next);
                j += count;
            }
        }
    }
}

impl<S: Tiles, T: Scalar> Driver<'_, '_, S, T> {
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

    /// How many of the column panels `cols` are taken at once: several for one panel of few rows, if all are whole.
    fn panels_at_once(&self, rows: &Range<usize>, cols: Range<usize>) -> usize {
        let floats = T::tile_shape::<S>() == (S::ROWS, S::VECTORS);
        let count = if floats && rows.len() == 1 && self.blocking.steps >= self.job.k {
            panels_at_once(self.blocking.rows.height(rows.start))
        } else {
            1
        };
        let whole = count <= cols.len() && (cols.start + count) * self.blocking.tile.cols <= self.job.n;
        if whole { count } else { 1 }
    }

    /// Computes the tiles of neighbouring column panels in the given row panels, or adds to them what `steps` of `k` give.
    fn column_panels(
        &self,
        block: &Block,
        item: usize,
        rows: Range<usize>,
        across: Range<usize>,
        steps: Range<usize>,
        next: (usize, usize),
    ) {
        let (b, ldb) = self.b_panel(block, item, across.start);
        let tile = &self.blocking.tile;
        let panels = &self.blocking.rows;
        let (col, k) = (across.start * tile.cols, self.job.k);
        let cols = (across.len() * tile.cols).min(self.job.n - col);
        // Panels as they lie are neighbours in each row.
        let apart = if ldb == tile.cols { tile.cols * k } else { tile.cols };
        let a = self.a_block(block, item);
        let origin = batch_offset(item, self.job.dims, self.job.c_batch);
        let later = self.later(block, item, next);
        let (count, pace) = (rows.len(), tile.cols.div_ceil(rows.len()));
        for (turn, i) in rows.enumerate() {
            let (row, height) = (panels.start(i), panels.height(i));
            // SAFETY: panel `i` lies in the block of A, and element `(row, col)` in the result.
            let (a, b, c) = unsafe {
                let a = a.get().add((row - panels.start(block.rows.start)) * k + steps.start * height);
                (a, b.get().add(steps.start * ldb), self.job.c.get().add(origin + row * self.job.ldc + col))
            };
            let later = Later { start: later.wrapping_add(turn * steps.len() * tile.cols / count), pace };
            let place = Place { item, row, col, height, cols, panels: across.len(), steps: steps.clone(), later };
            // SAFETY: the panels hold `k` steps of `height` rows and of a tile's columns; the result holds `height` by `cols` elements,
            // written by this tile only.
            unsafe { self.tile(place, a, b, ldb, apart, c) }
        }
    }

    /// Where column panel `j` of product `item` holds step `k`.
    fn later(&self, block: &Block, item: usize, (j, k): (usize, usize)) -> *const T {
        let (b, ldb) = self.b_panel(block, item, j);
        b.get().wrapping_add(k * ldb)
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

    /// Computes one tile, or adds to it: straight in the result where nothing is to be done to it (yet), else by way of a buffer.
    ///
    /// # Safety
    /// The panels hold the place's steps of its rows and of a whole tile's columns; `c` points to the place, which nobody else touches, and
    /// which holds the sums so far, if any.
    unsafe fn tile(&self, at: Place<T>, a: *const T::Acc, b: *const T, ldb: usize, apart: usize, c: *mut T) {
        let (shape, s) = (&self.blocking.tile, self.s);
        let (fresh, last) = (at.steps.start == 0 && !self.job.onto, at.steps.end == self.job.k);
        let vectors = at.cols.div_ceil(shape.lanes);
        let whole = vectors * shape.lanes == at.cols;
        let compute = |c: *mut T::Acc, ldc: usize, begun: Option<*const T::Acc>| {
            let args = TileArgs { k: at.steps.len(), a, b, ldb, c, ldc, begun, later: at.later };
            // SAFETY: as the caller says; `c` takes the tile, whose panels lie `apart`.
            unsafe { if at.panels > 1 { wide_tile(s, at.height, args, apart) } else { T::tile(s, at.height, vectors, args) } }
        };
        if T::IS_ACC && whole && (!last || self.job.epilogue.is_plain()) {
            compute(c.cast(), self.job.ldc, (!fresh).then_some(c.cast_const().cast()));
            return;
        }
        let mut buffer = Buffer::<T::Acc>(MaybeUninit::uninit());
        let (sums, ldt): (*mut T::Acc, usize) = (buffer.0.as_mut_ptr().cast(), at.panels * shape.cols);
        if !fresh {
            // SAFETY: sums are cut, or begun, only where the result holds them; the buffer holds the tile.
            unsafe { copy_rows(c.cast_const().cast(), self.job.ldc, sums, ldt, at.height, at.cols) };
        }
        compute(sums, ldt, (!fresh).then_some(sums.cast_const()));
        if !last {
            // SAFETY: as above.
            unsafe { copy_rows(sums.cast_const(), ldt, c.cast(), self.job.ldc, at.height, at.cols) };
            return;
        }
        let finish = Finish {
            tile: sums,
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

/// Copies rows of `cols` values.
///
/// # Safety
/// Both sides hold `rows` rows, as far apart as said, which do not overlap.
unsafe fn copy_rows<V>(from: *const V, from_ld: usize, to: *mut V, to_ld: usize, rows: usize, cols: usize) {
    for r in 0..rows {
        // SAFETY: as the caller says.
        unsafe { to.add(r * to_ld).copy_from_nonoverlapping(from.add(r * from_ld), cols) };
    }
}

/// Where a tile lies: the product, its first element, and how much of it lies in the result.
struct Place<T> {
    item: usize,
    row: usize,
    col: usize,
    height: usize,
    cols: usize,
    /// The column panels that it covers.
    panels: usize,
    /// What is added to it now.
    steps: Range<usize>,
    later: Later<T>,
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
