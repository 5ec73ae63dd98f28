//! A set of helpers, by number.

/// The most helpers that a process has.
pub(super) const HELPERS: usize = 512;
/// Words that a set takes.
pub(super) const WORDS: usize = HELPERS / u64::BITS as usize;

/// A set of helper numbers below [`HELPERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Team {
    words: [u64; WORDS],
    len: usize,
}

impl Team {
    pub(super) const EMPTY: Self = Self { words: [0; WORDS], len: 0 };

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds the helpers of `bits` in `word`, none of which is in the set yet.
    pub(super) fn add(&mut self, word: usize, bits: u64) {
        debug_assert_eq!(self.words[word] & bits, 0);
        self.words[word] |= bits;
        self.len += bits.count_ones() as usize;
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// The helpers for which `f` holds.
    pub(super) fn filter(&self, f: impl Fn(usize) -> bool) -> Self {
        let mut out = Self::EMPTY;
        self.iter().filter(|index| f(*index)).for_each(|index| out.add(index / 64, 1 << (index % 64)));
        out
    }

    /// Takes the `count` highest helpers out and returns them.
    pub(super) fn split(&mut self, count: usize) -> Self {
        let mut out = Self::EMPTY;
        for word in (0..WORDS).rev() {
            while self.words[word] != 0 && out.len < count {
                let bit = 1 << self.words[word].ilog2();
                self.words[word] &= !bit;
                self.len -= 1;
                out.add(word, bit);
            }
        }
        out
    }

    /// How many numbers of the set are below `index`.
    pub(super) fn rank(&self, index: usize) -> usize {
        let (whole, bits) = (index / 64, index % 64);
        let below: u32 = self.words[..whole].iter().map(|word| word.count_ones()).sum();
        (below + (self.words[whole] & ((1 << bits) - 1)).count_ones()) as usize
    }

    /// The words of the set, as (place, bits).
    pub(super) fn words(&self) -> impl Iterator<Item = (usize, u64)> {
        self.words.into_iter().enumerate().filter(|(_, bits)| *bits != 0)
    }

    /// The numbers in the set, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
                (bit < u64::BITS).then_some(word * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_leave_first() {
        let mut team = Team::EMPTY;
        team.add(0, 0b1011);
        team.add(7, 1 << 63);
        assert_eq!((team.len(), team.iter().collect::<Vec<_>>()), (4, vec![0, 1, 3, 511]));
        assert_eq!([0, 1, 2, 3, 511].map(|index| team.rank(index)), [0, 1, 2, 2, 3]);
        assert!(team.filter(|index| index % 2 == 1).iter().eq([1, 3, 511]));
        let left = team.split(2);
        assert_eq!((left.len(), left.iter().collect::<Vec<_>>()), (2, vec![3, 511]));
        assert_eq!((team.len(), team.iter().collect::<Vec<_>>()), (2, vec![0, 1]));
        assert_eq!(team.split(9).len(), 2);
        assert_eq!(team, Team::EMPTY);
    }
}
