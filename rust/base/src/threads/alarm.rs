//! Waking helpers only for regions that turn out to be long.
//!
//! To wake a thread keeps its waker for some microseconds, on virtual machines for some tens: longer than many a region takes. So a caller
//! whose helpers sleep begins alone, and wakes them once it has worked for a while. It looks at the clock after each chunk, and at each
//! checkpoint inside of long ones.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a caller works alone, about what waking takes.
const PATIENCE: Duration = Duration::from_micros(15);

/// What wakes the helpers of a region.
pub(super) struct Alarm<'a> {
    since: Instant,
    rung: Cell<bool>,
    wake: &'a dyn Fn(),
}

impl<'a> Alarm<'a> {
    pub(super) fn new(wake: &'a dyn Fn()) -> Self {
        Self { since: Instant::now(), rung: Cell::new(false), wake }
    }

    /// Wakes the helpers if it is time and has not been done.
    pub(super) fn look(&self) {
        if !self.rung.get() && self.since.elapsed() >= PATIENCE {
            self.rung.set(true);
            (self.wake)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_once() {
        let rung = Cell::new(0);
        let wake = || rung.set(rung.get() + 1);
        let alarm = Alarm::new(&wake);
        std::thread::sleep(PATIENCE);
        (0..3).for_each(|_| alarm.look());
        assert_eq!(rung.get(), 1);
    }
}
