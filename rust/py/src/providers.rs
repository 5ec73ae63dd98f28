//! Which providers a session is asked to use.

use pyo3::exceptions::{PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySequence, PyString, PyTuple};

type Options = Vec<(String, String)>;

/// The kinds of providers that ONNX Runtime knows, by falling priority; a build has some of them.
pub(crate) const KNOWN: [&str; 21] = [
    "NvTensorRTRTX",
    "Tensorrt",
    "CUDA",
    "MIGraphX",
    "OpenVINO",
    "Dnnl",
    "VitisAI",
    "QNN",
    "Nnapi",
    "VSINPU",
    "Js",
    "CoreML",
    "ACL",
    "Dml",
    "Rknpu",
    "WebNN",
    "WebGpu",
    "Xnnpack",
    "CANN",
    "Azure",
    "CPU",
];

/// What the name of a provider ends with.
pub(crate) const SUFFIX: &str = "ExecutionProvider";

/// Whether ONNX Runtime has a provider called `name` in some build.
pub(crate) fn is_known(name: &str) -> bool {
    name.strip_suffix(SUFFIX).is_some_and(|kind| KNOWN.contains(&kind))
}

/// Providers with their options, normalized: one entry a provider, options as text.
///
/// A name that is not among `available` warns, and so does one that comes twice, whose first entry counts.
///
/// # Errors
/// `ValueError` for anything but a sequence of names or of pairs of a name and its options, for a list of options that does not go with
/// it, and for options given in both ways.
pub(crate) fn normalize(
    providers: Option<&Bound<'_, PyAny>>,
    options: Option<&Bound<'_, PyAny>>,
    available: &[String],
) -> PyResult<Vec<(String, Options)>> {
    let Some(providers) = providers else { return Ok(Vec::new()) };
    let entries = items(providers).ok_or_else(|| PyValueError::new_err("'providers' should be a sequence."))?;
    let mut given = Vec::with_capacity(entries.len());
    match options {
        Some(options) => {
            let options = items(options).ok_or_else(|| PyValueError::new_err("'provider_options' should be a sequence."))?;
            if options.len() != entries.len() {
                return Err(PyValueError::new_err("'providers' and 'provider_options' should be the same length if both are given."));
            }
            for (entry, options) in entries.iter().zip(&options) {
                let refuse = "Only string values for 'providers' are supported if 'provider_options' is given.";
                let name = entry.extract::<String>().map_err(|_| PyValueError::new_err(refuse))?;
                let options = options.cast::<PyDict>().map_err(|_| PyValueError::new_err("'provider_options' values must be dicts."))?;
                given.push((name, texts(options)?));
            }
        }
        None => {
            for entry in &entries {
                let refuse = || PyValueError::new_err("'providers' values must be either strings or (string, dict) tuples.");
                given.push(named(entry)?.ok_or_else(refuse)?);
            }
        }
    }
    warn(providers.py(), given, available)
}

/// The items of a sequence; `None` for anything else, and for text.
fn items<'py>(object: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    if object.is_instance_of::<PyString>() {
        return None;
    }
    object.cast::<PySequence>().ok()?.try_iter().ok()?.collect::<PyResult<_>>().ok()
}

/// A name, or a pair of a name and its options; `None` for anything else.
fn named(entry: &Bound<'_, PyAny>) -> PyResult<Option<(String, Options)>> {
    if let Ok(name) = entry.extract::<String>() {
        return Ok(Some((name, Options::new())));
    }
    let Ok(pair) = entry.cast::<PyTuple>() else { return Ok(None) };
    let Ok((name, options)) = pair.extract::<(String, Bound<'_, PyDict>)>() else { return Ok(None) };
    Ok(Some((name, texts(&options)?)))
}

fn texts(options: &Bound<'_, PyDict>) -> PyResult<Options> {
    options.iter().map(|(key, value)| Ok((key.str()?.to_string(), value.str()?.to_string()))).collect()
}

fn warn(py: Python<'_>, given: Vec<(String, Options)>, available: &[String]) -> PyResult<Vec<(String, Options)>> {
    let mut kept: Vec<(String, Options)> = Vec::with_capacity(given.len());
    let category = py.get_type::<PyUserWarning>();
    let say = |text: String| PyErr::warn(py, &category, &std::ffi::CString::new(text)?, 1);
    for (name, options) in given {
        if !available.contains(&name) {
            let available = available.join(", ");
            let why = crate::environment::environment()?.absent(&name).map_or_else(String::new, |why| format!(". {name}: {why}"));
            say(format!("Specified provider '{name}' is not in available provider names.Available providers: '{available}'{why}"))?;
        }
        if kept.iter().any(|(other, _)| *other == name) {
            say(format!("Duplicate provider '{name}' encountered, ignoring."))?;
        } else {
            kept.push((name, options));
        }
    }
    Ok(kept)
}

/// Names and options of providers, normalized: two lists of equal length, options as dictionaries of text.
#[pyfunction]
#[pyo3(signature = (providers, provider_options, available_provider_names))]
pub(crate) fn check_and_normalize_provider_args<'py>(
    py: Python<'py>,
    providers: Option<&Bound<'py, PyAny>>,
    provider_options: Option<&Bound<'py, PyAny>>,
    available_provider_names: Vec<String>,
) -> PyResult<(Vec<String>, Vec<Bound<'py, PyDict>>)> {
    let entries = normalize(providers, provider_options, &available_provider_names)?;
    let mut dicts = Vec::with_capacity(entries.len());
    for (_, options) in &entries {
        let dict = PyDict::new(py);
        options.iter().try_for_each(|(key, value)| dict.set_item(key, value))?;
        dicts.push(dict);
    }
    Ok((entries.into_iter().map(|(name, _)| name).collect(), dicts))
}
