//! What the sessions of this process share, and what it can say of itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use ort_rs::runtime::{self, Environment, Log, Severity, Source};
use ort_rs::{Error, ErrorKind, Metadata};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Result;
use crate::providers::{KNOWN, SUFFIX};

/// The environment of this process: made when it is first needed, then kept.
///
/// # Errors
/// `Fail` when two operators have one name.
pub(crate) fn environment() -> Result<&'static Environment> {
    Ok(runtime::shared()?)
}

/// The names of the providers that sessions can use here, the CPU last.
#[pyfunction]
pub(crate) fn get_available_providers() -> Result<Vec<String>> {
    Ok(environment()?.providers())
}

/// The names of all providers that programs may speak of, by falling priority, the CPU last; a build has some of them.
#[pyfunction]
pub(crate) fn get_all_providers() -> Vec<String> {
    KNOWN.iter().map(|kind| format!("{kind}{SUFFIX}")).collect()
}

/// The threads that sessions without threads of their own share, once somebody has said how many.
static SHARED_THREADS: OnceLock<usize> = OnceLock::new();

/// Sets how many threads the sessions share that are made with `use_per_session_threads=False`; 0 for as many as the machine gives.
/// From then on sessions with threads of their own are refused. Nodes run one after the other, so `inter_op_num_threads` has no
/// meaning here.
///
/// Raises `Fail` when it was called before.
#[pyfunction]
#[pyo3(signature = (intra_op_num_threads=0, inter_op_num_threads=0))]
pub(crate) fn set_global_thread_pool_sizes(intra_op_num_threads: i32, inter_op_num_threads: i32) -> Result<()> {
    let _ = inter_op_num_threads;
    let count = usize::try_from(intra_op_num_threads).unwrap_or(0);
    let again = |_| Error::new(ErrorKind::Fail, "Global thread pools have already been created, cannot replace them");
    Ok(SHARED_THREADS.set(count).map_err(again)?)
}

/// How many threads a session may use that asks for `own` ones, or for the shared ones.
///
/// # Errors
/// `RuntimeError` when it asks for shared threads and there are none, or for its own and there are shared ones.
pub(crate) fn threads(per_session: bool, own: usize) -> PyResult<usize> {
    let refuse = |text: &'static str| Err(PyRuntimeError::new_err(text));
    match (SHARED_THREADS.get(), per_session) {
        (None, true) => Ok(own),
        (Some(count), false) => Ok(*count),
        (Some(_), true) => refuse("use_per_session_threads must be false when using a global thread pool"),
        (None, false) => refuse("a session without threads of its own needs those of set_global_thread_pool_sizes, which was not called"),
    }
}

/// The least severity that is logged, and how much at the lowest.
static LOG: (AtomicI32, AtomicI32) = (AtomicI32::new(2), AtomicI32::new(0));

/// Sets from which severity on the process logs: 0 verbose, 1 information, 2 warnings, 3 errors, 4 fatal errors.
///
/// Raises `RuntimeError` for any other number.
#[pyfunction]
pub(crate) fn set_default_logger_severity(severity: i32) -> PyResult<()> {
    if !(0..=4).contains(&severity) {
        return Err(PyRuntimeError::new_err("Invalid logging severity. 0:Verbose, 1:Info, 2:Warning, 3:Error, 4:Fatal"));
    }
    LOG.0.store(severity, Relaxed);
    Ok(())
}

/// Sets how much the process logs at the lowest severity.
#[pyfunction]
pub(crate) fn set_default_logger_verbosity(verbosity: i32) {
    LOG.1.store(verbosity, Relaxed);
}

/// What a session says of its work that asks for `severity`, -1 for that of the process, and `verbosity`, under the name `id`.
pub(crate) fn log(severity: i32, verbosity: i32, id: &str) -> Log {
    let default = || Severity::of(LOG.0.load(Relaxed)).unwrap_or_default();
    Log { least: Severity::of(severity).unwrap_or_else(default), verbosity: verbosity.max(LOG.1.load(Relaxed)), id: id.into() }
}

/// Makes nodes that draw random numbers without a seed of their own draw the same ones in every process, in sessions that are made from
/// now on.
#[pyfunction]
pub(crate) fn set_seed(seed: i64) {
    runtime::set_seed(seed);
}

/// What the model at a path, or the bytes of one, carries as metadata of its maker's own.
#[pyfunction]
pub(crate) fn model_metadata(model: &Bound<'_, PyAny>) -> Result<BTreeMap<String, String>> {
    let metadata = match model.cast::<PyBytes>() {
        Ok(bytes) => Metadata::of(Source::Bytes(bytes.as_bytes())),
        Err(_) => Metadata::of(Source::File(&model.extract::<PathBuf>()?)),
    };
    Ok(metadata?.custom)
}

/// The kind of device that sessions can use here: `GPU` where a CUDA device is, else `CPU`.
#[pyfunction]
pub(crate) fn get_device() -> Result<&'static str> {
    Ok(if get_available_providers()?.iter().any(|name| name == "CUDAExecutionProvider") { "GPU" } else { "CPU" })
}

/// The version of ort_rs.
#[pyfunction]
pub(crate) fn get_version_string() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// What this build is made of, in one line.
#[pyfunction]
pub(crate) fn get_build_info() -> String {
    let kind = if cfg!(debug_assertions) { "Debug" } else { "Release" };
    format!("ORT Build Info: ort_rs={}, arch={}, build type={kind}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH)
}
