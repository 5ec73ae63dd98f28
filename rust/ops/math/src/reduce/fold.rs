//! Folding elements into accumulators: what a reduction does to rows and to columns.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use simd::{Kernel, Simd};

use super::plan::TILE;
use crate::elementwise::{BLOCK, Buffer, Convert, vectorize};

/// Room for one accumulator of any fold.
pub(crate) type Slot = [u64; 2];

/// Elements that a row is folded in side by side, so that one addition need not wait for another.
const LANES: usize = 16;

/// How elements are folded: an associative operation on accumulators, and a step that takes an element.
pub(crate) trait Fold: Copy + Send + Sync + 'static {
    /// The element type.
    type Item: Copy + Send + Sync;
    /// What elements are folded into; no larger than a [`Slot`].
    type Acc: Copy + Send + Sync;
    /// Whether the loops are compiled for wide vectors too.
    const WIDE: bool;

    /// The accumulator of nothing.
    fn start(self) -> Self::Acc;

    /// The accumulator with one element more.
    fn step(self, acc: Self::Acc, x: Self::Item) -> Self::Acc;

    /// The accumulator of the elements of both.
    fn join(self, a: Self::Acc, b: Self::Acc) -> Self::Acc;

    /// The accumulator with the elements of `x` more. The order depends on their number only.
    #[inline(always)]
    fn row(self, acc: Self::Acc, x: &[Self::Item]) -> Self::Acc {
        let (whole, rest) = x.as_chunks::<LANES>();
        if whole.is_empty() {
            return rest.iter().fold(acc, |acc, x| self.step(acc, *x));
        }
        let mut lanes = [self.start(); LANES];
        for part in whole {
            for (lane, x) in lanes.iter_mut().zip(part) {
                *lane = self.step(*lane, *x);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane = self.step(*lane, *x);
        }
        lanes.into_iter().fold(acc, |acc, lane| self.join(acc, lane))
    }

    /// Takes element `i` of a row into accumulator `i`.
    #[inline(always)]
    fn column(self, accs: &mut [Self::Acc], row: &[Self::Item]) {
        accs.iter_mut().zip(row).for_each(|(acc, x)| *acc = self.step(*acc, *x));
    }
}

/// A fold with its types forgotten, so that drivers are compiled once. Accumulators lie one after another from the first slot on.
///
/// # Safety
/// For every function: accumulators were made by `start` of the same fold, `n` of them from the address on and aligned as slots are; the
/// elements are of the fold's type, initialized and as many as the parameters say; results have room.
pub(crate) trait Reduce: Send + Sync {
    /// Makes `n` accumulators of nothing.
    unsafe fn start(&self, accs: *mut Slot, n: usize);

    /// Folds row `i`, `len` elements from `x + i * len` on, into accumulator `i`.
    unsafe fn rows(&self, accs: *mut Slot, n: usize, x: *const u8, len: usize);

    /// Folds `rows` rows, `stride` elements apart, of `n` elements each into the accumulators, element `i` into accumulator `i`.
    unsafe fn columns(&self, accs: *mut Slot, n: usize, x: *const u8, rows: usize, stride: usize);

    /// Joins accumulator `i` of `others` to accumulator `i`.
    unsafe fn join(&self, accs: *mut Slot, others: *const Slot, n: usize);

    /// Writes `n` results of `count` elements each.
    unsafe fn finish(&self, accs: *const Slot, n: usize, count: usize, out: *mut u8);

    /// Bytes from one accumulator to the next.
    fn acc_size(&self) -> usize;
}

/// A fold, and what its accumulator and the number of elements give.
pub(crate) struct Typed<F: Fold, O> {
    /// The fold.
    pub(crate) fold: F,
    /// The result.
    pub(crate) finish: fn(F::Acc, usize) -> O,
}

impl<F: Fold, O: Copy + 'static> Reduce for Typed<F, O> {
    unsafe fn start(&self, accs: *mut Slot, n: usize) {
        const { assert!(size_of::<F::Acc>() <= size_of::<Slot>() && align_of::<F::Acc>() <= align_of::<Slot>()) };
        // SAFETY: the caller vouches for the slots, and an accumulator is no larger than one.
        (0..n).for_each(|i| unsafe { accs.cast::<F::Acc>().add(i).write(self.fold.start()) });
    }

    unsafe fn rows(&self, accs: *mut Slot, n: usize, x: *const u8, len: usize) {
        // SAFETY: the caller vouches for `n` accumulators and as many rows.
        let (accs, x) = unsafe { (from_raw_parts_mut(accs.cast(), n), from_raw_parts(x.cast(), n * len)) };
        vectorize(F::WIDE, Rows { fold: self.fold, accs, x, len });
    }

    unsafe fn columns(&self, accs: *mut Slot, n: usize, x: *const u8, rows: usize, stride: usize) {
        if rows == 0 || n == 0 {
            return;
        }
        // SAFETY: the caller vouches for `n` accumulators, and for rows of which the last has `n` elements.
        let (accs, x) = unsafe { (from_raw_parts_mut(accs.cast(), n), from_raw_parts(x.cast(), (rows - 1) * stride + n)) };
        vectorize(F::WIDE, Columns { fold: self.fold, accs, x, stride });
    }

    unsafe fn join(&self, accs: *mut Slot, others: *const Slot, n: usize) {
        // SAFETY: the caller vouches for `n` accumulators on both sides, which are apart.
        let (accs, others) = unsafe { (from_raw_parts_mut(accs.cast::<F::Acc>(), n), from_raw_parts(others.cast::<F::Acc>(), n)) };
        accs.iter_mut().zip(others).for_each(|(a, b)| *a = self.fold.join(*a, *b));
    }

    unsafe fn finish(&self, accs: *const Slot, n: usize, count: usize, out: *mut u8) {
        // SAFETY: the caller vouches for `n` accumulators and room for as many results.
        let accs = unsafe { from_raw_parts(accs.cast::<F::Acc>(), n) };
        // SAFETY: as above.
        accs.iter().enumerate().for_each(|(i, acc)| unsafe { out.cast::<O>().add(i).write((self.finish)(*acc, count)) });
    }

    fn acc_size(&self) -> usize {
        size_of::<F::Acc>()
    }
}

