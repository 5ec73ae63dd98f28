//! Showing that something long is going on.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// While it lives, and after a moment, a line on the standard error output tells what goes on and since when; if that is a terminal.
pub(crate) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

const MOMENT: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_millis(100);

impl Progress {
    pub(crate) fn start(what: String) -> Self {
        if !io::stderr().is_terminal() {
            return Self(None);
        }
        let (end, ended) = mpsc::channel();
        let show = move || {
            let begun = Instant::now();
            let mut wait = MOMENT;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                write(&format!("\r{what}: {:.1} s", begun.elapsed().as_secs_f64()));
                wait = STEP;
            }
            if wait == STEP {
                write("\r\x1b[K");
            }
        };
        Self(Some((end, thread::spawn(show))))
    }
}

/// What nobody can see is no reason to fail.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
