//! What ends a run early, seen from Python: Ctrl-C, and the time that a caller gives.
//!
//! Python handles signals on its main thread, and that is away while it runs a model. So a run that lasts asks for them now and then
//! between its steps. Short runs end before they would ask, and pay a few counts.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ort_rs::ErrorKind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Failure, Result};

/// How many steps and chunks go by between two looks at the clock, which costs as much as a small node.
const STRIDE: u8 = 8;
/// How long a run goes on before it asks for signals, and between two times that it asks: that takes the interpreter's lock.
const PATIENCE: Duration = Duration::from_millis(5);

/// What the runs of a thread do about signals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing: there is no run, or Python handles no signals on this thread.
    Off,
    /// They ask for them.
    On,
    /// They end, for a handler has raised an exception.
    Raised,
}

struct Watch {
    state: Cell<State>,
    count: Cell<u8>,
    due: Cell<Option<Instant>>,
}

thread_local! {
    static WATCH: Watch = const { Watch { state: Cell::new(State::Off), count: Cell::new(0), due: Cell::new(None) } };
}

/// What a handler has raised; only the main thread runs handlers.
static RAISED: Mutex<Option<PyErr>> = Mutex::new(None);

/// Whether the runs of this thread are to end for a signal: the watch of their `Cancel`.
pub(crate) fn poll() -> bool {
    WATCH.with(|watch| match watch.state.get() {
        State::Off => false,
        State::Raised => true,
        State::On => {
            let count = watch.count.get().wrapping_add(1);
            watch.count.set(count);
            count % STRIDE == 0 && watch.look()
        }
    })
}

impl Watch {
    fn look(&self) -> bool {
        let now = Instant::now();
        let Some(due) = self.due.get() else {
            self.due.set(Some(now + PATIENCE));
            return false;
        };
        if now < due {
            return false;
        }
        // An interpreter that is going away handles no signals any more.
        self.state.set(Python::try_attach(handle).unwrap_or(State::Off));
        self.due.set(Some(Instant::now() + PATIENCE));
        self.state.get() == State::Raised
    }
}

/// Lets Python handle what signals have come.
fn handle(py: Python<'_>) -> State {
    if let Err(raised) = py.check_signals() {
        *RAISED.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
        return State::Raised;
    }
    if is_main(py).unwrap_or(false) { State::On } else { State::Off }
}

fn is_main(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    threading.call_method0("get_ident")?.eq(threading.call_method0("main_thread")?.getattr("ident")?)
}

/// The watch of a thread as it was before a run, which may be one within another.
struct Before(State, Option<Instant>);

impl Before {
    fn a_run() -> Self {
        WATCH.with(|watch| Self(watch.state.replace(State::On), watch.due.replace(None)))
    }
}

impl Drop for Before {
    fn drop(&mut self) {
        WATCH.with(|watch| {
            watch.state.set(self.0);
            watch.due.set(self.1);
        });
    }
}

/// Runs `run` without the interpreter, under `options`, which may end it.
///
/// # Errors
/// What a handler of a signal raised; `RunTimeout` when the deadline of `options` has passed; what `run` says.
pub(crate) fn attended<T: Send>(py: Python<'_>, options: &ort_rs::RunOptions, run: impl FnOnce() -> ort_rs::Result<T> + Send) -> Result<T> {
    let before = Before::a_run();
    let result = py.detach(run);
    let raised = WATCH.with(|watch| watch.state.get() == State::Raised);
    drop(before);
    if raised && let Some(raised) = RAISED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(raised.into());
    }
    result.map_err(|e| if e.kind() == ErrorKind::Fail && options.cancel.is_late() { timed_out(py, &e) } else { e.into() })
}

fn timed_out(py: Python<'_>, error: &ort_rs::Error) -> Failure {
    let class = py.import("ort_rs._errors").and_then(|module| module.getattr("RunTimeout"));
    let exception = class.and_then(|class| class.call1((error.to_string(),)));
    Failure::Python(exception.map_or_else(|e| e, PyErr::from_value))
}

/// `options` with a deadline `timeout` seconds from now, if that is given.
///
/// # Errors
/// `ValueError` for what is no time.
pub(crate) fn within(options: ort_rs::RunOptions, timeout: Option<f64>) -> Result<ort_rs::RunOptions> {
    let Some(seconds) = timeout else { return Ok(options) };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("timeout must be a number of seconds that is not negative, not {seconds}")).into());
    }
    // What is too long to be told is no limit.
    let deadline = Duration::try_from_secs_f64(seconds).ok().and_then(|time| Instant::now().checked_add(time));
    Ok(match deadline {
        Some(deadline) => ort_rs::RunOptions { cancel: options.cancel.with_deadline(deadline), ..options },
        None => options,
    })
}
