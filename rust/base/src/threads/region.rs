//! One parallel loop, described on the stack of its caller.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{array, mem, thread};

use super::context::{self, Link};
use super::denormals;
use super::team::Team;

type Payload = Box<dyn Any + Send>;

/// Shares that a region is cut into at most; with more threads, several begin in the same one.
const SHARES: usize = 16;

/// Neighbouring chunks, claimed in order; on cache lines of its own.
#[repr(align(128))]
struct Share {
    next: AtomicUsize,
    end: usize,
}

impl Share {
    /// Share `i` of `count` even ones; none if there is no such.
    fn new(i: usize, count: usize, chunks: usize) -> Self {
        let (each, longer) = (chunks / count, chunks % count);
        let start = |i: usize| i * each + i.min(longer);
        Self { next: AtomicUsize::new(start(i.min(count))), end: start((i + 1).min(count)) }
    }

    fn claim(&self) -> Option<usize> {
        let chunk = self.next.fetch_add(1, Relaxed);
        (chunk < self.end).then_some(chunk)
    }
}

/// A loop over chunks that several threads work on.
///
/// Each thread begins with a share of its own and then helps with the others. Chunks that touch the same memory are neighbours, so most
/// of them run on one thread, in this region and in the next ones over the same values.
pub(super) struct Region<'a> {
    shares: [Share; SHARES],
    /// How many of the shares there are.
    count: usize,
    team: Team,
    f: &'a (dyn Fn(usize) + Sync),
    cancel: Option<&'a Link<'a>>,
    manner: Manner,
    /// Whether a checkpoint may leave its chunks.
    interruptible: bool,
    panic: Mutex<Option<Payload>>,
}

/// How helpers work on a region.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How long they look for the next one, before they sleep.
    pub(super) spin: Duration,
    /// Whether denormal numbers count as zero, as they do for the caller; threads inherit that from who started them.
    pub(super) flush_denormals: bool,
}

impl<'a> Region<'a> {
    /// A region for the caller and the helpers of `team`.
    pub(super) fn new(chunks: usize, team: Team, manner: Manner, cancel: Option<&'a Link<'a>>, f: &'a (dyn Fn(usize) + Sync)) -> Self {
        let count = (team.len() + 1).min(SHARES);
        Self {
            shares: array::from_fn(|i| Share::new(i, count, chunks)),
            count,
            team,
            f,
            cancel,
            manner,
            interruptible: context::is_interruptible(),
            panic: Mutex::new(None),
        }
    }

    /// Works as the caller.
    pub(super) fn lead(&self) {
        self.work(0);
    }

    /// Works as the helper of number `index`, which has the slot of its rank in the team, and tells how long to look for more.
    pub(super) fn help(&self, index: usize) -> Duration {
        let slot = self.team.rank(index) + 1;
        let work = || denormals::with_flush(self.manner.flush_denormals, || self.work(slot));
        context::set_link(self.cancel, || context::with_interruptible(self.interruptible, work));
        self.manner.spin
    }

    /// Runs chunks until none is left, the run is cancelled or a chunk has panicked.
    fn work(&self, slot: usize) {
        let chunks = AssertUnwindSafe(|| context::enter(slot, true, || self.run_chunks(slot)));
        if let Err(payload) = panic::catch_unwind(chunks) {
            self.stop();
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match *first {
                // Dropping a foreign payload could panic again, on a thread where nobody can catch it.
                Some(_) => mem::forget(payload),
                None => *first = Some(payload),
            }
        }
    }

    fn run_chunks(&self, slot: usize) {
        for turn in 0..self.count {
            let share = &self.shares[(slot + turn) % self.count];
            while let Some(chunk) = share.claim() {
                if self.cancel.is_some_and(Link::is_cancelled) {
                    return self.stop();
                }
                (self.f)(chunk);
                context::look_at_alarm();
            }
        }
    }

    /// Leaves no chunk to claim.
    fn stop(&self) {
        self.shares.iter().for_each(|share| share.next.store(share.end, Relaxed));
    }

    /// Hands the panic of a chunk on, once all threads have left.
    pub(super) fn end(self) {
        if let Some(payload) = self.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            debug_assert!(!thread::panicking());
            panic::resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_chunks_once() {
        for chunks in [0, 1, 2, 15, 16, 17, 1000, usize::MAX] {
            for count in 1..=SHARES {
                let shares: [Share; SHARES] = array::from_fn(|i| Share::new(i, count, chunks));
                let mut end = 0;
                for share in shares {
                    assert_eq!(share.next.into_inner(), end);
                    end = share.end;
                }
                assert_eq!(end, chunks);
            }
        }
    }
}
