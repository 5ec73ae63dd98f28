//! Where the elements of one padded axis come from.

use super::Mode;

/// One axis: its size, how many elements are added before its first (removed when negative), and its padded size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Padded {
    pub(crate) len: usize,
    pub(crate) before: i64,
    pub(crate) out: usize,
}

/// Elements of a padded axis that come from the same kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The value to pad with.
    Fill,
    /// Neighbours from here on.
    Copy(usize),
    /// Neighbours from here back.
    Reverse(usize),
    /// This one again and again.
    Repeat(usize),
}

impl Piece {
    /// The first element that it reads.
    pub(super) fn first(self) -> Option<usize> {
        match self {
            Self::Fill => None,
            Self::Copy(i) | Self::Reverse(i) | Self::Repeat(i) => Some(i),
        }
    }
}

impl Padded {
    /// Where the elements from `at` on come from, and how many of them. The axis is not empty unless the mode is constant.
    pub(super) fn piece(&self, mode: Mode, at: usize) -> (Piece, usize) {
        let (place, len, left) = (at as i64 - self.before, self.len as i64, self.out - at);
        let limited = |n: i64| left.min(usize::try_from(n).unwrap_or(usize::MAX));
        if (0..len).contains(&place) {
            return (Piece::Copy(place as usize), limited(len - place));
        }
        // Before the first element, a piece ends where the copy begins.
        let left = limited(if place < 0 { -place } else { i64::MAX });
        let shorter = |piece: Piece, n: i64| (piece, left.min(n as usize));
        match mode {
            Mode::Constant => (Piece::Fill, left),
            Mode::Edge => (Piece::Repeat(if place < 0 { 0 } else { self.len - 1 }), left),
            Mode::Wrap => {
                let i = place.rem_euclid(len);
                shorter(Piece::Copy(i as usize), len - i)
            }
            Mode::Reflect if len == 1 => (Piece::Repeat(0), left),
            Mode::Reflect => {
                let (turn, i) = (len - 1, place.rem_euclid(2 * (len - 1)));
                if i < turn {
                    shorter(Piece::Copy(i as usize), turn - i)
                } else {
                    shorter(Piece::Reverse((2 * turn - i) as usize), 2 * turn - i)
                }
            }
        }
    }

    /// All pieces of the axis, each with its place and its length.
    pub(super) fn pieces(self, mode: Mode) -> impl Iterator<Item = (Piece, usize, usize)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= self.out {
                return None;
            }
            let (piece, len) = self.piece(mode, at);
            at += len;
            Some((piece, at - len, len))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(mode: Mode, len: usize, before: i64, out: usize) -> Vec<Option<usize>> {
        let pieces = Padded { len, before, out }.pieces(mode);
        let each = pieces.flat_map(|(piece, _, n)| {
            (0..n).map(move |i| match piece {
                Piece::Fill => None,
                Piece::Copy(s) => Some(s + i),
                Piece::Reverse(s) => Some(s - i),
                Piece::Repeat(s) => Some(s),
            })
        });
        each.collect()
    }

    #[test]
    fn every_mode() {
        let some = |list: &[usize]| list.iter().map(|&i| Some(i)).collect::<Vec<_>>();
        assert_eq!(sources(Mode::Constant, 2, 1, 4), [None, Some(0), Some(1), None]);
        assert_eq!(sources(Mode::Constant, 4, -1, 2), [Some(1), Some(2)]);
        assert_eq!(sources(Mode::Constant, 0, 1, 2), [None, None]);
        assert_eq!(sources(Mode::Edge, 2, 2, 6), some(&[0, 0, 0, 1, 1, 1]));
        assert_eq!(sources(Mode::Wrap, 3, 4, 10), some(&[2, 0, 1, 2, 0, 1, 2, 0, 1, 2]));
        assert_eq!(sources(Mode::Reflect, 3, 5, 12), some(&[1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]));
        assert_eq!(sources(Mode::Reflect, 1, 1, 3), some(&[0, 0, 0]));
        assert_eq!(sources(Mode::Reflect, 4, -2, 4), some(&[2, 3, 2, 1]));
    }
}
