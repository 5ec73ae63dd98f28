//! What the sessions of this process share, and what it can say of itself.

use ort_rs::runtime::{self, Environment};
use pyo3::prelude::*;

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

/// The kind of device that a session uses if it is not told otherwise.
#[pyfunction]
pub(crate) fn get_device() -> &'static str {
    "CPU"
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
