//! Waiting a little before going to sleep.

use std::time::{Duration, Instant};
use std::{hint, thread};

/// Looks at the clock only now and then: reading it costs as much as several pauses.
const PAUSES: u32 = 32;

/// How long to wait before offering the processor to other threads at each pause: what is waited for may need it.
const SELFISH: Duration = Duration::from_micros(5);

/// A wait of limited length.
pub(super) struct Spin {
    length: Duration,
    since: Option<Instant>,
}

impl Spin {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, since: None }
    }

    /// Pauses for a moment; false once the time is over.
    pub(super) fn pause(&mut self) -> bool {
        for _ in 0..PAUSES {
            hint::spin_loop();
        }
        let waited = self.since.get_or_insert_with(Instant::now).elapsed();
        if waited > SELFISH {
            thread::yield_now();
        }
        waited < self.length
    }
}
