//! What a thread knows of the region and the run that it works for.

use std::cell::Cell;
use std::ptr;

use super::Cancel;
use super::alarm::Alarm;
use crate::Result;

/// The handles that can stop the current work, innermost first.
pub(super) struct Link<'a> {
    cancel: &'a Cancel,
    outer: Option<&'a Link<'a>>,
}

impl Link<'_> {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.outer.is_some_and(Link::is_cancelled)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.cancel.check()?;
        self.outer.map_or(Ok(()), Link::check)
    }
}

struct Context {
    /// Whether this thread is in a chunk of a region that others take part in, or could.
    inside: Cell<bool>,
    slot: Cell<usize>,
    cancel: Cell<*const Link<'static>>,
    /// Whether a checkpoint may leave what runs here.
    interruptible: Cell<bool>,
    /// What wakes the helpers of the region that this thread leads, while they sleep.
    alarm: Cell<*const Alarm<'static>>,
}

thread_local! {
    // Without a destructor, so that it needs no allocation and outlives every other thread-local.
    static CONTEXT: Context = const {
        Context {
            inside: Cell::new(false),
            slot: Cell::new(0),
            cancel: Cell::new(ptr::null()),
            interruptible: Cell::new(false),
            alarm: Cell::new(ptr::null()),
        }
    };
}

/// Sets a cell for as long as it lives.
struct Restore<'a, T: Copy> {
    cell: &'a Cell<T>,
    before: T,
}

impl<'a, T: Copy> Restore<'a, T> {
    fn after_setting(cell: &'a Cell<T>, value: T) -> Self {
        Self { cell, before: cell.replace(value) }
    }
}

impl<T: Copy> Drop for Restore<'_, T> {
    fn drop(&mut self) {
        self.cell.set(self.before);
    }
}

/// Whether this thread is inside a region, where further regions run inline.
pub(super) fn inside() -> bool {
    CONTEXT.with(|cx| cx.inside.get())
}

pub(super) fn slot() -> usize {
    CONTEXT.with(|cx| cx.slot.get())
}

/// Runs `f` as part of a region, or of a single chunk if not `inside`.
pub(super) fn enter<R>(slot: usize, inside: bool, f: impl FnOnce() -> R) -> R {
    CONTEXT.with(|cx| {
        let _slot = Restore::after_setting(&cx.slot, slot);
        let _inside = Restore::after_setting(&cx.inside, inside);
        f()
    })
}

/// Whether a checkpoint may leave what runs on this thread.
pub(super) fn is_interruptible() -> bool {
    CONTEXT.with(|cx| cx.interruptible.get())
}

/// Runs `f`, which a checkpoint may leave if `interruptible`.
pub(super) fn with_interruptible<R>(interruptible: bool, f: impl FnOnce() -> R) -> R {
    CONTEXT.with(|cx| {
        let _interruptible = Restore::after_setting(&cx.interruptible, interruptible);
        f()
    })
}

/// Calls `f` with the handles that can stop the current work.
pub(super) fn with_cancel<R>(f: impl FnOnce(Option<&Link<'_>>) -> R) -> R {
    CONTEXT.with(|cx| {
        // SAFETY: the pointer is null or was set by `set_link` further up this thread's stack, which holds the borrow of the link until it
        // takes the pointer away; `f` cannot keep the reference, since it must take any lifetime.
        let link = unsafe { cx.cancel.get().as_ref() };
        f(link)
    })
}

/// Runs `f` with `cancel` as a further handle that can stop it.
pub(super) fn with_link<R>(cancel: &Cancel, f: impl FnOnce() -> R) -> R {
    with_cancel(|outer| set_link(Some(&Link { cancel, outer }), f))
}

/// Runs `f` with exactly the handles of `link`, those of the thread that asked for this work.
pub(super) fn set_link<R>(link: Option<&Link<'_>>, f: impl FnOnce() -> R) -> R {
    CONTEXT.with(|cx| {
        let link = link.map_or(ptr::null(), ptr::from_ref).cast::<Link<'static>>();
        let _cancel = Restore::after_setting(&cx.cancel, link);
        f()
    })
}

/// Runs `f`, in which [`look_at_alarm`] looks at `alarm`.
pub(super) fn with_alarm<R>(alarm: &Alarm<'_>, f: impl FnOnce() -> R) -> R {
    CONTEXT.with(|cx| {
        let _alarm = Restore::after_setting(&cx.alarm, ptr::from_ref(alarm).cast::<Alarm<'static>>());
        f()
    })
}

/// Wakes the helpers of the region that this thread leads, if they sleep and it is time.
#[inline]
pub(super) fn look_at_alarm() {
    CONTEXT.with(|cx| {
        // SAFETY: the pointer is null or was set by `with_alarm` further up this thread's stack, which takes it away before the alarm ends.
        if let Some(alarm) = unsafe { cx.alarm.get().as_ref() } {
            alarm.look();
        }
    });
}
