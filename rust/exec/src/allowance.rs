//! How much may be computed while a model is loaded: constants that grow from node to node would take all memory, or all day.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use base::threads::Cancel;

/// Bytes that any model may compute ahead.
const BYTES: usize = 1 << 30;
/// How often a model may rewrite its own constants beyond that.
const TIMES: usize = 16;
/// How long all that may take. What is not done by then is left to the runs.
const TIME: Duration = Duration::from_secs(120);

/// Bytes and time that are left for computing ahead.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: AtomicUsize,
    /// Microseconds that were spent.
    spent: AtomicU64,
}

impl Default for Allowance {
    fn default() -> Self {
        Self::of(0)
    }
}

impl Allowance {
    /// That of a model with `constants` bytes of constants.
    pub(crate) fn of(constants: usize) -> Self {
        Self { bytes: AtomicUsize::new(constants.saturating_mul(TIMES).saturating_add(BYTES)), spent: AtomicU64::new(0) }
    }

    /// Allows a result of `bytes` bytes, with what ends its computation when the time is over; `None` when it is too much.
    pub(crate) fn spend(&self, bytes: usize) -> Option<Cancel> {
        let left = TIME.checked_sub(Duration::from_micros(self.spent.load(Relaxed))).filter(|left| !left.is_zero())?;
        self.bytes.fetch_update(Relaxed, Relaxed, |all| all.checked_sub(bytes)).ok()?;
        Some(Cancel::new().with_deadline(Instant::now() + left))
    }

    /// Counts time that was spent.
    pub(crate) fn took(&self, time: Duration) {
        self.spent.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_time_run_out() {
        let allowance = Allowance::of(100);
        assert!(allowance.spend(BYTES).is_some());
        assert!(allowance.spend(TIMES * 100 + 1).is_none());
        assert!(allowance.spend(TIMES * 100).is_some_and(|c| !c.is_cancelled()));
        allowance.took(TIME);
        assert!(allowance.spend(0).is_none());
    }
}
