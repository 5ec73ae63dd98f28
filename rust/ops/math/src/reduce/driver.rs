//! Running a fold over a tensor, tile by tile, in chunks for threads.

use std::mem::MaybeUninit;

use base::threads::parallel_for;

use super::fold::{Reduce, Slot};
use super::plan::{Axis, Plan, TILE, count, offset};
use crate::elementwise::Target;

/// Elements that a chunk folds at least.
const CHUNK: usize = 16 * 1024;

/// A reduction is split if there are fewer tiles than this, each with elements for several chunks.
const FEW: usize = 16;

/// Accumulators of all parts of a split reduction together.
const PARTIAL: usize = 4096;

/// Parts of a split reduction at most.
const PARTS: usize = 128;

/// A reduction under way.
pub(crate) struct Reduction<'a> {
    pub(crate) reduce: &'a dyn Reduce,
    pub(crate) plan: &'a Plan,
    /// The dense input.
    pub(crate) input: *const u8,
    /// Bytes of an element of the input.
    pub(crate) size: usize,
    /// The dense output.
    pub(crate) output: Target,
}

// SAFETY: chunks only read the input, and write disjoint parts of the output.
unsafe impl Sync for Reduction<'_> {}

/// Outputs that are computed at once: so many from this one on, along the innermost axis that is kept.
#[derive(Clone, Copy)]
struct Tile {
    /// The index of the outer axes that are kept.
    outer: usize,
    first: usize,
    n: usize,
}

impl Reduction<'_> {
    /// Computes all outputs.
    ///
    /// # Safety
    /// The input holds the elements of the plan, of the type of the fold; the output has room for the outputs of the plan, and does not
    /// overlap the input.
    pub(crate) unsafe fn run(&self) {
        let (plan, inputs) = (self.plan, self.plan.inputs());
        let outer = count(&plan.outer_kept);
        if plan.outputs() == 0 {
            return;
        }
        // Columns are best read as wide as they are; rows are as many as make up a chunk.
        let width = if plan.rows { (CHUNK / inputs.max(1)).clamp(1, TILE) } else { TILE }.min(plan.kept.len);
        let tiles = plan.kept.len.div_ceil(width);
        let tile = |i: usize| {
            let first = i % tiles * width;
            Tile { outer: i / tiles, first, n: width.min(plan.kept.len - first) }
        };
        let total = outer * tiles;
        let parts = (width * inputs).div_ceil(4 * CHUNK).min(PARTS).min(PARTIAL / width);
        if total < FEW && parts > 1 {
            // SAFETY: as the caller vouches.
            (0..total).for_each(|i| unsafe { self.split(tile(i), parts) });
            return;
        }
        let per_chunk = (CHUNK / (width * inputs.max(1))).max(1);
        parallel_for(total.div_ceil(per_chunk), &|chunk| {
            let mut accs = [const { MaybeUninit::<Slot>::uninit() }; TILE];
            let accs = accs.as_mut_ptr().cast::<Slot>();
            for i in chunk * per_chunk..total.min((chunk + 1) * per_chunk) {
                // SAFETY: as the caller vouches; the accumulators of a tile have room, and chunks have different tiles.
                unsafe {
                    self.fold(tile(i), 0..inputs, accs);
                    self.finish(tile(i), accs);
                }
            }
        });
    }

    /// Folds a tile in parts, which are joined in order.
    ///
    /// # Safety
    /// As for [`run`](Self::run); `parts` times the width of the tile is at most [`PARTIAL`].
    unsafe fn split(&self, tile: Tile, parts: usize) {
        let inputs = self.plan.inputs();
        let mut partial = [const { MaybeUninit::<Slot>::uninit() }; PARTIAL];
        let partial = Target::new(partial.as_mut_ptr().cast(), tile.n * size_of::<Slot>());
        let len = inputs.div_ceil(parts);
        parallel_for(parts, &|part| {
            let range = (part * len).min(inputs)..((part + 1) * len).min(inputs);
            // SAFETY: as the caller vouches; each part has accumulators of its own.
            unsafe { self.fold(tile, range, partial.at(part).cast()) };
        });
        let accs = partial.at(0).cast::<Slot>();
        // SAFETY: every part has made its accumulators.
        unsafe {
            (1..parts).for_each(|part| self.reduce.join(accs, partial.at(part).cast_const().cast(), tile.n));
            self.finish(tile, accs);
        }
    }

    /// Folds those inputs of each output of a tile whose number is in `range` into new accumulators.
    ///
    /// # Safety
    /// As for [`run`](Self::run), with room for the accumulators.
    unsafe fn fold(&self, tile: Tile, range: std::ops::Range<usize>, accs: *mut Slot) {
        let plan = self.plan;
        let Axis { len, stride } = plan.reduced;
        let base = offset(&plan.outer_kept, tile.outer) + tile.first * plan.kept.stride;
        // SAFETY: every offset belongs to an element of the input; rows of a tile follow each other, `kept.stride` apart.
        unsafe {
            self.reduce.start(accs, tile.n);
            let mut at = range.start;
            while at < range.end {
                let (outer, inner) = (at / len, at % len);
                let n = (len - inner).min(range.end - at);
                let x = self.input.add((base + offset(&plan.outer_reduced, outer) + inner * stride) * self.size);
                if !plan.rows {
                    self.reduce.columns(accs, tile.n, x, n, stride);
                } else if n == len && plan.kept.stride == len {
                    self.reduce.rows(accs, tile.n, x, len);
                } else {
                    for row in 0..tile.n {
                        let acc = accs.byte_add(row * self.reduce.acc_size());
                        self.reduce.rows(acc, 1, x.add(row * plan.kept.stride * self.size), n);
                    }
                }
                at += n;
            }
        }
    }

    /// Writes the outputs of a tile.
    ///
    /// # Safety
    /// The accumulators are those of the tile, with all its inputs.
    unsafe fn finish(&self, tile: Tile, accs: *const Slot) {
        let out = self.output.at(tile.outer * self.plan.kept.len + tile.first);
        // SAFETY: the outputs of a tile follow each other.
        unsafe { self.reduce.finish(accs, tile.n, self.plan.inputs(), out) };
    }
}
