//! Options of a session that a model carries in its metadata.

use pyo3::prelude::*;
use pyo3::types::{PyAnyMethods, PyDict};

use crate::error::{Result, runtime_error};
use crate::origin::Origin;
use crate::session_options::SessionOptions;

/// The variable that turns this on.
const VARIABLE: &str = "ORT_LOAD_CONFIG_FROM_MODEL";
/// The metadata that holds the options, as JSON.
const KEY: &str = "ort_config";

/// Whether options are taken from the model: where the environment says so, unless the keyword `asked` is 0.
///
/// # Errors
/// `TypeError` for a keyword that is no number.
pub(crate) fn is_wanted(asked: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let asked = asked.map_or(Ok(1), |a| a.extract::<i64>())?;
    Ok(asked == 1 && std::env::var(VARIABLE).is_ok_and(|value| value == "1"))
}

/// Sets the options that the model at `origin` carries; what it leaves out stays as it was.
///
/// # Errors
/// `RuntimeError` for JSON that is none; `TypeError` for options of another type.
pub(crate) fn apply(py: Python<'_>, origin: &Origin, options: &mut SessionOptions) -> Result<()> {
    let metadata = origin.metadata(py)?;
    let Some(text) = metadata.custom.get(KEY) else { return Ok(()) };
    let broken = |e: PyErr| runtime_error(format!("the metadata '{KEY}' of the model is no JSON: {e}"));
    let parsed = py.import("json")?.call_method1("loads", (text,)).map_err(broken)?;
    let Some(given) = parsed.get_item("session_options").ok() else { return Ok(()) };
    for (key, value) in given.cast::<PyDict>()?.iter() {
        let key: String = key.extract()?;
        match key.as_str() {
            "intra_op_num_threads" => options.intra_op_num_threads = value.extract()?,
            "inter_op_num_threads" => options.inter_op_num_threads = value.extract()?,
            "execution_mode" => options.set_mode(value.extract()?),
            "graph_optimization_level" => options.set_level(value.extract()?),
            "enable_profiling" => options.enable_profiling = value.extract()?,
            // Models may carry options of other runtimes.
            _ => {}
        }
    }
    Ok(())
}
