//! The helpers of the process and who holds them.

use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;
use std::{array, mem, ptr};

use super::helper::Helper;
use super::place::Mask;
use super::spin::Spin;
use super::team::{HELPERS, Team, WORDS};
use super::{Threads, fork};
use crate::knobs;

/// The pool of this process; null until the first scope with more than one thread.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(ptr::null_mut());

/// How long to wait for threads that have been started. One that takes longer still comes, but a child forked meanwhile may do without.
const START: Duration = Duration::from_millis(500);

/// All helpers. Never freed: its threads refer to it, and what a child process inherits is of no use to it.
pub(super) struct Pool {
    helpers: [Helper; HELPERS],
    /// Helpers that nobody holds, a bit for each.
    idle: [AtomicU64; WORDS],
    /// Helpers that have a thread: those below this number.
    started: AtomicUsize,
    /// Helpers whose thread runs.
    ready: AtomicUsize,
    refused: AtomicBool,
    /// Scopes that are open now.
    callers: AtomicUsize,
    /// Helpers that scopes hold now.
    held: AtomicUsize,
    spin: Duration,
    /// Where helpers may run.
    mask: Option<Mask>,
}

/// The state of the helper threads, to look at and to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Helper threads that exist.
    pub started: usize,
    /// Helper threads that sleep.
    pub parked: usize,
    /// Helper threads that runs hold now.
    pub held: usize,
    /// Runs under way that may use more than one thread.
    pub callers: usize,
    /// Whether the system has refused to make threads, so that runs do with fewer.
    pub refused: bool,
}

/// What the helper threads are doing at this moment; all zero while there is no pool.
pub fn status() -> Status {
    // SAFETY: see `Pool::get`.
    unsafe { POOL.load(Acquire).as_ref() }.map_or_else(Status::default, Pool::status)
}

/// Forgets the pool; for a forked child, where its threads do not exist.
pub(super) fn forget() {
    POOL.store(ptr::null_mut(), Relaxed);
}

impl Pool {
    /// The pool of this process. It is made without a lock, which another thread could hold at a fork.
    pub(super) fn get() -> &'static Self {
        // SAFETY: the pointer is null or was made below from a box that is never freed.
        if let Some(pool) = unsafe { POOL.load(Acquire).as_ref() } {
            return pool;
        }
        fork::watch();
        let new = Box::into_raw(Box::new(Self::new()));
        match POOL.compare_exchange(ptr::null_mut(), new, AcqRel, Acquire) {
            // SAFETY: `new` is a valid box that is now shared and never freed.
            Ok(_) => unsafe { &*new },
            Err(first) => {
                // SAFETY: `new` came from a box just now and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
                // SAFETY: `first` was put there by another thread in the same way, and only a fork takes it away again.
                unsafe { &*first }
            }
        }
    }

    fn new() -> Self {
        let knobs::Count(spin) = knobs::SPIN_US.get();
        Self {
            helpers: array::from_fn(|_| Helper::new()),
            idle: array::from_fn(|_| AtomicU64::new(0)),
            started: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            refused: AtomicBool::new(false),
            callers: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            spin: Duration::from_micros(spin as u64),
            mask: Mask::current(),
        }
    }

    fn status(&self) -> Status {
        let started = self.started.load(Acquire);
        Status {
            started,
            parked: self.helpers[..started].iter().filter(|h| h.is_parked()).count(),
            held: self.held.load(Relaxed),
            callers: self.callers.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    pub(super) fn helper(&self, index: usize) -> &Helper {
        &self.helpers[index]
    }

    /// How long threads wait awake.
    pub(super) fn spin(&self) -> Duration {
        self.spin
    }

    /// The processors where helpers may run, if the system tells.
    pub(super) fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    pub(super) fn open(&self) {
        self.callers.fetch_add(1, Relaxed);
    }

    pub(super) fn close(&self) {
        self.callers.fetch_sub(1, Relaxed);
    }

    /// How many helpers a scope of `limit` threads may hold, for all open scopes to fit on the machine.
    pub(super) fn share(&self, limit: usize) -> usize {
        let callers = self.callers.load(Relaxed).max(1);
        (room(limit) / callers).clamp(1, limit) - 1
    }

    /// Adds up to `count` idle helpers to `team`, of a scope of `limit` threads; fewer if others hold them.
    pub(super) fn claim(&'static self, count: usize, limit: usize, team: &mut Team) {
        self.start(limit - 1);
        let room = room(limit).saturating_sub(self.callers.load(Relaxed));
        let take = |held: usize| count.min(room.saturating_sub(held));
        let Ok(before) = self.held.fetch_update(Relaxed, Relaxed, |held| (take(held) > 0).then(|| held + take(held))) else { return };
        let mut missing = take(before);
        for (word, idle) in self.idle.iter().enumerate() {
            while missing > 0 {
                let bits = lowest(idle.load(Relaxed), missing);
                if bits == 0 {
                    break;
                }
                let got = idle.fetch_and(!bits, Acquire) & bits;
                team.add(word, got);
                missing -= got.count_ones() as usize;
            }
        }
        self.held.fetch_sub(missing, Relaxed);
    }

    /// Makes helpers idle that a scope held.
    pub(super) fn release(&self, team: &Team) {
        if team.len() == 0 {
            return;
        }
        for (word, bits) in team.words() {
            self.idle[word].fetch_or(bits, Release);
        }
        self.held.fetch_sub(team.len(), Relaxed);
    }

    /// Starts threads until there are `count` helpers, unless another caller is about it or the system has refused before.
    fn start(&'static self, count: usize) {
        if self.started.load(Relaxed) >= count || self.refused.load(Relaxed) {
            return;
        }
        let Some(_no_fork) = fork::HoldOff::try_new() else { return };
        let from = self.started.load(Acquire);
        if count > from {
            self.start_between(from, count);
        }
    }

    fn start_between(&'static self, from: usize, to: usize) {
        let builder = rayon_core::ThreadPoolBuilder::new().num_threads(to - from);
        // Runs are right with fewer threads too; `Status::refused` tells.
        let Ok(threads) = builder.thread_name(move |i| format!("ort-rs-{}", from + i + 1)).build() else {
            return self.refused.store(true, Relaxed);
        };
        for index in from..to {
            threads.spawn(move || {
                self.ready.fetch_add(1, Relaxed);
                self.helpers[index].serve(index, self.spin)
            });
        }
        // Each of its threads is a helper for good: there is nothing to wait for.
        mem::forget(threads);
        let mut patience = Spin::new(START);
        while self.ready.load(Relaxed) < to && patience.pause() {}
        self.started.store(to, Release);
        for index in from..to {
            self.idle[index / 64].fetch_or(1 << (index % 64), Release);
        }
    }
}

/// Threads that may work at the same time: what the machine has, or what the user asks for beyond that.
fn room(limit: usize) -> usize {
    limit.max(Threads::default().count())
}

/// The lowest `count` bits of those set.
fn lowest(bits: u64, count: usize) -> u64 {
    let mut rest = bits;
    for _ in 0..count {
        if rest == 0 {
            break;
        }
        rest &= rest - 1;
    }
    bits & !rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_bits() {
        assert_eq!(lowest(0b1011_0100, 0), 0);
        assert_eq!(lowest(0b1011_0100, 3), 0b11_0100);
        assert_eq!(lowest(u64::MAX, 100), u64::MAX);
        assert_eq!(lowest(0, 5), 0);
    }
}
