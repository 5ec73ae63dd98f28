//! One parallel loop, described on the stack of its caller.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::{mem, thread};

use super::context::{self, Link};

type Payload = Box<dyn Any + Send>;

/// A counter that shares its cache line with nothing.
#[repr(align(128))]
struct Counter(AtomicUsize);

/// A loop over chunks that several threads work on.
pub(super) struct Region<'a> {
    next: Counter,
    chunks: usize,
    /// Helpers that have begun; their slots are given out in this order.
    arrived: AtomicUsize,
    f: &'a (dyn Fn(usize) + Sync),
    cancel: Option<&'a Link<'a>>,
    /// Whether a checkpoint may leave its chunks.
    interruptible: bool,
    panic: Mutex<Option<Payload>>,
}

impl<'a> Region<'a> {
    pub(super) fn new(chunks: usize, cancel: Option<&'a Link<'a>>, f: &'a (dyn Fn(usize) + Sync)) -> Self {
        Self {
            next: Counter(AtomicUsize::new(0)),
            chunks,
            arrived: AtomicUsize::new(0),
            f,
            cancel,
            interruptible: context::is_interruptible(),
            panic: Mutex::new(None),
        }
    }

    /// Works as the caller.
    pub(super) fn lead(&self) {
        self.work(0);
    }

    /// Works as a helper.
    pub(super) fn help(&self) {
        let slot = self.arrived.fetch_add(1, Relaxed) + 1;
        context::set_link(self.cancel, || context::with_interruptible(self.interruptible, || self.work(slot)));
    }

    /// Runs chunks until none is left, the run is cancelled or a chunk has panicked.
    fn work(&self, slot: usize) {
        let chunks = AssertUnwindSafe(|| context::enter(slot, true, || self.run_chunks()));
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

    fn run_chunks(&self) {
        loop {
            let chunk = self.next.0.fetch_add(1, Relaxed);
            if chunk >= self.chunks {
                return;
            }
            if self.cancel.is_some_and(Link::is_cancelled) {
                return self.stop();
            }
            (self.f)(chunk);
        }
    }

    /// Leaves no chunk to claim.
    fn stop(&self) {
        self.next.0.store(self.chunks, Relaxed);
    }

    /// Hands the panic of a chunk on, once all threads have left.
    pub(super) fn end(self) {
        if let Some(payload) = self.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            debug_assert!(!thread::panicking());
            panic::resume_unwind(payload);
        }
    }
}
