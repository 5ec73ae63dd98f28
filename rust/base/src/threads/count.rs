//! How many threads to use.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use super::team::HELPERS;
use crate::knobs;

/// The most threads that one run can use.
pub const MAX_THREADS: usize = HELPERS + 1;

/// The number of threads of a session, its callers included: at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(usize);

impl Threads {
    /// `count` threads, at most [`MAX_THREADS`]; 0 is the default number.
    pub fn new(count: usize) -> Self {
        if count == 0 { Self::default() } else { Self(count.min(MAX_THREADS)) }
    }

    /// The number.
    pub fn count(self) -> usize {
        self.0
    }
}

/// The default, found once for the process and kept; 0 until then.
static DEFAULT: AtomicUsize = AtomicUsize::new(0);

/// As many as `ORT_RS_THREADS` says, or else as many processors as affinity mask and cgroup quota leave the process.
impl Default for Threads {
    fn default() -> Self {
        // Two threads may both look at the machine: they find the same, and a lock here could be held at a fork.
        if DEFAULT.load(Relaxed) == 0 {
            DEFAULT.store(find(), Relaxed);
        }
        Self(DEFAULT.load(Relaxed).max(1))
    }
}

/// Lets a forked child look again: it may have been given other processors.
pub(super) fn forget() {
    DEFAULT.store(0, Relaxed);
}

fn find() -> usize {
    let knobs::Count(asked) = knobs::THREADS.get();
    // The standard library reads the affinity mask and the quotas of both cgroup versions, up to the root.
    let count = if asked > 0 { asked } else { thread::available_parallelism().map_or(1, usize::from) };
    count.min(MAX_THREADS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_at_least_one_and_has_a_limit() {
        assert_eq!(Threads::new(0), Threads::default());
        assert!(Threads::default().count() >= 1);
        assert_eq!(Threads::new(3).count(), 3);
        assert_eq!(Threads::new(usize::MAX).count(), MAX_THREADS);
    }
}
