//! Waiting a little before going to sleep.

use std::hint;
use std::time::{Duration, Instant};

/// Looks at the clock only now and then: reading it costs as much as several pauses.
const PAUSES: u32 = 32;

/// A wait of limited length.
pub(super) struct Spin {
    length: Duration,
    until: Option<Instant>,
}

impl Spin {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, until: None }
    }

    /// Pauses for a moment; false once the time is over.
    pub(super) fn pause(&mut self) -> bool {
        for _ in 0..PAUSES {
            hint::spin_loop();
        }
        let now = Instant::now();
        now < *self.until.get_or_insert(now + self.length)
    }
}