/// One row, folded into an accumulator of its own.
pub(crate) struct Row<'a, F: Fold> {
    /// The fold.
    pub(crate) fold: F,
    /// The row.
    pub(crate) x: &'a [F::Item],
}

impl<F: Fold> Kernel for Row<'_, F> {
    type Output = F::Acc;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> F::Acc {
        self.fold.row(self.fold.start(), self.x)
    }
}

struct Rows<'a, F: Fold> {
    fold: F,
    accs: &'a mut [F::Acc],
    x: &'a [F::Item],
    len: usize,
}

impl<F: Fold> Kernel for Rows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (i, acc) in self.accs.iter_mut().enumerate() {
            *acc = self.fold.row(*acc, &self.x[i * self.len..][..self.len]);
        }
    }
}

struct Columns<'a, F: Fold> {
    fold: F,
    accs: &'a mut [F::Acc],
    x: &'a [F::Item],
    stride: usize,
}

impl<F: Fold> Kernel for Columns<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { fold, accs, x, stride } = self;
        let n = accs.len();
        if stride != n || n * 4 > TILE {
            return x.chunks(stride).for_each(|row| fold.column(accs, row));
        }
        // Short rows that follow each other: many at once make a long one.
        let wide = TILE / n * n;
        let mut lanes = [fold.start(); TILE];
        x.chunks(wide).for_each(|rows| fold.column(&mut lanes[..wide], rows));
        for row in lanes[..wide].chunks(n) {
            accs.iter_mut().zip(row).for_each(|(acc, lane)| *acc = fold.join(*acc, *lane));
        }
    }
}

/// A fold of `f32`, applied to a 16-bit float type.
pub(crate) struct Halves {
    /// The fold, whose results are `f32`.
    pub(crate) inner: Box<dyn Reduce>,
    /// From the type to `f32`.
    pub(crate) load: Convert,
    /// From `f32` to the type.
    pub(crate) store: Convert,
}

impl Reduce for Halves {
    unsafe fn start(&self, accs: *mut Slot, n: usize) {
        // SAFETY: the caller vouches for all.
        unsafe { self.inner.start(accs, n) };
    }

    unsafe fn rows(&self, accs: *mut Slot, n: usize, x: *const u8, len: usize) {
        let mut buffer = Buffer::default();
        if len == 0 {
            return;
        }
        // Whole rows at once where they are short, else parts of one.
        let at_once = (BLOCK / len).max(1);
        for first in (0..n).step_by(at_once) {
            let rows = at_once.min(n - first);
            for start in (0..len).step_by(BLOCK) {
                let part = BLOCK.min(len - start);
                // SAFETY: these are elements of the rows from `first` on, no more than a block of them.
                unsafe {
                    self.load.0.run(x.add((first * len + start) * 2), buffer.address(), rows * part);
                    let accs = accs.byte_add(first * self.inner.acc_size());
                    self.inner.rows(accs, rows, buffer.address(), part);
                }
            }
        }
    }

    unsafe fn columns(&self, accs: *mut Slot, n: usize, x: *const u8, rows: usize, stride: usize) {
        let mut buffer = Buffer::default();
        if n == 0 {
            return;
        }
        let at_once = BLOCK / n;
        for first in (0..rows).step_by(at_once) {
            let part = at_once.min(rows - first);
            // SAFETY: these are rows that the caller vouches for, and together no more than a block.
            unsafe {
                for row in 0..part {
                    self.load.0.run(x.add((first + row) * stride * 2), buffer.address().add(row * n * 4), n);
                }
                self.inner.columns(accs, n, buffer.address(), part, n);
            }
        }
    }

    unsafe fn join(&self, accs: *mut Slot, others: *const Slot, n: usize) {
        // SAFETY: the caller vouches for all.
        unsafe { self.inner.join(accs, others, n) };
    }

    unsafe fn finish(&self, accs: *const Slot, n: usize, count: usize, out: *mut u8) {
        let mut buffer = Buffer::default();
        // SAFETY: the caller vouches for all; a tile has no more results than a block.
        unsafe {
            self.inner.finish(accs, n, count, buffer.address());
            self.store.0.run(buffer.address(), out, n);
        }
    }

    fn acc_size(&self) -> usize {
        self.inner.acc_size()
    }
}
