//! The command line.

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line `args`, the name of the program first, and gives its exit status.
#[pyfunction]
pub(crate) fn cli(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| ort_rs::cli::main(args))
}
