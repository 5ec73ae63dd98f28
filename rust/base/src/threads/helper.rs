//! One helper thread and its mailbox, through which regions are handed over without a lock.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::fork;
use super::place::{Mask, Place};
use super::region::Region;
use super::spin::Spin;

/// The mailbox holds one of these marks, or the address of a region that waits to be picked up.
///
/// ```text
///          post               pick up            finish
/// EMPTY ─────────► region ─────────────► RUNNING ──────► EMPTY
///   │ ▲              │ withdraw             │ the caller falls asleep
///   ▼ └──────────────┘                      ▼
/// PARKED ── post, unpark ──► region      AWAITED ── finish, notify ──► EMPTY
/// ```
type Mail = *mut Region<'static>;

const EMPTY: Mail = ptr::null_mut();
const PARKED: Mail = ptr::without_provenance_mut(1);
const RUNNING: Mail = ptr::without_provenance_mut(2);
const AWAITED: Mail = ptr::without_provenance_mut(3);

/// A helper, on cache lines of its own. Whoever holds its bit of the pool (see `Pool::claim`) is its only caller.
#[repr(align(128))]
pub(super) struct Helper {
    mail: AtomicPtr<Region<'static>>,
    /// Set by the thread before it first parks.
    thread: OnceLock<Thread>,
    place: Place,
    /// Where the caller sleeps while the mailbox says `AWAITED`.
    lock: Mutex<()>,
    finished: Condvar,
}

impl Helper {
    pub(super) fn new() -> Self {
        Self { mail: AtomicPtr::new(EMPTY), thread: OnceLock::new(), place: Place::new(), lock: Mutex::new(()), finished: Condvar::new() }
    }

    pub(super) fn is_parked(&self) -> bool {
        self.mail.load(Relaxed) == PARKED
    }

    /// Keeps the helper on the processors of `mask`.
    pub(super) fn pin(&self, number: u64, mask: &Mask) {
        self.place.pin(number, mask);
    }

    /// Sends the helper to a processor of `all` other than `processor`, that of its caller.
    pub(super) fn keep_off(&self, processor: i32, all: Option<&Mask>) {
        self.place.keep_off(processor, all);
    }

    /// Offers `region` to the helper.
    ///
    /// # Safety
    /// The caller holds this helper, has offered it nothing else, and calls [`join`](Self::join) with `region` before the region ends.
    pub(super) unsafe fn post(&self, region: &Region<'_>) {
        let before = self.mail.swap(address(region), AcqRel);
        debug_assert!(before == EMPTY || before == PARKED);
        if before == PARKED
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Takes `region` back if the helper has not begun, else waits until it has left the region: awake for `spin`, then asleep.
    ///
    /// # Panics
    /// In a child forked in the midst of the region: the helper's share of the work is lost.
    pub(super) fn join(&self, region: &Region<'_>, generation: usize, spin: Duration, all: Option<&Mask>) {
        if self.mail.compare_exchange(address(region), EMPTY, Acquire, Acquire).is_ok() {
            return;
        }
        let mut spin = Spin::new(spin);
        while self.is_busy() {
            if !spin.pause() {
                assert_eq!(fork::generation(), generation, "the process was forked inside a parallel region");
                self.place.let_go(all);
                self.sleep_until_finished();
            }
        }
    }

    fn is_busy(&self) -> bool {
        let mail = self.mail.load(Acquire);
        mail == RUNNING || mail == AWAITED
    }

    fn sleep_until_finished(&self) {
        if self.mail.compare_exchange(RUNNING, AWAITED, Acquire, Acquire).is_err() {
            return;
        }
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        while self.mail.load(Acquire) == AWAITED {
            guard = self.finished.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The life of the helper thread, whose number is `index`; `spin` is how long it first looks for work.
    pub(super) fn serve(&self, index: usize, spin: Duration) -> ! {
        self.thread.get_or_init(thread::current);
        self.place.settle();
        let mut spin = spin;
        loop {
            let region = self.pick_up(spin);
            // SAFETY: the region was posted, and its caller waits in `join` until the mailbox is no longer `RUNNING` or `AWAITED`, so it
            // lives until `finish`. A shared reference is all that anyone has.
            spin = unsafe { &*region }.help(index);
            self.place.note();
            self.finish();
        }
    }

    /// Waits for a region, awake for a while and then asleep.
    fn pick_up(&self, length: Duration) -> *const Region<'static> {
        let mut spin = Spin::new(length);
        loop {
            let mail = self.mail.load(Relaxed);
            if mail == EMPTY {
                if !spin.pause() && self.mail.compare_exchange(EMPTY, PARKED, Release, Relaxed).is_ok() {
                    while self.mail.load(Relaxed) == PARKED {
                        thread::park();
                    }
                    spin = Spin::new(length);
                }
            } else if self.mail.compare_exchange(mail, RUNNING, Acquire, Relaxed).is_ok() {
                return mail;
            }
        }
    }

    fn finish(&self) {
        if self.mail.swap(EMPTY, Release) == AWAITED {
            // The caller checks the mailbox under the lock, so once the lock was free it either sees the change or sleeps already.
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.finished.notify_one();
        }
    }
}

/// What stands for `region` in a mailbox. Never one of the marks, since a region is aligned to more than their values.
fn address(region: &Region<'_>) -> Mail {
    ptr::from_ref(region).cast_mut().cast()
}
