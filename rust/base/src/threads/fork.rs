//! A forked child has only the thread that forked: it forgets the pool of its parent and makes its own when it needs one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// How many forks lie between the first process and this one.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// A number that differs between a process and its forked children.
pub(super) fn generation() -> usize {
    GENERATION.load(Relaxed)
}

/// Makes sure that children forked from now on start afresh.
#[cfg(unix)]
pub(super) fn watch() {
    static WATCHING: AtomicBool = AtomicBool::new(false);
    if !WATCHING.swap(true, Relaxed) {
        // SAFETY: the handler is a function that lives as long as the program and does nothing but store to atomics, which is allowed
        // between fork and exec. Should registering fail for want of memory, children only lose their helpers: see `Helper::join`.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

/// Nothing to watch: this system does not fork.
#[cfg(not(unix))]
pub(super) fn watch() {}

#[cfg(unix)]
extern "C" fn in_child() {
    GENERATION.fetch_add(1, Relaxed);
    super::pool::forget();
    super::count::forget();
}
