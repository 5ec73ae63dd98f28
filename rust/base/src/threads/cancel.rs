//! Stopping a run from outside: a flag that is shared, a deadline and a watch that are not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use crate::Result;

/// A handle that stops the runs it is given to.
///
/// Clones share one flag; a deadline and a watch belong to the handle they were set on.
///
/// ```
/// use base::threads::Cancel;
/// let cancel = Cancel::new();
/// let other = cancel.clone();
/// other.cancel();
/// assert!(cancel.check().is_err());
/// cancel.reset();
/// assert!(other.check().is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
    /// The flag of the handle that this one was made below of.
    above: Option<Arc<AtomicBool>>,
    deadline: Option<Instant>,
    watch: Option<Watch>,
}

/// Tells whether to stop. It is asked at each step and chunk of a run, so it must answer within nanoseconds nearly always.
pub type Watch = fn() -> bool;

impl Cancel {
    /// A handle that is not cancelled and has no deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle with the same flag that is also cancelled from `deadline` on.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// A handle with the same flag that is also cancelled once `watch` says so, on whichever thread asks.
    #[must_use]
    pub fn with_watch(&self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self.clone() }
    }

    /// A handle that is cancelled with this one, and can be cancelled alone. Only the nearest two are looked at: of a handle below another,
    /// make no further one.
    #[must_use]
    pub fn below(&self) -> Self {
        Self { flag: Arc::default(), above: Some(Arc::clone(&self.flag)), ..self.clone() }
    }

    /// Stops every run under this flag, now and until [`reset`](Self::reset).
    pub fn cancel(&self) {
        self.flag.store(true, Relaxed);
    }

    /// Takes a [`cancel`](Self::cancel) back; a deadline stays.
    pub fn reset(&self) {
        self.flag.store(false, Relaxed);
    }

    /// Whether the flag itself is set, whatever deadline and watch say.
    pub fn is_set(&self) -> bool {
        self.flag.load(Relaxed) || self.above.as_ref().is_some_and(|above| above.load(Relaxed))
    }

    /// Whether the deadline has passed.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// Whether the flag is set, the deadline has passed or the watch says so.
    pub fn is_cancelled(&self) -> bool {
        self.is_set() || self.is_late() || self.is_interrupted()
    }

    fn is_interrupted(&self) -> bool {
        self.watch.is_some_and(|watch| watch())
    }

    /// Fails once cancelled.
    ///
    /// # Errors
    /// `Fail` with ONNX Runtime's text for a set flag, or with one that names the deadline or the watch.
    pub fn check(&self) -> Result<()> {
        crate::ensure!(!self.is_set(), Fail, "Exiting due to terminate flag being set to true.");
        crate::ensure!(!self.is_late(), Fail, "Exiting due to the deadline of the run having passed.");
        crate::ensure!(!self.is_interrupted(), Fail, "Exiting due to an interrupt.");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flag_is_shared_and_a_deadline_is_not() {
        let cancel = Cancel::new();
        let late = cancel.with_deadline(Instant::now());
        assert!(late.is_cancelled() && !late.is_set() && !cancel.is_cancelled());
        assert!(late.check().unwrap_err().detail().contains("deadline"));
        let early = cancel.with_deadline(Instant::now() + Duration::from_secs(3600));
        assert!(early.check().is_ok());
        cancel.cancel();
        assert_eq!(
            early.check().unwrap_err().to_string(),
            "[ONNXRuntimeError] : 1 : FAIL : Exiting due to terminate flag being set to true."
        );
        early.reset();
        assert!(cancel.check().is_ok() && late.is_cancelled());
    }

    #[test]
    fn a_watch_stops_the_handle_that_has_it() {
        let cancel = Cancel::new();
        assert!(cancel.with_watch(|| false).check().is_ok());
        let watched = cancel.with_watch(|| true);
        assert!(watched.check().unwrap_err().detail().contains("interrupt") && !watched.is_set() && cancel.check().is_ok());
    }

    #[test]
    fn a_handle_below_another_stops_with_it_and_alone() {
        let above = Cancel::new();
        let (one, two) = (above.below(), above.below());
        one.cancel();
        assert!(one.is_set() && !two.is_set() && !above.is_set());
        above.cancel();
        assert!(two.is_cancelled() && two.clone().is_set());
    }
}
