//! Copying between two sets of strides: axes are merged, elements widened, and the rest is cut into blocks.

use base::threads::parallel_for;
use smallvec::SmallVec;

use super::block::{Block, Kernel};
use super::{Axes, Steps, Walk, merge};

/// Bytes that one chunk of work moves, about.
pub(crate) const CHUNK: usize = 64 << 10;

/// Where the bytes of both sides are: the first byte of element 0.
#[derive(Clone, Copy)]
struct Ends {
    from: *const u8,
    to: *mut u8,
}

// SAFETY: the addresses are those of tensors that `copy` borrows for the whole region; chunks write disjoint elements.
unsafe impl Sync for Ends {}

/// Copies elements of `size` bytes (1, 2, 4, 8 or 16); `axes` holds, in bytes, the strides of `from` and of `to`.
///
/// # Safety
/// Every element that the axes reach from `from` may be read, and every one that they reach from `to` written by nobody else;
/// the latter do not overlap each other nor the former.
pub(crate) unsafe fn copy(mut axes: Axes<2>, size: usize, from: *const u8, to: *mut u8) {
    if axes.iter().any(|a| a.len == 0) {
        return;
    }
    order_by_target(&mut axes);
    merge(&mut axes);
    let moves = Moves::new(axes, size);
    let ends = Ends { from, to };
    parallel_for(moves.chunks(), &|chunk| {
        let ends = &ends;
        // SAFETY: as for this function; the blocks of all chunks are disjoint.
        unsafe { moves.run(chunk, ends) };
    });
}

/// Orders axes so that the target is written from front to back. An insertion sort: axes are few and mostly in order.
fn order_by_target(axes: &mut Axes<2>) {
    for i in 1..axes.len() {
        let mut j = i;
        while j > 0 && axes[j - 1].by[1].unsigned_abs() < axes[j].by[1].unsigned_abs() {
            axes.swap(j - 1, j);
            j -= 1;
        }
    }
}

/// A copy cut into blocks of two axes.
#[derive(Debug)]
struct Moves {
    /// The axes around a block; the last two count the blocks along its rows and its columns.
    outer: Axes<2>,
    rows: Steps<2>,
    columns: Steps<2>,
    /// The most rows and columns of one block.
    block: (usize, usize),
    kernel: Kernel,
    /// Bytes of what the kernel moves at a time.
    unit: usize,
    /// Blocks that a chunk moves.
    per_chunk: usize,
}

const NO_AXIS: Steps<2> = Steps { len: 1, by: [0, 0] };

impl Moves {
    fn new(mut axes: Axes<2>, size: usize) -> Self {
        let mut unit = size;
        let mut inner = axes.pop().unwrap_or(NO_AXIS);
        // A short run of neighbours becomes one wide element.
        if inner.by == [size as isize; 2] && matches!(inner.len * size, 2 | 4 | 8 | 16) {
            unit = inner.len * size;
            inner = axes.pop().unwrap_or(NO_AXIS);
        }
        let one = unit as isize;
        let across = axes.iter().position(|a| a.by[0] == one && inner.by[1] == one && inner.by[0] != 0);
        let (kernel, rows) = match across {
            _ if inner.by == [one; 2] => (Kernel::Runs, axes.pop()),
            Some(i) => (Kernel::Tiles, Some(axes.remove(i))),
            None => (Kernel::Strided, axes.pop()),
        };
        let rows = rows.unwrap_or(NO_AXIS);
        let block = block_size(kernel, unit, rows.len, inner.len);
        let count = |axis: Steps<2>, by: usize| Steps { len: axis.len.div_ceil(by), by: axis.by.map(|s| s.wrapping_mul(by as isize)) };
        axes.push(count(rows, block.0));
        axes.push(count(inner, block.1));
        let per_chunk = (CHUNK / (block.0 * block.1 * unit).max(1)).max(1);
        Self { outer: axes, rows, columns: inner, block, kernel, unit, per_chunk }
    }

    fn blocks(&self) -> usize {
        self.outer.iter().map(|a| a.len).product()
    }

    fn chunks(&self) -> usize {
        self.blocks().div_ceil(self.per_chunk)
    }

