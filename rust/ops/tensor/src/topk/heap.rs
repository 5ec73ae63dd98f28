//! Choosing with a heap of indices that lives in the output: no memory of its own, one pass over the line.

use std::cmp::Ordering;

use base::threads::{Pace, SharedMut, parallel_for, pieces};
use base::{Result, TensorMut, TensorRef, ensure};

use super::Lines;
use crate::movement::CHUNK;
use crate::order::Ordered;

/// The kernel for elements of type `T`: see [`Select`](super::Select).
pub(super) fn select<T: Ordered>(x: TensorRef<'_>, lines: &Lines, values: TensorMut<'_>, indices: &mut [i64]) -> Result<()> {
    let x = x.slice::<T>()?;
    let &Lines { outer, n, inner, k, .. } = lines;
    ensure!(x.len() == outer * n * inner && indices.len() == outer * k * inner, Fail, "{lines:?} do not suit {} elements", x.len());
    if indices.is_empty() {
        return Ok(());
    }
    let values = values.slice::<T>()?;
    ensure!(values.len() == indices.len(), Fail, "{} values and {} indices", values.len(), indices.len());
    let (values, indices) = (SharedMut::new(values), SharedMut::new(indices));
    let count = outer * inner;
    let grain = (CHUNK / (n * size_of::<T>())).max(1);
    parallel_for(count.div_ceil(grain), &|chunk| {
        for line in chunk * grain..((chunk + 1) * grain).min(count) {
            let (o, i) = (line / inner, line % inner);
            let x = &x[o * n * inner + i..];
            let start = o * k * inner + i;
            let heap = Heap { x, inner, k, largest: lines.largest, slots: &indices, start, pace: Pace::default() };
            heap.choose(n);
            for r in pieces(k, PIECE).flatten() {
                let at = start + r * inner;
                // SAFETY: lines have no slot in common, and each line is in one chunk.
                unsafe { values.part(at..at + 1)[0] = *heap.element(heap.get(r)) };
            }
        }
    });
    Ok(())
}

/// A heap of `k` indices of one line, the worst at its root. Slot `r` is element `start + r * inner` of `slots`.
struct Heap<'a, T> {
    x: &'a [T],
    inner: usize,
    k: usize,
    largest: bool,
    slots: &'a SharedMut<'a, i64>,
    start: usize,
    pace: Pace,
}

/// Elements between checkpoints, in loops over all.
const PIECE: usize = 1 << 15;

impl<T: Ordered> Heap<'_, T> {
    fn get(&self, r: usize) -> i64 {
        let at = self.start + r * self.inner;
        // SAFETY: the slots of a line are used by the chunk that has the line, one at a time.
        unsafe { self.slots.part(at..at + 1)[0] }
    }

    fn set(&self, r: usize, index: i64) {
        let at = self.start + r * self.inner;
        // SAFETY: as for `get`.
        unsafe { self.slots.part(at..at + 1)[0] = index };
    }

    fn element(&self, index: i64) -> &T {
        &self.x[index as usize * self.inner]
    }

    /// Whether element `a` is chosen before element `b`, whatever their indices.
    #[inline]
    fn beats(&self, a: &T, b: &T) -> bool {
        a.order(b) == if self.largest { Ordering::Greater } else { Ordering::Less }
    }

    /// Whether index `a` comes after index `b` in the result.
    fn worse(&self, a: i64, b: i64) -> bool {
        // Elements far from each other are waited for.
        self.pace.spend(16);
        let (x, y) = (self.element(a), self.element(b));
        self.beats(y, x) || (a > b && !self.beats(x, y))
    }

    /// Lets `index` sink from slot `r` until the slots below are no worse, in a heap of `len` slots.
    fn sink(&self, mut r: usize, index: i64, len: usize) {
        loop {
            let mut child = 2 * r + 1;
            if child >= len {
                break;
            }
            if child + 1 < len && self.worse(self.get(child + 1), self.get(child)) {
                child += 1;
            }
            let lower = self.get(child);
            if !self.worse(lower, index) {
                break;
            }
            self.set(r, lower);
            r = child;
        }
        self.set(r, index);
    }

    /// Leaves the best of `n` elements in the slots, the best first.
    fn choose(&self, n: usize) {
        pieces(self.k, PIECE).flatten().for_each(|r| self.set(r, r as i64));
        if self.k == n && self.inner == 1 {
            return self.sort();
        }
        (0..self.k / 2).rev().for_each(|r| self.sink(r, self.get(r), self.k));
        let mut worst = *self.element(self.get(0));
        for piece in pieces(n - self.k, PIECE) {
            for i in piece.start + self.k..piece.end + self.k {
                // A later element that equals the worst does not replace it.
                if self.beats(&self.x[i * self.inner], &worst) {
                    self.sink(0, i as i64, self.k);
                    worst = *self.element(self.get(0));
                }
            }
        }
        self.sort();
    }

    /// Puts the best first.
    fn sort(&self) {
        if self.inner == 1 {
            // SAFETY: as for `get`: the slots of a line lie together here, and nobody else uses them.
            let slots = unsafe { self.slots.part(self.start..self.start + self.k) };
            slots.sort_unstable_by(|&a, &b| if self.worse(a, b) { Ordering::Greater } else { Ordering::Less });
            return;
        }
        for end in (1..self.k).rev() {
            let (first, last) = (self.get(0), self.get(end));
            self.set(end, first);
            self.sink(0, last, end);
        }
    }
}
