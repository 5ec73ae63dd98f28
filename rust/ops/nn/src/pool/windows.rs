//! Windows of `f32` in vectors: of channels side by side, or of positions side by side. Each result is folded in a register, row by row and
//! tap by tap.

use base::threads::Pace;
use simd::{Kernel, Simd, dispatch};

use super::Reduction;
use crate::floats::cast_mut;
use crate::window::Axis;

/// Folds the rows of `x` that begin at `rows` into one row of windows along `axis`; false, and nothing done, for other results than `f32`
/// and reductions that are not folded in vectors. `sums` hold what the reduction starts with.
pub(super) fn fold<A: 'static>(reduction: Reduction, axis: &Axis, lanes: usize, x: &[f32], rows: &[usize], sums: &mut [A]) -> bool {
    let Some(sums) = cast_mut::<A, f32>(sums) else { return false };
    if !matches!(reduction, Reduction::Max | Reduction::Average { .. } | Reduction::Norm(2.0)) {
        return false;
    }
    let width = axis.input * lanes;
    assert!(rows.iter().all(|at| at + width <= x.len()) && sums.len() == axis.output * lanes, "rows outside of the input");
    dispatch(Fold { reduction, axis, lanes, x, rows, sums });
    true
}

struct Fold<'a> {
    reduction: Reduction,
    axis: &'a Axis,
    lanes: usize,
    x: &'a [f32],
    rows: &'a [usize],
    sums: &'a mut [f32],
}

/// Positions that are folded at once, where channels lie side by side.
const POSITIONS: usize = 4;

impl Kernel for Fold<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.reduction {
            Reduction::Max => self.each(s, |sum, x| s.max_nan(sum, x)),
            Reduction::Norm(_) => self.each(s, |sum, x| s.fma(x, x, sum)),
            Reduction::Average { .. } => self.each(s, |sum, x| s.add(sum, x)),
        }
    }
}