    /// Moves the blocks of `chunk`.
    ///
    /// # Safety
    /// As for [`copy`].
    unsafe fn run(&self, chunk: usize, ends: &Ends) {
        let first = chunk * self.per_chunk;
        let mut walk = Walk::new(&self.outer, [0, 0], first);
        let last = self.outer.len() - 2;
        for _ in first..(first + self.per_chunk).min(self.blocks()) {
            let left = |axis: Steps<2>, block: usize, i: usize| Steps { len: block.min(axis.len - i * block), by: axis.by };
            let block = Block {
                rows: left(self.rows, self.block.0, walk.index(last)),
                columns: left(self.columns, self.block.1, walk.index(last + 1)),
                from: ends.from.wrapping_offset(walk.at[0]),
                to: ends.to.wrapping_offset(walk.at[1]),
            };
            // SAFETY: the block is a part of the axes, which the caller vouches for.
            unsafe { block.copy(self.kernel, self.unit) };
            walk.step();
        }
    }
}

/// How many rows and columns one block has: about [`CHUNK`] bytes, for tiles about as many rows as columns.
fn block_size(kernel: Kernel, unit: usize, rows: usize, columns: usize) -> (usize, usize) {
    let elements = CHUNK / unit;
    if kernel == Kernel::Tiles {
        let side = (elements.isqrt() / 64).max(1) * 64;
        let wide = columns.min(side.max(elements / rows.max(1)));
        return (rows.min((elements / wide.max(1)).max(side)).max(1), wide.max(1));
    }
    let wide = columns.min(elements).max(1);
    (rows.min(elements / wide).max(1), wide)
}

/// The axes of a copy of elements of `size` bytes between two sets of strides in elements.
pub(crate) fn paired(from: &[Steps<1>], to: &[Steps<1>], size: usize) -> Axes<2> {
    let size = size as isize;
    from.iter().zip(to).map(|(f, t)| Steps { len: f.len, by: [f.by[0] * size, t.by[0] * size] }).collect::<SmallVec<_>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::movement::Region;

    /// Copies with `copy` and one by one, and compares.
    fn check(size: usize, source: (usize, Region), target: Region) {
        let from: Vec<u8> = (0..source.0 * size).map(|i| (i * 31 + i / 251) as u8).collect();
        let elements = target.extent().map_or(0, |e| e.1 as usize + 1);
        let mut to = vec![0xeeu8; elements * size];
        let mut expected = to.clone();
        for (f, t) in source.1.elements().zip(target.elements()) {
            expected[t * size..][..size].copy_from_slice(&from[f * size..][..size]);
        }
        let axes = paired(source.1.axes(), target.axes(), size);
        let start = [source.1.offset(), target.offset()].map(|o| o * size as isize);
        // SAFETY: regions stay inside tensors of those sizes, and the target has no element twice.
        unsafe { copy(axes, size, from.as_ptr().offset(start[0]), to.as_mut_ptr().offset(start[1])) };
        assert_eq!(to, expected, "{size} {source:?} {target:?}");
    }

    fn transposed(dims: &[usize], order: &[usize]) {
        for size in [1, 2, 4, 8, 16] {
            let source = Region::dense(dims).permute(order).unwrap();
            let target = Region::dense(&source.dims());
            check(size, (dims.iter().product(), source), target);
        }
    }

    #[test]
    fn permutations() {
        for dims in [[1, 1, 1], [2, 3, 5], [7, 1, 33], [16, 17, 3], [3, 64, 70], [5, 2, 2], [40, 3, 41]] {
            for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                transposed(&dims, &order);
            }
        }
        transposed(&[2, 3, 4, 5, 3], &[4, 2, 0, 3, 1]);
        transposed(&[300, 270], &[1, 0]);
        transposed(&[3, 20000], &[1, 0]);
        transposed(&[20000, 3], &[1, 0]);
        transposed(&[], &[]);
        transposed(&[0, 3], &[1, 0]);
    }

    #[test]
    fn steps_repeats_and_runs() {
        for size in [1, 2, 4, 8, 16] {
            for step in [-1, 2, -2, 3] {
                let start = if step < 0 { 36 } else { 0 };
                let source = Region::dense(&[9, 37]).slice(1, start, step, 12).unwrap();
                check(size, (9 * 37, source.clone()), Region::dense(&[9, 12]));
                check(size, (9 * 37, source), Region::dense(&[9, 40]).slice(1, 3, 3, 12).unwrap());
            }
            for n in 1..70 {
                let source = Region::dense(&[5, 80]).slice(1, 1, 1, n).unwrap();
                check(size, (400, source), Region::dense(&[5, 90]).slice(1, 7, 1, n).unwrap());
                check(size, (n, Region::dense(&[n, 1]).broadcast(&[3, n, 5]).unwrap()), Region::dense(&[3, n, 5]));
            }
            check(size, (200_000, Region::dense(&[200_000])), Region::dense(&[200_000]));
            check(size, (1, Region::dense(&[1]).broadcast(&[100_001]).unwrap()), Region::dense(&[100_001]));
        }
    }
}
