//! Runs behind the caller's back: a few threads that come when there is work and go when there is none.

use std::collections::VecDeque;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Acquire};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ort_rs::runtime::threads::Threads;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCFunction;

use crate::error::{Result, runtime_error};

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const PATIENCE: Duration = Duration::from_secs(1);

/// The threads of a process, and their work.
struct Crew {
    /// The process whose threads these are: a forked child has none of them.
    process: u32,
    state: Mutex<State>,
    work: Condvar,
    told: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// How many jobs are telling Python what came of them, and whether no more may.
    telling: usize,
    closed: bool,
}

/// The crew of this process, once there is work. A child leaves that of its parent alone: a lock there may be closed for ever.
static CREW: AtomicPtr<Crew> = AtomicPtr::new(ptr::null_mut());

fn crew() -> &'static Crew {
    let process = std::process::id();
    let old = CREW.load(Acquire);
    // SAFETY: the pointer is null or that of a crew that was leaked below.
    if let Some(crew) = unsafe { old.as_ref() }.filter(|crew| crew.process == process) {
        return crew;
    }
    let new = Box::into_raw(Box::new(Crew { process, state: Mutex::default(), work: Condvar::new(), told: Condvar::new() }));
    match CREW.compare_exchange(old, new, AcqRel, Acquire) {
        // SAFETY: crews are never freed once they are stored.
        Ok(_) => unsafe { &*new },
        Err(first) => {
            // SAFETY: nobody else has seen the new crew; the first one was stored, and is never freed.
            unsafe {
                drop(Box::from_raw(new));
                &*first
            }
        }
    }
}

impl Crew {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The life of a thread.
    fn work(&self) {
        let mut held = self.state();
        loop {
            if let Some(job) = held.jobs.pop_front() {
                drop(held);
                job();
                held = self.state();
                continue;
            }
            held.idle += 1;
            let (guard, waited) = self.work.wait_timeout(held, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            held = guard;
            held.idle -= 1;
            if waited.timed_out() && held.jobs.is_empty() {
                held.workers -= 1;
                return;
            }
        }
    }
}

/// Runs `job` on another thread, soon: at most as many at a time as a session has threads by default.
///
/// # Errors
/// `RuntimeError` when there is no thread and the system gives none.
pub(crate) fn spawn(job: Job) -> Result<()> {
    let crew = crew();
    let mut state = crew.state();
    state.jobs.push_back(job);
    // A run on one thread must not hold up all others.
    let most = Threads::default().count().max(2);
    if state.idle >= state.jobs.len() || state.workers == most {
        crew.work.notify_one();
        return Ok(());
    }
    match thread::Builder::new().name("ort-rs-async".to_owned()).spawn(|| crew.work()) {
        Ok(_) => state.workers += 1,
        Err(_) if state.workers > 0 => {}
        Err(e) => {
            state.jobs.pop_back();
            return Err(runtime_error(format!("no thread could be started: {e}")));
        }
    }
    Ok(())
}

/// Calls `f`, which enters the interpreter, unless that is about to end.
pub(crate) fn tell(f: impl FnOnce()) {
    let crew = crew();
    {
        let mut state = crew.state();
        if state.closed {
            return;
        }
        state.telling += 1;
    }
    f();
    crew.state().telling -= 1;
    crew.told.notify_all();
}

/// Lets no more jobs enter the interpreter, and waits for those that have: a thread that holds it while it ends brings the process down.
fn close() {
    let crew = crew();
    let mut state = crew.state();
    state.closed = true;
    while state.telling > 0 {
        state = crew.told.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Has [`close`] called before the interpreter ends.
///
/// # Errors
/// Those of Python.
pub(crate) fn close_at_exit(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: PyOnceLock<()> = PyOnceLock::new();
    REGISTERED.get_or_try_init(py, || {
        let at_exit = PyCFunction::new_closure(py, None, None, |arguments, _| arguments.py().detach(close))?;
        py.import("atexit")?.call_method1("register", (at_exit,)).map(drop)
    })?;
    Ok(())
}
