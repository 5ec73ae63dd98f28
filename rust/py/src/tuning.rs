//! What providers have found to be fastest, as ONNX Runtime's users hand it around, and options that change meanwhile.

use std::collections::BTreeMap;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::{Result, runtime_error};

/// Takes results, dictionaries with `ep`, `results` and `validators`. No provider of this build has any use for them.
///
/// # Errors
/// `TypeError` and `KeyError` for what are no such dictionaries; `RuntimeError` for any with `error_on_invalid`.
pub(crate) fn take(results: &Bound<'_, PyList>, error_on_invalid: bool) -> Result<()> {
    for (i, result) in results.iter().enumerate() {
        let result = result.cast::<PyDict>().map_err(|_| PyTypeError::new_err("tuning results are dictionaries"))?;
        for key in ["ep", "results", "validators"] {
            if !result.contains(key)? {
                return Err(PyKeyError::new_err(key).into());
            }
        }
        if error_on_invalid {
            let name = result.get_item("ep")?.map(|n| n.to_string()).unwrap_or_default();
            let text = format!("Invalid TuningResults (index={i}). {name} does not support TunableOp.");
            return Err(runtime_error(format!("Error in execution: {text}")));
        }
    }
    Ok(())
}

/// Checks options that are to change while a session lives; the CPU has none, and ignores them.
///
/// # Errors
/// `RuntimeError` without any.
pub(crate) fn check_dynamic_options(options: &BTreeMap<String, String>) -> Result<()> {
    if options.is_empty() { Err(runtime_error("No options were provided")) } else { Ok(()) }
}
