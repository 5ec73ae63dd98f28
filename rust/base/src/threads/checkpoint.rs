//! Leaving a long computation from its middle once its run is cancelled.
//!
//! Chunks of a region are short where work can be cut. A sort, one row as long as memory or one window as large as a picture cannot, or
//! lies deep in code that computes and knows of no errors. It passes checkpoints: once the run is cancelled, the next one unwinds to
//! whoever started the kernel, through regions as a panic does. No message is printed, and nothing else of a panic happens.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};

use super::{check, context};
use crate::Result;

/// What is thrown from a checkpoint to [`interruptible`].
struct Cancelled;

/// Runs `f`, a kernel, which a [`checkpoint`] may leave.
///
/// # Errors
/// What `f` says; those of [`check`] when it was left.
pub fn interruptible<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    // What `f` leaves half done are outputs and scratch memory, which nobody reads after an error.
    let left = match panic::catch_unwind(AssertUnwindSafe(|| context::with_interruptible(true, f))) {
        Ok(result) => return result,
        Err(payload) => payload,
    };
    if !left.is::<Cancelled>() {
        panic::resume_unwind(left);
    }
    check()?;
    crate::bail!(Fail, "the run was cancelled for a moment")
}

/// Leaves the kernel that runs on this thread if its run is cancelled. To be passed after every tenth of a millisecond or so.
///
/// Outside of [`interruptible`] it leaves nothing, nor in a program whose panics abort it. It is also where a region that turns out to be
/// long wakes the helpers that sleep.
#[inline]
pub fn checkpoint() {
    context::look_at_alarm();
    if cfg!(panic = "unwind")
        && context::is_interruptible()
        && context::with_cancel(|cancel| cancel.is_some_and(|link| link.is_cancelled()))
    {
        panic::resume_unwind(Box::new(Cancelled));
    }
}

/// The ranges of `grain` elements that `0..len` is made of, of which the last may be shorter, with a [`checkpoint`] before each.
///
/// ```
/// use base::threads::pieces;
/// assert_eq!(pieces(10, 4).collect::<Vec<_>>(), [0..4, 4..8, 8..10]);
/// ```
pub fn pieces(len: usize, grain: usize) -> impl Iterator<Item = Range<usize>> {
    let grain = grain.max(1);
    (0..len.div_ceil(grain)).map(move |i| {
        checkpoint();
        i * grain..(i * grain).saturating_add(grain).min(len)
    })
}

/// Passes a [`checkpoint`] once in a while, in loops whose turns are too short for one each.
#[derive(Debug)]
pub struct Pace {
    left: Cell<usize>,
}

/// Units of work between checkpoints, each of about a nanosecond.
const STRIDE: usize = 1 << 17;

impl Default for Pace {
    fn default() -> Self {
        Self { left: Cell::new(STRIDE) }
    }
}

impl Pace {
    /// Says that `work` units of about a nanosecond come now.
    #[inline]
    pub fn spend(&self, work: usize) {
        match self.left.get().checked_sub(work) {
            Some(left) => self.left.set(left),
            None => {
                checkpoint();
                self.left.set(STRIDE);
            }
        }
    }
}

/// The `items`, each of which takes about `work` nanoseconds, with a [`checkpoint`] once in a while.
pub fn paced<I: Iterator>(items: I, work: usize) -> impl Iterator<Item = I::Item> {
    let pace = Pace::default();
    items.inspect(move |_| pace.spend(work))
}

#[cfg(test)]
mod tests {
    use super::super::{Cancel, Threads, parallel_for, scope, under};
    use super::*;

    #[test]
    fn a_cancelled_run_is_left_at_the_next_checkpoint() {
        let cancel = Cancel::new();
        let mut turns = 0;
        let result = under(&cancel, || {
            interruptible(|| {
                for _ in pieces(100, 1) {
                    turns += 1;
                    if turns == 3 {
                        cancel.cancel();
                    }
                }
                Ok(())
            })
        });
        assert!(result.unwrap_err().detail().contains("terminate flag"));
        assert_eq!(turns, 3);
    }

    #[test]
    fn it_is_left_from_chunks_on_any_thread() {
        for threads in [1, 2, 4] {
            let cancel = Cancel::new();
            let result = scope(Threads::new(threads), &cancel, || {
                interruptible(|| {
                    parallel_for(8, &|_| {
                        let pace = Pace::default();
                        loop {
                            pace.spend(1000);
                            cancel.cancel();
                        }
                    });
                    Ok(())
                })
            });
            assert!(result.is_err());
            cancel.reset();
            let mut ran = 0;
            let run = || {
                ran += 1;
                Ok(())
            };
            scope(Threads::new(threads), &cancel, || interruptible(run)).unwrap();
            assert_eq!(ran, 1, "threads serve on");
        }
    }

    #[test]
    fn only_what_is_interruptible_is_left() {
        let cancel = Cancel::new();
        cancel.cancel();
        under(&cancel, || {
            checkpoint();
            let kernel = || {
                checkpoint();
                Ok(())
            };
            assert!(interruptible(kernel).is_err());
            checkpoint();
        });
    }

    #[test]
    fn without_a_run_nothing_is_left() {
        let pace = Pace::default();
        (0..10).for_each(|_| pace.spend(usize::MAX));
        assert!(paced(0..3, usize::MAX).eq(0..3));
        assert_eq!(pieces(0, 0).count(), 0);
        assert_eq!(pieces(3, 0).count(), 3);
    }

    #[test]
    fn panics_go_on() {
        let panicked = panic::catch_unwind(|| interruptible::<()>(|| panic::resume_unwind(Box::new(7))));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&7));
    }
}
