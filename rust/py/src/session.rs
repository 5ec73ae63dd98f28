//! A model, ready to run.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ort_rs::{Environment, Error, ErrorKind, Optional, Options, Port, Session, Source, Type, Value};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PySequence, PyString, PyTuple};

use crate::environment::environment;
use crate::error::Result;
use crate::node_arg::{ModelMetadata, NodeArg};
use crate::run_options::RunOptions;
use crate::session_options::SessionOptions;
use crate::{feed, fetch, providers};

/// A model, ready to run; from any number of threads at once.
///
/// The model is a path or the bytes of one. Options and providers are as in ONNX Runtime; `disabled_optimizers` names graph passes to
/// leave out, and other keywords are taken and ignored.
#[pyclass(module = "ort_rs", frozen, subclass, dict, weakref)]
pub(crate) struct InferenceSession {
    /// Empty until `__init__` has run, which subclasses call with arguments of their own choice.
    loaded: OnceLock<Loaded>,
}

/// Values by name.
type Named = Vec<(String, Value)>;

/// What `__init__` makes.
struct Loaded {
    core: Session,
    options: SessionOptions,
    /// The names of the inputs, interned: the names that a program spells out are the same objects, and found at once.
    names: Vec<Py<PyString>>,
    /// The options of a run that is given none.
    run_options: ort_rs::RunOptions,
}

#[pymethods]
impl InferenceSession {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { loaded: OnceLock::new() }
    }

    #[pyo3(signature = (path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs))]
    fn __init__(
        &self,
        path_or_bytes: &Bound<'_, PyAny>,
        sess_options: Option<&Bound<'_, SessionOptions>>,
        providers: Option<&Bound<'_, PyAny>>,
        provider_options: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Result<()> {
        let environment = environment()?;
        let options = sess_options.map_or_else(SessionOptions::new, |o| o.borrow().clone());
        let providers = providers::normalize(providers, provider_options, &environment.providers())?;
        let disabled = match kwargs.map(|k| k.get_item("disabled_optimizers")).transpose()?.flatten() {
            Some(names) if !names.is_none() => names.try_iter()?.map(|n| n?.extract()).collect::<PyResult<Vec<String>>>()?,
            _ => Vec::new(),
        };
        let core = options.to_core(providers.into_iter().map(|(name, _)| name).collect(), disabled);
        let loaded = Loaded::new(path_or_bytes.py(), load(environment, path_or_bytes, core)?, options);
        let again = |_| Error::new(ErrorKind::ModelLoaded, "This session already contains a loaded model.");
        Ok(self.loaded.set(loaded).map_err(again)?)
    }

    /// Runs the model on `input_feed`, values by name, and gives the values of `output_names` in their order; all outputs when there
    /// are none.
    #[pyo3(signature = (output_names, input_feed, run_options=None))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<&Bound<'py, PyAny>>,
        input_feed: &Bound<'py, PyAny>,
        run_options: Option<&Bound<'py, RunOptions>>,
    ) -> Result<Bound<'py, PyList>> {
        let loaded = self.loaded()?;
        let names = output_names.map(|names| output_names_of(names, loaded.core.outputs())).transpose()?.unwrap_or_default();
        let given = run_options.map(|o| o.borrow().core());
        let options = given.as_ref().unwrap_or(&loaded.run_options);
        let (values, rest) = match input_feed.cast::<PyDict>() {
            Ok(feed) => loaded.feeds(feed)?,
            Err(_) => loaded.feeds(&dict_of(input_feed)?)?,
        };
        // What is fed is let go only after the run, when the interpreter is attached again.
        let outputs = if names.is_empty() && rest.is_empty() {
            py.detach(|| loaded.core.run_in_order(&values, options))?
        } else {
            let ports = loaded.core.inputs().iter().map(|p| p.name.as_str());
            let feeds: Vec<(&str, Value)> = ports.zip(values).chain(rest.iter().map(|(n, v)| (n.as_str(), v.clone()))).collect();
            let fetches: Vec<&str> = names.iter().map(String::as_str).collect();
            py.detach(|| loaded.core.run(&feeds, &fetches, options))?
        };
        let outputs = outputs.into_iter().map(|v| fetch::object(py, v)).collect::<Result<Vec<_>>>()?;
        Ok(PyList::new(py, outputs)?)
    }

    /// What must be fed, in the model's order.
    fn get_inputs(&self) -> Result<Vec<NodeArg>> {
        Ok(node_args(self.loaded()?.core.inputs()))
    }

    /// What the model gives, in its order.
    fn get_outputs(&self) -> Result<Vec<NodeArg>> {
        Ok(node_args(self.loaded()?.core.outputs()))
    }

    /// What may be fed in place of a default.
    fn get_overridable_initializers(&self) -> Result<Vec<NodeArg>> {
        Ok(node_args(self.loaded()?.core.overridable_initializers()))
    }

    /// What the model says of itself.
    fn get_modelmeta(&self) -> Result<ModelMetadata> {
        Ok(ModelMetadata(self.loaded()?.core.metadata().clone()))
    }

    /// The names of the providers, in order of preference.
    fn get_providers(&self) -> Result<Vec<String>> {
        Ok(self.loaded()?.core.providers())
    }

    /// The options that each provider was made with, as text.
    fn get_provider_options<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        self.loaded()?.core.providers().iter().try_for_each(|name| dict.set_item(name, PyDict::new(py)))?;
        Ok(dict)
    }

    /// The options that the session was made with.
    fn get_session_options(&self) -> Result<SessionOptions> {
        Ok(self.loaded()?.options.clone())
    }
}