impl Fold<'_> {
    #[inline(always)]
    fn each<S: Simd>(mut self, s: S, f: impl Fn(S::F, S::F) -> S::F + Copy) {
        let axis = self.axis;
        // The positions whose windows lie in the input.
        let (first, last) = (axis.positions(0), axis.positions(axis.kernel - 1));
        let inner = first.start.max(last.start)..first.end.min(last.end);
        let by_channels = self.lanes.is_multiple_of(S::LANES);
        let (mut o, pace) = (0, Pace::default());
        while o < axis.output {
            pace.spend(2 + self.rows.len() * axis.kernel * (self.lanes / S::LANES).max(1));
            let room = if inner.contains(&o) { inner.end - o } else { 0 };
            if by_channels && room >= POSITIONS {
                for lane in (0..self.lanes).step_by(S::LANES) {
                    self.channels::<S, POSITIONS>(s, o, lane, f);
                }
                o += POSITIONS;
            } else if by_channels {
                for lane in (0..self.lanes).step_by(S::LANES) {
                    self.channels::<S, 1>(s, o, lane, f);
                }
                o += 1;
            } else if self.lanes == 1 && axis.stride == 1 && room > 1 {
                let count = room.min(S::LANES);
                self.positions(s, o, count, f);
                o += count;
            } else {
                self.single(s, o, f);
                o += 1;
            }
        }
    }

    /// Where the taps of position `o` begin, and how many there are.
    #[inline(always)]
    fn taps(&self, o: usize) -> (usize, usize) {
        let taps = self.axis.taps(o);
        ((self.axis.start(o) + (taps.start * self.axis.dilation) as isize).max(0) as usize, taps.len())
    }

    /// A vector of channels of `P` neighbouring positions that all have the taps of the first.
    #[inline(always)]
    fn channels<S: Simd, const P: usize>(&mut self, s: S, o: usize, lane: usize, f: impl Fn(S::F, S::F) -> S::F) {
        let (start, count) = self.taps(o);
        let to = self.sums[o * self.lanes + lane..(o + P) * self.lanes].as_mut_ptr();
        let step = self.axis.stride * self.lanes;
        let mut sums = [s.zero(); P];
        for (p, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the positions are those of the row of sums.
            *sum = unsafe { s.load(to.add(p * self.lanes)) };
        }
        for row in self.rows {
            for tap in 0..count {
                let from = row + (start + tap * self.axis.dilation) * self.lanes + lane;
                for (p, sum) in sums.iter_mut().enumerate() {
                    // SAFETY: the tap lies in its row for each of the positions, and `fold` checked that the rows lie in the input.
                    *sum = f(*sum, unsafe { s.load(self.x.as_ptr().add(from + p * step)) });
                }
            }
        }
        for (p, sum) in sums.iter().enumerate() {
            // SAFETY: as above.
            unsafe { s.store(to.add(p * self.lanes), *sum) };
        }
    }

    /// `count` neighbouring positions of one channel that all have all taps, which move by one from each to the next.
    #[inline(always)]
    fn positions<S: Simd>(&mut self, s: S, o: usize, count: usize, f: impl Fn(S::F, S::F) -> S::F) {
        let (start, taps) = self.taps(o);
        let to = self.sums[o..o + count].as_mut_ptr();
        // SAFETY: the sums hold `count` positions from `o` on.
        let mut sum = unsafe { s.load_partial(to, count) };
        for row in self.rows {
            for tap in 0..taps {
                let from = self.x[row + start + tap * self.axis.dilation..].as_ptr();
                // SAFETY: each of the positions has the tap, in its row.
                sum = f(sum, unsafe { if count == S::LANES { s.load(from) } else { s.load_partial(from, count) } });
            }
        }
        // SAFETY: as above.
        unsafe { s.store_partial(to, count, sum) };
    }

    /// One position of channels that fill no vector.
    #[inline(always)]
    fn single<S: Simd>(&mut self, s: S, o: usize, f: impl Fn(S::F, S::F) -> S::F) {
        let (start, count) = self.taps(o);
        for lane in 0..self.lanes {
            let to = &mut self.sums[o * self.lanes + lane];
            // SAFETY: one value is there.
            let mut sum = unsafe { s.load_partial(to, 1) };
            for row in self.rows {
                for tap in 0..count {
                    let x = &self.x[row + (start + tap * self.axis.dilation) * self.lanes + lane];
                    // SAFETY: as above.
                    sum = f(sum, unsafe { s.load_partial(x, 1) });
                }
            }
            // SAFETY: as above.
            unsafe { s.store_partial(to, 1, sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(reduction: Reduction, axis: &Axis, lanes: usize, x: &[f32], rows: &[usize]) -> Vec<f32> {
        let mut sums = vec![reduction.start(); axis.output * lanes];
        for (i, sum) in sums.iter_mut().enumerate() {
            for row in rows {
                for tap in axis.taps(i / lanes) {
                    let at = (axis.start(i / lanes) + (tap * axis.dilation) as isize) as usize;
                    *sum = reduction.fold(*sum, x[row + at * lanes + i % lanes]);
                }
            }
        }
        sums
    }

    #[test]
    fn equals_one_by_one() {
        for (input, kernel, stride, dilation, before, after) in
            [(1, 1, 1, 1, 0, 0), (40, 3, 1, 1, 1, 1), (37, 5, 1, 1, 2, 2), (37, 2, 2, 1, 0, 0), (23, 3, 2, 2, 3, 1), (5, 5, 1, 1, 4, 4)]
        {
            let output = (input as isize + before + after - (dilation * (kernel - 1) + 1) as isize) as usize / stride + 1;
            let axis = Axis { input, output, kernel, stride, dilation, before, after };
            for lanes in [1, 3, 8, 16] {
                let mut x: Vec<f32> = (0..3 * input * lanes).map(|i| ((i * 37 + 5) % 101) as f32 - 50.0).collect();
                x[input * lanes / 2] = f32::NAN;
                x[input * lanes] = f32::INFINITY;
                for rows in [vec![], vec![input * lanes], vec![0, 2 * input * lanes]] {
                    for reduction in [Reduction::Max, Reduction::Average { padding: false }, Reduction::Norm(2.0)] {
                        let mut sums: Vec<f32> = vec![reduction.start(); output * lanes];
                        assert!(fold(reduction, &axis, lanes, &x, &rows, &mut sums));
                        for (got, want) in sums.iter().zip(plain(reduction, &axis, lanes, &x, &rows)) {
                            assert!(*got == want || (got.is_nan() && want.is_nan()), "{axis:?} {lanes} {reduction:?}: {got}, not {want}");
                        }
                    }
                }
            }
        }
        assert!(!fold(Reduction::Norm(3.0), &Axis::UNIT, 1, &[1.0], &[0], &mut [0f32]));
    }
}
