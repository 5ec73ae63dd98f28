//! The processors that the helpers of a session's runs are kept on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::place::Mask;
use super::team::HELPERS;

/// For each thread of a run but the caller's, the processors it runs on. Threads beyond these run anywhere.
pub struct Affinities {
    masks: Vec<Mask>,
    /// No two in a process have the same; above 0.
    number: u64,
}

/// The number of the next.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Affinities {
    /// Helper `i` on the processors `of_helpers[i]`, counted from 0.
    pub fn new(of_helpers: &[Vec<usize>]) -> Self {
        Self { masks: of_helpers.iter().map(|p| Mask::of_processors(p)).collect(), number: NEXT.fetch_add(1, Relaxed) }
    }

    /// The first helper that cannot be kept there: this process may use none of its processors, or the system keeps no thread anywhere.
    pub fn refused(&self) -> Option<usize> {
        let all = Mask::current();
        self.masks.iter().position(|mask| !all.as_ref().is_some_and(|all| mask.meets(all)))
    }

    /// The processors of helper `i` of a run, and a number that nobody else has.
    pub(super) fn of(&self, i: usize) -> Option<(u64, &Mask)> {
        self.masks.get(i).map(|mask| (self.number * HELPERS as u64 + i as u64, mask))
    }
}

impl std::fmt::Debug for Affinities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Affinities of {} helpers", self.masks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_helper_has_a_number_of_its_own() {
        let (a, b) = (Affinities::new(&[vec![0], vec![1]]), Affinities::new(&[vec![0]]));
        let number = |a: &Affinities, i: usize| a.of(i).map(|(number, _)| number);
        assert!(number(&a, 0) != number(&a, 1) && number(&a, 0) != number(&b, 0));
        assert!(a.of(2).is_none());
        assert_eq!(Affinities::new(&[vec![1 << 40]]).refused(), Some(0));
    }
}
