//! How a batch of products is cut into blocks, packed pieces and chunks: by shapes alone, never by the number of threads.

use std::ops::Range;

use base::threads::parallel_for;

use crate::memory::padded;
use crate::panels::{RowPanels, TileShape};
use crate::scalar::Scalar;

/// Bytes of A packed at a time: the second-level caches of a few cores.
const A_BLOCK: usize = 2 << 20;
/// Bytes of B packed at a time, where it is not packed beforehand.
const B_BLOCK: usize = 4 << 20;
/// Bytes of packed A that one chunk walks over again and again: a good part of a second-level cache.
const CHUNK_A: usize = 512 << 10;
/// Cycles that a chunk should take at least: well above what handing it out costs.
const MIN_CHUNK: usize = 100_000;
/// Cycles that a chunk should take at most: well under a millisecond.
const MAX_CHUNK: usize = 1_500_000;
/// Chunks wanted, so that any sensible number of threads is kept busy.
const CHUNKS: usize = 64;
/// Row panels up to which B, if its rows are contiguous, is read where it lies: packing would not pay.
const DIRECT_PANELS: usize = 4;
/// Bytes that packing should move at least in one chunk.
const PACK_CHUNK: usize = 128 << 10;
/// Steps of `k` taken together, where there are many.
const STEPS: usize = 512;
/// Row panels from which on `k` is cut.
const FEW_PANELS: usize = 3;

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is packed already.
    Packed,
    /// The microkernel reads it where it lies (of B: all but a last narrow panel, which is packed).
    Direct,
    /// It is packed block by block.
    Pack,
}

/// The facts that decide the blocking.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extents {
    pub(crate) batch: usize,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Bytes of an accumulator.
    pub(crate) acc: usize,
    /// Bytes of an element of B.
    pub(crate) element: usize,
    /// Whether the result can hold sums that are not complete.
    pub(crate) sums: bool,
    /// Whether all products share their left or right operand.
    pub(crate) shared_a: bool,
    pub(crate) shared_b: bool,
    pub(crate) form_a: Form,
    pub(crate) form_b: Form,
}

/// The blocks of a batch of products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocking {
    pub(crate) tile: TileShape,
    pub(crate) rows: RowPanels,
    /// Panels across the columns.
    pub(crate) cols: usize,
    /// Products taken together.
    pub(crate) items: usize,
    /// Row panels packed together.
    pub(crate) row_block: usize,
    /// Column panels packed together.
    pub(crate) col_block: usize,
    /// Steps of `k` taken together.
    pub(crate) steps: usize,
    /// Row and column panels of a chunk.
    pub(crate) chunk_rows: usize,
    pub(crate) chunk_cols: usize,
    /// Rows of A and columns of B that scratch must hold.
    pub(crate) scratch_rows: usize,
    pub(crate) scratch_cols: usize,
}

/// Whether B should be read where it lies, given that its rows are contiguous.
pub(crate) fn is_direct(m: usize, tile: TileShape) -> bool {
    m.div_ceil(tile.rows) <= DIRECT_PANELS
}

impl Blocking {
    pub(crate) fn new(e: &Extents, tile: TileShape) -> Self {
        let rows = RowPanels::new(e.m, tile.rows);
        let cols = e.n.div_ceil(tile.cols);
        let row_bytes = (tile.rows * e.k * e.acc).max(1);
        let col_bytes = (tile.cols * e.k * e.element).max(1);
        let row_block = if e.form_a == Form::Pack { even(rows.count, A_BLOCK / row_bytes) } else { rows.count.max(1) };
        let col_block = if e.form_b == Form::Pack { even(cols, B_BLOCK / col_bytes) } else { cols.max(1) };
        let items = Self::items(e, cols * tile.cols, row_block == rows.count.max(1), col_block == cols.max(1));
        let (copies_a, copies_b) = (if e.shared_a { 1 } else { items }, if e.shared_b { 1 } else { items });
        let block_rows = row_block.min(rows.count) * tile.rows;
        let scratch_rows = if e.form_a == Form::Pack { copies_a * block_rows.min(e.m) } else { 0 };
        let scratch_cols = match e.form_b {
            Form::Pack => copies_b * col_block.min(cols) * tile.cols,
            Form::Direct if !e.n.is_multiple_of(tile.cols) => copies_b * tile.cols,
            _ => 0,
        };
        let steps = Self::steps(e, &rows);
        let (chunk_rows, chunk_cols) = Self::chunk(e, &rows, cols, tile, steps);
        Self { tile, rows, cols, items, row_block, col_block, steps, chunk_rows, chunk_cols, scratch_rows, scratch_cols }
    }

    /// Products taken together: one where it fills the blocks, else as many as fill them.
    fn items(e: &Extents, padded_n: usize, all_rows: bool, all_cols: bool) -> usize {
        if !all_rows || !all_cols {
            return 1;
        }
        let a = if e.form_a == Form::Pack && !e.shared_a { A_BLOCK / (e.m * e.k * e.acc).max(1) } else { usize::MAX };
        let b = if e.form_b != Form::Packed && !e.shared_b { B_BLOCK / (padded_n * e.k * e.element).max(1) } else { usize::MAX };
        a.min(b).clamp(1, e.batch.max(1))
    }