impl InferenceSession {
    fn loaded(&self) -> Result<&Loaded> {
        let missing = || Error::new(ErrorKind::NoModel, "The session has no model: its `__init__` was not called.");
        Ok(self.loaded.get().ok_or_else(missing)?)
    }
}

impl Loaded {
    fn new(py: Python<'_>, core: Session, options: SessionOptions) -> Self {
        let names = core.inputs().iter().map(|p| PyString::intern(py, &p.name).unbind()).collect();
        Self { core, options, names, run_options: ort_rs::RunOptions::default() }
    }

    /// The values of the inputs, in their order, and of whatever else is fed, by name.
    ///
    /// # Errors
    /// `ValueError` when an input is missing that the model needs, with ONNX Runtime's text; what objects that are no values give.
    fn feeds(&self, feed: &Bound<'_, PyDict>) -> Result<(Vec<Value>, Named)> {
        let mut values = Vec::with_capacity(self.names.len());
        let mut found = 0;
        for (name, port) in self.names.iter().zip(self.core.inputs()) {
            match (feed.get_item(name)?, &port.ty) {
                (Some(object), ty) => {
                    found += 1;
                    values.push(feed::value(&object, ty, &port.name)?);
                }
                (None, Type::Optional(element)) => {
                    let nothing = Optional { element: (**element).clone(), value: None };
                    values.push(Value::Optional(Arc::new(nothing)));
                }
                (None, _) => return Err(self.missing(feed)?.into()),
            }
        }
        let rest = if found == feed.len() { Vec::new() } else { self.rest(feed)? };
        Ok((values, rest))
    }

    /// What is fed besides inputs: values in place of defaults.
    fn rest(&self, feed: &Bound<'_, PyDict>) -> Result<Named> {
        let mut rest = Vec::new();
        for (key, object) in feed.iter() {
            let name: String = key.extract()?;
            if self.core.inputs().iter().any(|p| p.name == name) {
                continue;
            }
            let Some(port) = self.core.overridable_initializers().iter().find(|p| p.name == name) else {
                return Err(Error::new(ErrorKind::InvalidArgument, format!("Invalid input name: {name}")).into());
            };
            let value = feed::value(&object, &port.ty, &name)?;
            rest.push((name, value));
        }
        Ok(rest)
    }

    /// The error that says which inputs `feed` lacks.
    fn missing(&self, feed: &Bound<'_, PyDict>) -> PyResult<PyErr> {
        let py = feed.py();
        let mut missing = Vec::new();
        for (name, port) in self.names.iter().zip(self.core.inputs()) {
            if !matches!(port.ty, Type::Optional(_)) && !feed.contains(name)? {
                missing.push(name.bind(py));
            }
        }
        let (missing, given) = (PyList::new(py, missing)?.repr()?, feed.keys().repr()?);
        Ok(PyValueError::new_err(format!("Required inputs ({missing}) are missing from input feed ({given}).")))
    }
}

fn node_args(ports: &[Port]) -> Vec<NodeArg> {
    ports.iter().cloned().map(NodeArg).collect()
}

/// Loads the model that `source` is: a path, or bytes.
fn load(environment: &Environment, source: &Bound<'_, PyAny>, options: Options) -> Result<Session> {
    let py = source.py();
    if let Ok(bytes) = source.cast::<PyBytes>() {
        let bytes = bytes.as_bytes();
        return Ok(py.detach(|| Session::load(environment, Source::Bytes(bytes), options))?);
    }
    if !source.is_instance_of::<PyString>() && !source.hasattr("__fspath__")? {
        return Err(PyTypeError::new_err(format!("Unable to load from type '{}'", source.get_type())).into());
    }
    let path: PathBuf = source.extract()?;
    Ok(py.detach(|| Session::load(environment, Source::File(&path), options))?)
}

/// The names that are asked for; none when they are those of all outputs in order.
///
/// # Errors
/// `TypeError` for anything but a sequence of text.
fn output_names_of(names: &Bound<'_, PyAny>, outputs: &[Port]) -> Result<Vec<String>> {
    let names: Vec<String> = match names.cast::<PyList>() {
        Ok(list) => list.iter().map(|n| n.extract()).collect::<PyResult<_>>()?,
        Err(_) if names.is_instance_of::<PyString>() => {
            return Err(PyTypeError::new_err("output_names must be a sequence of names, not a single one").into());
        }
        Err(_) => names.cast::<PySequence>()?.try_iter()?.map(|n| n?.extract()).collect::<PyResult<_>>()?,
    };
    let all = names.iter().eq(outputs.iter().map(|p| &p.name));
    Ok(if all { Vec::new() } else { names })
}

/// The entries of a mapping that is no dictionary.
///
/// # Errors
/// `AttributeError` for what is no mapping, as ONNX Runtime has it.
fn dict_of<'py>(feed: &Bound<'py, PyAny>) -> Result<Bound<'py, PyDict>> {
    let dict = PyDict::new(feed.py());
    match feed.cast::<PyMapping>() {
        Ok(mapping) => dict.update(mapping)?,
        Err(_) => {
            feed.getattr("keys")?;
            return Err(PyTypeError::new_err(format!("input_feed must be a mapping of names to values, not {}", feed.get_type())).into());
        }
    }
    Ok(dict)
}
