//! Going through the index space of some axes while cursors follow in strides.

use smallvec::SmallVec;

/// One axis: how many steps it has, and how far one step moves each of `N` cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Steps<const N: usize> {
    /// The number of steps.
    pub(crate) len: usize,
    /// How far each cursor goes with one.
    pub(crate) by: [isize; N],
}

/// Axes, outermost first.
pub(crate) type Axes<const N: usize> = SmallVec<[Steps<N>; 8]>;

/// Drops axes of one step and joins neighbours that all cursors pass as if they were one.
pub(crate) fn merge<const N: usize>(axes: &mut Axes<N>) {
    axes.retain(|a| a.len != 1);
    let mut kept = 0;
    for i in 1..axes.len() {
        let (outer, inner) = (axes[kept], axes[i]);
        let joins = (0..N).all(|c| Some(outer.by[c]) == inner.by[c].checked_mul(inner.len as isize));
        let len = outer.len.checked_mul(inner.len).filter(|_| joins);
        match len {
            Some(len) => axes[kept] = Steps { len, by: inner.by },
            None => {
                kept += 1;
                axes[kept] = inner;
            }
        }
    }
    axes.truncate(kept + 1);
}

/// A place in the index space of `axes`, and where the cursors are there. It steps in row-major order.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a, const N: usize> {
    /// The axes but the innermost.
    outer: &'a [Steps<N>],
    inner: Steps<N>,
    /// The place on each outer axis.
    index: SmallVec<[usize; 8]>,
    /// Steps that the innermost axis has left, with this one.
    left: usize,
    /// The cursors.
    pub(crate) at: [isize; N],
}

impl<'a, const N: usize> Walk<'a, N> {
    /// The place number `start`, where cursors begin at `origin` for place 0. No axis is empty.
    pub(crate) fn new(axes: &'a [Steps<N>], origin: [isize; N], start: usize) -> Self {
        let (inner, outer) = axes.split_last().map_or((Steps { len: 1, by: [0; N] }, axes), |(inner, outer)| (*inner, outer));
        let mut walk = Self { outer, inner, index: SmallVec::from_elem(0, outer.len()), left: inner.len, at: origin };
        let place = start % inner.len.max(1);
        walk.left -= place.min(inner.len);
        walk.advance(inner, place);
        let mut rest = start / inner.len.max(1);
        for (i, axis) in outer.iter().enumerate().rev() {
            walk.index[i] = rest % axis.len.max(1);
            rest /= axis.len.max(1);
            walk.advance(*axis, walk.index[i]);
        }
        walk
    }

    fn advance(&mut self, axis: Steps<N>, steps: usize) {
        for c in 0..N {
            self.at[c] += axis.by[c] * steps as isize;
        }
    }

    /// The place on axis `axis`.
    pub(crate) fn index(&self, axis: usize) -> usize {
        self.index.get(axis).copied().unwrap_or(self.inner.len - self.left)
    }

    /// Goes to the next place; after the last, to the first.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.advance(self.inner, 1);
        self.left -= 1;
        if self.left == 0 {
            self.turn();
        }
    }

    /// Goes on to the next line of the innermost axis.
    fn turn(&mut self) {
        self.left = self.inner.len;
        for c in 0..N {
            self.at[c] -= self.inner.by[c] * self.inner.len as isize;
        }
        for (i, axis) in self.outer.iter().enumerate().rev() {
            self.index[i] += 1;
            for c in 0..N {
                self.at[c] += axis.by[c];
            }
            if self.index[i] < axis.len {
                return;
            }
            self.index[i] = 0;
            for c in 0..N {
                self.at[c] -= axis.by[c] * axis.len as isize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes(list: &[(usize, [isize; 2])]) -> Axes<2> {
        list.iter().map(|&(len, by)| Steps { len, by }).collect()
    }

    #[test]
    fn neighbours_join() {
        let mut a = axes(&[(2, [12, 12]), (1, [7, 7]), (3, [4, 4]), (4, [1, 1])]);
        merge(&mut a);
        assert_eq!(a, axes(&[(24, [1, 1])]));
        let mut a = axes(&[(2, [3, 12]), (3, [1, 4]), (4, [6, 1])]);
        merge(&mut a);
        assert_eq!(a, axes(&[(6, [1, 4]), (4, [6, 1])]));
        let mut a = axes(&[(5, [0, 1]), (1, [0, 0])]);
        merge(&mut a);
        assert_eq!(a.len(), 1);
        let mut a = axes(&[]);
        merge(&mut a);
        assert!(a.is_empty());
    }

    #[test]
    fn a_walk_may_start_anywhere() {
        let a = axes(&[(2, [100, 1]), (3, [-10, 2])]);
        let mut walk = Walk::new(&a, [5, 0], 0);
        for start in 0..6 {
            assert_eq!(walk.at, Walk::new(&a, [5, 0], start).at);
            assert_eq!(walk.at[0], 5 + 100 * (start / 3) as isize - 10 * (start % 3) as isize);
            walk.step();
        }
        assert_eq!(walk.at, [5, 0]);
    }
}