    /// Steps of `k` taken together: all, or as many as let a panel of B stay in a cache while it meets the rows.
    fn steps(e: &Extents, rows: &RowPanels) -> usize {
        if !e.sums || rows.count < FEW_PANELS { e.k.max(1) } else { e.k.div_ceil(e.k.div_ceil(STEPS).max(1)).max(1) }
    }

    /// Row and column panels of a chunk: enough of them to be worth handing out, and rows few enough to stay in a cache.
    fn chunk(e: &Extents, rows: &RowPanels, cols: usize, tile: TileShape, steps: usize) -> (usize, usize) {
        // A tile is bound by its multiply-adds (two vectors of `f32` a cycle on 256 bits), or by the bytes of B.
        let vector_ops = (tile.cols / tile.lanes) * rows.height(0).max(1);
        let cost = (e.k * vector_ops.max(tile.cols * e.element / 16)).max(1);
        let total = cost.saturating_mul(rows.count).saturating_mul(cols).saturating_mul(e.batch);
        let tiles = ((total / CHUNKS).clamp(MIN_CHUNK, MAX_CHUNK) / cost).max(1);
        let cached = (CHUNK_A / (tile.rows * steps * e.acc).max(1)).max(2);
        let chunk_rows = even(rows.count, cached.min(tiles));
        let chunk_cols = (tiles / chunk_rows).clamp(1, cols.max(1));
        (chunk_rows, chunk_cols)
    }

    /// The pieces of `0..k` that are taken one after the other; one at least.
    pub(crate) fn cuts(&self, k: usize) -> impl Iterator<Item = Range<usize>> {
        let steps = self.steps;
        (0..k.max(1)).step_by(steps).map(move |start| start..k.min(start + steps))
    }

    /// Bytes of scratch that the packed blocks take.
    pub(crate) fn scratch<T: Scalar>(&self, k: usize) -> usize {
        padded::<T::Acc>(self.scratch_rows * k) + padded::<T>(self.scratch_cols * k)
    }

    /// The most values of A that are packed at a time.
    pub(crate) fn most_a(tile: TileShape, batch: usize, m: usize, k: usize, acc: usize) -> usize {
        batch.saturating_mul(m).saturating_mul(k).min((A_BLOCK / acc).max(tile.rows.saturating_mul(k)))
    }

    /// The most values of B that are packed at a time.
    pub(crate) fn most_b(tile: TileShape, batch: usize, n: usize, k: usize, element: usize) -> usize {
        let padded = n.div_ceil(tile.cols).saturating_mul(tile.cols);
        batch.saturating_mul(padded).saturating_mul(k).min((B_BLOCK / element).max(tile.cols.saturating_mul(k)))
    }

    /// Row panels packed in one chunk.
    pub(crate) fn pack_rows(&self, k: usize, acc: usize) -> usize {
        (PACK_CHUNK / (self.tile.rows * k * acc).max(1)).max(1)
    }

    /// Column panels packed in one chunk.
    pub(crate) fn pack_cols(&self, k: usize, element: usize) -> usize {
        (PACK_CHUNK / (self.tile.cols * k * element).max(1)).clamp(crate::packed::PANELS_AT_ONCE, 64)
    }
}

/// The panels and products worked on together.
pub(crate) struct Block {
    pub(crate) items: Range<usize>,
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
}

/// What is done with the blocks of a batch of products.
pub(crate) trait Work: Sync {
    /// Packs row panels of the products `items`, where they are not packed.
    fn pack_a(&self, items: &Range<usize>, rows: &Range<usize>);

    /// Packs column panels of the products `items`, where they are not packed.
    fn pack_b(&self, items: &Range<usize>, cols: &Range<usize>);

    /// Computes some tiles of product `item` of a block: row panels by column panels.
    fn compute(&self, block: &Block, item: usize, rows: Range<usize>, cols: Range<usize>);
}

impl Blocking {
    /// Does `work` for `count` products: block by block, the tiles of each spread over threads.
    pub(crate) fn walk(&self, count: usize, work: &impl Work) {
        for items in blocks(count, self.items) {
            for cols in blocks(self.cols, self.col_block) {
                work.pack_b(&items, &cols);
                for rows in blocks(self.rows.count, self.row_block) {
                    work.pack_a(&items, &rows);
                    self.spread(&Block { items: items.clone(), rows, cols: cols.clone() }, work);
                }
            }
        }
    }

    fn spread(&self, block: &Block, work: &impl Work) {
        let (down, across) = (block.rows.len().div_ceil(self.chunk_rows), block.cols.len().div_ceil(self.chunk_cols));
        parallel_for(block.items.len() * down * across, &|chunk| {
            let (item, chunk) = (block.items.start + chunk / (down * across), chunk % (down * across));
            let (col, row) = (block.cols.start + chunk / down * self.chunk_cols, block.rows.start + chunk % down * self.chunk_rows);
            let (rows, cols) = (row..block.rows.end.min(row + self.chunk_rows), col..block.cols.end.min(col + self.chunk_cols));
            work.compute(block, item, rows, cols);
        });
    }
}

/// Panels of a block: `most`, or so many fewer that `count` panels make blocks about as long as each other; one at least.
fn even(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most.max(1)).max(1)).max(1)
}

/// Cuts `0..len` into blocks of `block`.
fn blocks(len: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(block.max(1)).map(move |start| start..len.min(start + block))
}
