//! What a session says of its work, on the standard error output, in the line format of ONNX Runtime.

use std::io::Write as _;
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::Moment;

/// How much a line matters, with the numbers of ONNX Runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Each step of the work.
    Verbose,
    /// What was done, and how long it took.
    Info,
    /// What the user should know, though it works.
    #[default]
    Warning,
    /// What failed.
    Error,
    /// What the process does not survive.
    Fatal,
}

impl Severity {
    /// The severity with this number; `None` for a number that has none.
    pub fn of(number: i32) -> Option<Self> {
        const ALL: [Severity; 5] = [Severity::Verbose, Severity::Info, Severity::Warning, Severity::Error, Severity::Fatal];
        usize::try_from(number).ok().and_then(|i| ALL.get(i).copied())
    }

    fn letter(self) -> char {
        match self {
            Self::Verbose => 'V',
            Self::Info => 'I',
            Self::Warning => 'W',
            Self::Error => 'E',
            Self::Fatal => 'F',
        }
    }
}

/// From which severity on lines are written, and under which name.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The least severity.
    pub least: Severity,
    /// At the lowest severity: 0 for steps of loading and runs, 1 for each node of a run as well.
    pub verbosity: i32,
    /// A name for the session or the run, which stands in each line.
    pub id: Arc<str>,
}

impl Log {
    /// Whether lines of `severity` are written.
    pub fn takes(&self, severity: Severity) -> bool {
        severity >= self.least
    }

    /// Whether each node of a run is written.
    pub fn takes_nodes(&self) -> bool {
        self.takes(Severity::Verbose) && self.verbosity > 0
    }

    /// Writes the line that `text` gives, if lines of `severity` are written; `what` is the work that it speaks of.
    #[track_caller]
    pub fn say(&self, severity: Severity, what: &str, text: impl FnOnce() -> String) {
        if self.takes(severity) {
            let line = self.line(severity, what, &text(), Location::caller());
            // Where the standard error output is closed there is nobody to tell.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn line(&self, severity: Severity, what: &str, text: &str, from: &Location<'_>) -> String {
        let now = Moment::of(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()).log_text();
        let file = Path::new(from.file()).file_name().unwrap_or_default().to_string_lossy();
        format!("{now} [{}:ort_rs:{}, {file}:{} {what}] {text}\n", severity.letter(), self.id, from.line())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_format_of_onnx_runtime() {
        let log = Log { id: "mine".into(), ..Log::default() };
        let line = log.line(Severity::Warning, "load", "text", Location::caller());
        let (time, rest) = line.split_at(30);
        assert_eq!(time.matches([':', '-', '.', ' ']).count(), 7, "{line}");
        assert!(rest.starts_with("[W:ort_rs:mine, log.rs:") && rest.ends_with(" load] text\n"), "{line}");
    }

    #[test]
    fn severities_have_numbers() {
        assert_eq!(Severity::of(1), Some(Severity::Info));
        assert_eq!((Severity::of(-1), Severity::of(5)), (None, None));
        let log = Log { least: Severity::Info, ..Log::default() };
        assert!(log.takes(Severity::Warning) && log.takes(Severity::Info) && !log.takes(Severity::Verbose));
    }
}
