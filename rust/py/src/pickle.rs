//! Sessions and options as they go to other processes: what they are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use ort_rs::runtime::Buffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

use crate::ep_device::Selection;
use crate::error::Result;
use crate::loaded::Loaded;
use crate::origin::Origin;
use crate::ort_value::OrtValue;
use crate::session::InferenceSession;
use crate::session_options::SessionOptions;

/// A provider, and its options.
type Provider = (String, BTreeMap<String, String>);

/// How to make `session` again: an empty one of its class, and its state.
pub(crate) fn reduce<'py>(session: &Bound<'py, InferenceSession>) -> Result<Bound<'py, PyTuple>> {
    let py = session.py();
    let loaded = session.get().loaded()?;
    let core = &loaded.core;
    let providers: Vec<Provider> =
        core.providers().into_iter().map(|name| (name.clone(), core.provider_options(&name).iter().cloned().collect())).collect();
    let state = (loaded.origin.portable(py)?, loaded.options.clone(), providers, session.getattr("__dict__")?);
    let new = py.import("copyreg")?.getattr("__newobj__")?;
    Ok((new, (session.get_type(),), state).into_pyobject(py)?)
}

/// The model that a session with this state has; its attributes are set.
pub(crate) fn load(session: &Bound<'_, InferenceSession>, state: &Bound<'_, PyTuple>) -> Result<Loaded> {
    let py = session.py();
    let (model, options, providers, attributes) =
        state.extract::<(Bound<'_, PyAny>, SessionOptions, Vec<Provider>, Bound<'_, PyDict>)>()?;
    session.getattr("__dict__")?.call_method1("update", (attributes,))?;
    let providers = providers.into_iter().map(|(name, options)| (name, options.into_iter().collect())).collect();
    Loaded::load(py, Origin::of(&model)?, options, providers)
}

/// The attributes of options that are read and set by their names.
const PLAIN: [&str; 15] = [
    "graph_optimization_level",
    "execution_mode",
    "execution_order",
    "intra_op_num_threads",
    "inter_op_num_threads",
    "optimized_model_filepath",
    "logid",
    "log_severity_level",
    "log_verbosity_level",
    "enable_profiling",
    "profile_file_prefix",
    "enable_mem_pattern",
    "enable_mem_reuse",
    "enable_cpu_mem_arena",
    "use_deterministic_compute",
];

/// What `options` hold, as objects of Python.
pub(crate) fn state_of<'py>(options: &Bound<'py, SessionOptions>) -> Result<Bound<'py, PyDict>> {
    let py = options.py();
    let state = PyDict::new(py);
    for name in PLAIN.into_iter().chain(["use_per_session_threads"]) {
        state.set_item(name, options.getattr(name)?)?;
    }
    let options = options.borrow();
    let values = |values: &BTreeMap<String, ort_rs::Value>| -> Result<BTreeMap<String, Py<OrtValue>>> {
        values.iter().map(|(name, value)| Ok((name.clone(), Py::new(py, OrtValue::of_given(value)?)?))).collect()
    };
    let files = options.given.files.iter();
    let files: BTreeMap<&String, _> = files.map(|(name, buffer)| (name, PyBytes::new(py, buffer.bytes().unwrap_or_default()))).collect();
    let selection = options.selection.as_ref().map(|selection| match selection {
        Selection::Policy => py.None(),
        Selection::Delegate(delegate) => delegate.clone_ref(py),
    });
    state.set_item("config", options.config.entries())?;
    state.set_item("free_dimensions", &options.free_dimensions)?;
    state.set_item("free_denotations", &options.free_denotations)?;
    state.set_item("initializers", values(&options.given.initializers)?)?;
    state.set_item("external_initializers", values(&options.given.external)?)?;
    state.set_item("files", files)?;
    state.set_item("providers", &options.providers)?;
    state.set_item("disabled_optimizers", &options.disabled_passes)?;
    state.set_item("selection", selection.map(|delegate| (delegate,)))?;
    state.set_item("custom_ops", options.custom_ops.iter().map(|own| own.object.clone_ref(py)).collect::<Vec<_>>())?;
    Ok(state)
}

/// Makes new `options` hold what `state` says.
pub(crate) fn restore(options: &Bound<'_, SessionOptions>, state: &Bound<'_, PyDict>) -> Result<()> {
    let missing = |name: &str| PyTypeError::new_err(format!("the state of options has no '{name}'"));
    let item = |name: &str| -> PyResult<Bound<'_, PyAny>> { state.get_item(name)?.ok_or_else(|| missing(name)) };
    for name in PLAIN.into_iter().chain(["use_per_session_threads"]) {
        options.setattr(name, item(name)?)?;
    }
    let values = |name: &str| -> Result<BTreeMap<String, ort_rs::Value>> {
        let values: BTreeMap<String, Py<OrtValue>> = item(name)?.extract()?;
        values.into_iter().map(|(name, value)| Ok((name, value.get().feed()?))).collect()
    };
    {
        let mut inner = options.borrow_mut();
        for (key, value) in item("config")?.extract::<BTreeMap<String, String>>()? {
            inner.config.set(key, value)?;
        }
        inner.free_dimensions = item("free_dimensions")?.extract()?;
        inner.free_denotations = item("free_denotations")?.extract()?;
        inner.given.initializers = values("initializers")?;
        inner.given.external = values("external_initializers")?;
        for (name, content) in item("files")?.extract::<BTreeMap<String, Bound<'_, PyBytes>>>()? {
            inner.given.files.insert(name, Arc::new(Buffer::copy_of(content.as_bytes())?));
        }
        inner.providers = item("providers")?.extract()?;
        inner.disabled_passes = item("disabled_optimizers")?.extract()?;
        let selection: Option<(Option<Py<PyAny>>,)> = item("selection")?.extract()?;
        inner.selection = selection.map(|(delegate,)| delegate.map_or(Selection::Policy, |d| Selection::Delegate(Arc::new(d))));
    }
    for op in item("custom_ops")?.try_iter()? {
        options.call_method1("register_custom_op", (op?,))?;
    }
    Ok(())
}
