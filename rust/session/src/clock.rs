//! Date and time (UTC), for names of files and lines of logs.

use std::time::Duration;

/// A moment as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    date: (u64, u64, u64),
    time: (u64, u64, u64),
    nanos: u32,
}

impl Moment {
    /// The moment that lies `since` after the begin of 1970.
    pub(crate) fn of(since: Duration) -> Self {
        let seconds = since.as_secs();
        let time = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        // Years that begin in March put the leap day last; 400 of them have 146097 days.
        let days = seconds / 86400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        Self { date: (era * 400 + year + carry, month, date), time, nanos: since.subsec_nanos() }
    }

    /// As `2026-01-31_23-59-59_999`.
    pub(crate) fn file_name(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}_{:03}", self.nanos / 1_000_000)
    }

    /// As `2026-01-31 23:59:59.999999999`.
    pub(crate) fn log_text(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:09}", self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_dates() {
        let name = |millis| Moment::of(Duration::from_millis(millis)).file_name();
        assert_eq!(name(0), "1970-01-01_00-00-00_000");
        assert_eq!(name(951_827_696_789), "2000-02-29_12-34-56_789");
        assert_eq!(name(1_735_689_599_999), "2024-12-31_23-59-59_999");
        assert_eq!(Moment::of(Duration::new(1, 23)).log_text(), "1970-01-01 00:00:01.000000023");
    }
}
