//! A forked child has only the thread that forked: it forgets the pool of its parent and makes its own when it needs one.
//!
//! Threads that start go through locks of libraries that a child could inherit closed, so no fork happens while helpers start.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::thread;

/// How many forks lie between the first process and this one.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// Whether a thread starts helpers, or forks.
static BUSY: AtomicBool = AtomicBool::new(false);

/// A number that differs between a process and its forked children.
pub(super) fn generation() -> usize {
    GENERATION.load(Relaxed)
}

/// Keeps forks off while it lives.
pub(super) struct HoldOff(());

impl HoldOff {
    /// `None` if another thread is about to fork or to start helpers.
    pub(super) fn try_new() -> Option<Self> {
        // Not `then_some`: a value made in vain would be dropped and so end another's hold.
        (!BUSY.swap(true, Acquire)).then(|| Self(()))
    }
}

impl Drop for HoldOff {
    fn drop(&mut self) {
        BUSY.store(false, Release);
    }
}

/// Makes sure that children forked from now on start afresh.
#[cfg(unix)]
pub(super) fn watch() {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if !WATCHING.swap(true, Relaxed) {
        // SAFETY: the handlers are functions that live as long as the program; that of the child does nothing but store to atomics, which
        // is allowed between fork and exec. Should registering fail for want of memory, children only lose their helpers.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
    }
}

/// Nothing to watch: this system does not fork.
#[cfg(not(unix))]
pub(super) fn watch() {}

#[cfg(unix)]
extern "C" fn before() {
    // Whoever starts helpers waits for them for a limited time, and so does this.
    while BUSY.swap(true, Acquire) {
        thread::yield_now();
    }
}

#[cfg(unix)]
extern "C" fn in_parent() {
    BUSY.store(false, Release);
}

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
    super::pool::forget();
    super::count::forget();
    BUSY.store(false, Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_excludes_others_until_it_ends() {
        // Other tests start helpers too.
        let hold = loop {
            match HoldOff::try_new() {
                Some(hold) => break hold,
                None => thread::yield_now(),
            }
        };
        for _ in 0..3 {
            assert!(HoldOff::try_new().is_none());
        }
        drop(hold);
        while HoldOff::try_new().is_none() {
            thread::yield_now();
        }
    }
}
