//! What ONNX Runtime refuses of options when a session is made, with its kinds of exceptions.

use ort_rs::{Error, ErrorKind};
use pyo3::exceptions::PyValueError;

use crate::affinities::{self, AFFINITIES};
use crate::error::{Failure, Result, runtime_error};
use crate::session_options::SessionOptions;

const BLOCK_BASE: &str = "session.dynamic_block_base";
const MINIMAL_BUILD: &str = "optimization.minimal_build_optimizations";
const SAVE_FORMAT: &str = "session.save_model_format";
const CONTEXT: &str = "ep.context_enable";
const CONTEXT_FILE: &str = "ep.context_file_path";

/// What is said of a log severity that is none.
pub(crate) const NO_SEVERITY: &str = "Not a valid onnxruntime::logging::Severity value";

/// Fails where an option has a value that means nothing; `from_file` says whether the model is a file.
///
/// # Errors
/// `RuntimeError`, `ValueError` or `InvalidArgument`, whichever ONNX Runtime raises.
pub(crate) fn check(options: &SessionOptions, from_file: bool) -> Result<()> {
    let level = options.log_severity_level();
    if !is_severity(level) {
        return Err(runtime_error(format!("session log severity level: {NO_SEVERITY}: {level}")));
    }
    if let Some(text) = options.config(AFFINITIES) {
        affinities::read(text, options.intra_op_num_threads()).map_err(|reason| runtime_error(format!("{AFFINITIES}: {reason}")))?;
    }
    if let Some(text) = options.config(BLOCK_BASE)
        && text.trim_start().parse::<i32>().is_err()
    {
        return Err(Failure::Python(PyValueError::new_err(format!("{BLOCK_BASE}: '{text}' is no whole number"))));
    }
    minimal_build(options)?;
    let context = options.config(CONTEXT) == Some("1") && options.config(CONTEXT_FILE).is_none_or(str::is_empty);
    if context && !from_file {
        return invalid("Both ep_context_path and model_path are empty.".to_owned());
    }
    Ok(())
}

/// Whether a log severity is one, or -1 for that of others.
pub(crate) fn is_severity(level: i32) -> bool {
    (-1..=4).contains(&level)
}

fn invalid(text: String) -> Result<()> {
    Err(Error::new(ErrorKind::InvalidArgument, text).into())
}

/// What a model for a minimal build may say: nothing, that it is saved for one in the ORT format, or that it is used there.
fn minimal_build(options: &SessionOptions) -> Result<()> {
    let to_ort = options.config(SAVE_FORMAT) == Some("ORT") || options.optimized_model_filepath().to_ascii_lowercase().ends_with(".ort");
    match options.config(MINIMAL_BUILD) {
        None | Some("" | "apply") => Ok(()),
        Some("save") if to_ort => Ok(()),
        Some("save") => invalid(format!("{MINIMAL_BUILD} value of 'save' is only valid when saving an ORT format model.")),
        Some(other) => invalid(format!("Invalid value for {MINIMAL_BUILD}: {other}")),
    }
}
