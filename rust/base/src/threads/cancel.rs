//! Stopping a run from outside: a flag that is shared and a deadline that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use crate::Result;

/// A handle that stops the runs it is given to.
///
/// Clones share one flag; a deadline belongs to the handle it was set on.
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
    deadline: Option<Instant>,
}

impl Cancel {
    /// A handle that is not cancelled and has no deadline.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle with the same flag that is also cancelled from `deadline` on.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> Self {
        Self { flag: Arc::clone(&self.flag), deadline: Some(deadline) }
    }

    /// Stops every run under this flag, now and until [`reset`](Self::reset).
    pub fn cancel(&self) {
        self.flag.store(true, Relaxed);
    }

    /// Takes a [`cancel`](Self::cancel) back; a deadline stays.
    pub fn reset(&self) {
        self.flag.store(false, Relaxed);
    }

    /// Whether the flag itself is set, whatever the deadline.
    pub fn is_set(&self) -> bool {
        self.flag.load(Relaxed)
    }

    /// Whether the flag is set or the deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.is_set() || self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// Fails once cancelled.
    ///
    /// # Errors
    /// `Fail` with ONNX Runtime's text for a set flag, or with one that names the deadline.
    pub fn check(&self) -> Result<()> {
        crate::ensure!(!self.is_set(), Fail, "Exiting due to terminate flag being set to true.");
        crate::ensure!(!self.is_cancelled(), Fail, "Exiting due to the deadline of the run having passed.");
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
}
