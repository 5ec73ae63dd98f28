//! Runs behind the caller's back: a few threads that come when there is work and go when there is none.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ort_rs::runtime::threads::Threads;

use crate::error::{Result, runtime_error};

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const PATIENCE: Duration = Duration::from_secs(1);

struct State {
    jobs: VecDeque<Job>,
    workers: usize,
    idle: usize,
    /// The process whose threads these are: a forked child has none of them.
    process: u32,
}

static STATE: Mutex<State> = Mutex::new(State { jobs: VecDeque::new(), workers: 0, idle: 0, process: 0 });
static WORK: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `job` on another thread, soon: at most as many at a time as a session has threads by default.
///
/// # Errors
/// `RuntimeError` when there is no thread and the system gives none.
pub(crate) fn spawn(job: Job) -> Result<()> {
    let mut state = state();
    if state.process != std::process::id() {
        *state = State { jobs: VecDeque::new(), workers: 0, idle: 0, process: std::process::id() };
    }
    state.jobs.push_back(job);
    // A run on one thread must not hold up all others.
    let most = Threads::default().count().max(2);
    if state.idle >= state.jobs.len() || state.workers == most {
        WORK.notify_one();
        return Ok(());
    }
    match thread::Builder::new().name("ort-rs-async".to_owned()).spawn(work) {
        Ok(_) => state.workers += 1,
        Err(_) if state.workers > 0 => {}
        Err(e) => {
            state.jobs.pop_back();
            return Err(runtime_error(format!("no thread could be started: {e}")));
        }
    }
    Ok(())
}

/// The life of a thread.
fn work() {
    let mut held = state();
    loop {
        if let Some(job) = held.jobs.pop_front() {
            drop(held);
            job();
            held = state();
            continue;
        }
        held.idle += 1;
        let (guard, waited) = WORK.wait_timeout(held, PATIENCE).unwrap_or_else(PoisonError::into_inner);
        held = guard;
        held.idle -= 1;
        if waited.timed_out() && held.jobs.is_empty() {
            held.workers -= 1;
            return;
        }
    }
}
