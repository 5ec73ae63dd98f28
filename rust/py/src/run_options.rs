//! What a run is made with.

use ort_rs::runtime::{Log, Severity};
use ort_rs::{Cancel, Error, ErrorKind};
use pyo3::prelude::*;

use crate::adapter::LoraAdapter;
use crate::config::Config;
use crate::error::Result;
use crate::flag::Flag;
use crate::interrupt;
use crate::refusals::{NO_SEVERITY, is_severity};

/// The option that lists arenas to shrink after a run: `cpu:0`, with semicolons between several.
const SHRINK: &str = "memory.enable_memory_arena_shrinkage";

/// Whether the list `arenas` asks for that of the CPU.
///
/// # Errors
/// `InvalidArgument` for others: there are none.
fn shrinks(arenas: &str) -> Result<bool> {
    for arena in arenas.split(';').map(str::trim).filter(|a| !a.is_empty()) {
        let (device, id) = arena.split_once(':').unwrap_or((arena, "0"));
        let text = match (device, id) {
            ("cpu", "0") => continue,
            ("cpu" | "gpu", _) => {
                format!(
                    "Did not find an arena based allocator registered for device-id combination in the memory arena shrink list: {arena}"
                )
            }
            _ => format!("Unsupported device specified in the memory arena shrink list: {device}"),
        };
        return Err(Error::new(ErrorKind::InvalidArgument, text).into());
    }
    Ok(!arenas.trim().is_empty())
}

/// What a run is made with.
#[pyclass(module = "ort_rs", weakref)]
pub(crate) struct RunOptions {
    core: ort_rs::RunOptions,
    config: Config,
    /// A name for the run in logs.
    #[pyo3(get, set)]
    logid: String,
    /// From which severity on the run logs; -1 for the session's.
    #[pyo3(get, set)]
    log_severity_level: i32,
    /// How much the run logs at the lowest severity.
    #[pyo3(get, set)]
    log_verbosity_level: i32,
    /// Whether only what the fetched outputs need is run; that is always so here.
    #[pyo3(get, set)]
    only_execute_path_to_fetches: Flag,
}

impl RunOptions {
    /// What the runtime takes from them for a run of a session with `log`; cancelling stays shared.
    ///
    /// # Errors
    /// `Fail` for a log severity that is none, `InvalidArgument` for a list of arenas to shrink that names what is not there.
    pub(crate) fn core(&self, log: &Log) -> Result<ort_rs::RunOptions> {
        if !is_severity(self.log_severity_level) {
            let text = format!("run log severity level: {NO_SEVERITY}: {}", self.log_severity_level);
            return Err(Error::new(ErrorKind::Fail, text).into());
        }
        let shrink = match self.config.entries().get(SHRINK) {
            Some(arenas) => shrinks(arenas)?,
            None => false,
        };
        Ok(ort_rs::RunOptions { shrink, log: self.log(log), ..self.core.clone() })
    }

    /// What the run says of its work; `None` where that is up to the session with `log`.
    fn log(&self, log: &Log) -> Option<Log> {
        if self.logid.is_empty() && self.log_severity_level < 0 && self.log_verbosity_level <= log.verbosity {
            return None;
        }
        let between = if log.id.is_empty() || self.logid.is_empty() { "" } else { ":" };
        Some(Log {
            least: Severity::of(self.log_severity_level).unwrap_or(log.least),
            verbosity: self.log_verbosity_level.max(log.verbosity),
            id: format!("{}{between}{}", log.id, self.logid).into(),
        })
    }
}

#[pymethods]
impl RunOptions {
    #[new]
    fn new() -> Self {
        Self {
            core: ort_rs::RunOptions { cancel: Cancel::new().with_watch(interrupt::poll), ..ort_rs::RunOptions::default() },
            config: Config::new("RunOptions"),
            logid: String::new(),
            log_severity_level: -1,
            log_verbosity_level: 0,
            only_execute_path_to_fetches: Flag(false),
        }
    }

    /// Whether runs with these options end as soon as they can; may be set while they run.
    #[getter]
    fn terminate(&self) -> bool {
        self.core.cancel.is_set()
    }

    #[setter]
    fn set_terminate(&self, terminate: Flag) {
        if terminate.0 { self.core.cancel.cancel() } else { self.core.cancel.reset() }
    }

    /// Lets runs take the parameters of an adapter in place of the model's defaults.
    fn add_active_adapter(&mut self, adapter: &LoraAdapter) {
        self.core.adapters.push(adapter.shared());
    }

    /// Sets a further option by name.
    fn add_run_config_entry(&mut self, key: String, value: String) -> Result<()> {
        self.config.set(key, value)
    }

    /// A further option by name.
    fn get_run_config_entry(&self, key: &str) -> Result<String> {
        self.config.get(key).map(str::to_owned)
    }
}
