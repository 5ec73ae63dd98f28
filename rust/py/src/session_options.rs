//! What a session is made with.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use ort_rs::runtime::threads::Cancel;
use ort_rs::runtime::{Buffer, Environment, Foreign, Given, Locator, OpDef, Options};
use ort_rs::{Error, ErrorKind, Level};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::affinities::{self, AFFINITIES};
use crate::config::Config;
use crate::custom_op::{self, CustomOp};
use crate::enums::{EXECUTION_MODE, EXECUTION_ORDER, GRAPH_OPTIMIZATION_LEVEL, ORT_EXECUTION_PROVIDER_DEVICE_POLICY};
use crate::environment::{self, environment};
use crate::ep_device::{OrtEpDevice, Selection};
use crate::error::{Result, runtime_error};
use crate::flag::Flag;
use crate::ort_value::OrtValue;
use crate::{locator, pickle, providers};

/// `GraphOptimizationLevel.ORT_ENABLE_ALL`.
const ALL: i32 = 99;
/// `ExecutionMode.ORT_PARALLEL`.
const PARALLEL: i32 = 1;

/// An operator that sessions with some options have.
#[derive(Clone)]
pub(crate) struct Own {
    def: OpDef,
    /// What Python knows it by.
    pub(crate) object: Arc<Py<PyAny>>,
}

/// What a session is made with.
#[pyclass(module = "ort_rs", weakref, from_py_object)]
#[derive(Clone)]
pub(crate) struct SessionOptions {
    level: i32,
    mode: i32,
    order: i32,
    pub(crate) config: Config,
    pub(crate) free_dimensions: Vec<(String, i64)>,
    pub(crate) free_denotations: Vec<(String, i64)>,
    pub(crate) given: Given,
    pub(crate) providers: Vec<String>,
    pub(crate) disabled_passes: Vec<String>,
    pub(crate) selection: Option<Selection>,
    pub(crate) locator: Option<Locator>,
    cancel: Cancel,
    pub(crate) custom_ops: Vec<Own>,
    /// How many threads a node may use; 0 for as many as the machine gives.
    #[pyo3(get, set)]
    pub(crate) intra_op_num_threads: i32,
    /// How many nodes may run at once in parallel execution; 0 for as many as there are threads, 1 for one after the other.
    #[pyo3(get, set)]
    pub(crate) inter_op_num_threads: i32,
    /// Where the optimized model is saved; empty for nowhere.
    #[pyo3(get, set)]
    optimized_model_filepath: String,
    /// A name for the session in logs.
    #[pyo3(get, set)]
    logid: String,
    /// From which severity on the session logs; -1 for the default.
    #[pyo3(get, set)]
    log_severity_level: i32,
    /// How much the session logs at the lowest severity.
    #[pyo3(get, set)]
    log_verbosity_level: i32,
    /// Whether a profile is written: a Chrome trace of what the session does.
    #[pyo3(get, set)]
    pub(crate) enable_profiling: Flag,
    /// How the name of the profile begins.
    #[pyo3(get, set)]
    profile_file_prefix: String,
    /// Whether memory is planned ahead; it always is here.
    #[pyo3(get, set)]
    enable_mem_pattern: Flag,
    /// Whether values take turns in memory; they always do here.
    #[pyo3(get, set)]
    enable_mem_reuse: Flag,
    /// Whether freed memory is kept for later runs; it always is here.
    #[pyo3(get, set)]
    enable_cpu_mem_arena: Flag,
    /// Whether results have the same bits in every run; they always have here.
    #[pyo3(get, set)]
    use_deterministic_compute: Flag,
    /// Whether the session has threads of its own; sessions share the threads of the process here.
    #[pyo3(get, set)]
    pub(crate) use_per_session_threads: Flag,
}

impl SessionOptions {
    /// Leaves out passes by name.
    pub(crate) fn disable_passes(&mut self, names: Vec<String>) {
        self.disabled_passes = names;
    }

    /// Who chooses devices for sessions, if it is not who makes them.
    pub(crate) fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// The providers that were added.
    pub(crate) fn providers(&self) -> &[String] {
        &self.providers
    }

    /// How many threads a node may use.
    pub(crate) fn intra_op_num_threads(&self) -> i32 {
        self.intra_op_num_threads
    }

    /// From which severity on the session logs; -1 for that of the process.
    pub(crate) fn log_severity_level(&self) -> i32 {
        self.log_severity_level
    }

    /// Where the optimized model is saved; empty for nowhere.
    pub(crate) fn optimized_model_filepath(&self) -> &str {
        &self.optimized_model_filepath
    }

    /// The further option `key`.
    pub(crate) fn config(&self, key: &str) -> Option<&str> {
        self.config.entries().get(key).map(String::as_str)
    }

    /// Sets the mode of execution by its number.
    pub(crate) fn set_mode(&mut self, mode: i32) {
        self.mode = mode;
    }

    /// Sets the level of optimization by its number.
    pub(crate) fn set_level(&mut self, level: i32) {
        self.level = level;
    }

    /// Whether loading was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_set()
    }

    /// The options as the runtime takes them.
    pub(crate) fn to_core(&self, providers: Vec<String>) -> Options {
        let path = &self.optimized_model_filepath;
        Options {
            level: level(self.level),
            intra_op_threads: usize::try_from(self.intra_op_num_threads).unwrap_or(0),
            // What cannot be read has been refused.
            affinities: self.config(AFFINITIES).and_then(|text| affinities::read(text, 0).ok()).unwrap_or_default(),
            disabled_passes: self.disabled_passes.clone(),
            optimized_model_path: (!path.is_empty()).then(|| PathBuf::from(path)),
            initializer_locator: self.locator.clone(),
            free_dimensions: self.free_dimensions.clone(),
            free_denotations: self.free_denotations.clone(),
            parallel: self.mode == PARALLEL,
            inter_op_threads: usize::try_from(self.inter_op_num_threads).unwrap_or(0),
            profile: self.enable_profiling.0.then(|| self.profile_file_prefix.clone()),
            cancel: self.cancel.clone(),
            given: self.given.clone(),
            providers,
            provider_options: std::collections::BTreeMap::new(),
            config: self.config.entries().clone(),
            log: environment::log(self.log_severity_level, self.log_verbosity_level, &self.logid),
        }
    }

    /// What a session with these options is made of: what all share, and operators of its own.
    ///
    /// # Errors
    /// `Fail` when an operator has the name of one that is built in.
    pub(crate) fn environment(&self) -> Result<Cow<'static, Environment>> {
        custom_op::environment(&self.custom_ops.iter().map(|own| own.def.clone()).collect::<Vec<_>>())
    }
}

/// Fails unless `object` can be called.
fn callable(object: &Bound<'_, PyAny>) -> PyResult<()> {
    let refuse = || PyTypeError::new_err(format!("something that can be called is needed, not {}", object.get_type()));
    if object.is_callable() { Ok(()) } else { Err(refuse()) }
}

/// The first `length` bytes of an object with a buffer: those of bytes are shared, others copied.
fn content(buffer: &Bound<'_, PyAny>, length: usize) -> Result<Buffer> {
    let short = |have: usize| runtime_error(format!("a buffer of {have} bytes has not got {length}"));
    if let Ok(bytes) = buffer.cast::<PyBytes>() {
        let slice = bytes.as_bytes().get(..length).ok_or_else(|| short(bytes.as_bytes().len()))?;
        // SAFETY: bytes never change, stay where they are, and live as long as the reference that the buffer keeps.
        return Ok(Buffer::Foreign(unsafe { Foreign::new(slice.as_ptr(), length, Box::new(bytes.clone().unbind())) }));
    }
    let bytes = PyBuffer::<u8>::get(buffer).map_err(|_| PyTypeError::new_err("an object with a buffer of bytes is needed"))?;
    let bytes = bytes.to_vec(buffer.py())?;
    Ok(Buffer::copy_of(bytes.get(..length).ok_or_else(|| short(bytes.len()))?)?)
}

/// The level that a value of `GraphOptimizationLevel` stands for.
fn level(number: i32) -> Level {
    match number {
        0 => Level::Disabled,
        1 => Level::Basic,
        2 => Level::Extended,
        3 => Level::Layout,
        _ => Level::All,
    }
}

#[pymethods]
impl SessionOptions {
    #[new]
    pub(crate) fn new() -> Self {
        Self {
            level: ALL,
            mode: 0,
            order: 0,
            config: Config::new("SessionOptions"),
            free_dimensions: Vec::new(),
            free_denotations: Vec::new(),
            given: Given::default(),
            providers: Vec::new(),
            disabled_passes: Vec::new(),
            selection: None,
            locator: None,
            cancel: Cancel::new(),
            custom_ops: Vec::new(),
            intra_op_num_threads: 0,
            inter_op_num_threads: 0,
            optimized_model_filepath: String::new(),
            logid: String::new(),
            log_severity_level: -1,
            log_verbosity_level: 0,
            enable_profiling: Flag(false),
            profile_file_prefix: "onnxruntime_profile_".to_owned(),
            enable_mem_pattern: Flag(true),
            enable_mem_reuse: Flag(true),
            enable_cpu_mem_arena: Flag(true),
            use_deterministic_compute: Flag(false),
            use_per_session_threads: Flag(true),
        }
    }

    fn __copy__(&self) -> Self {
        self.clone()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyTuple>> {
        let py = slf.py();
        Ok((slf.get_type(), PyTuple::empty(py), pickle::state_of(slf)?).into_pyobject(py)?)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyDict>) -> Result<()> {
        pickle::restore(slf, state)
    }

    /// How far the graph is optimized, a `GraphOptimizationLevel`.
    #[getter]
    fn graph_optimization_level<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        GRAPH_OPTIMIZATION_LEVEL.member(py, self.level)
    }

    #[setter]
    fn set_graph_optimization_level(&mut self, level: &Bound<'_, PyAny>) -> PyResult<()> {
        self.level = GRAPH_OPTIMIZATION_LEVEL.number(level)?;
        Ok(())
    }

    /// Whether nodes that do not wait for each other run at the same time, an `ExecutionMode`.
    #[getter]
    fn execution_mode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        EXECUTION_MODE.member(py, self.mode)
    }

    #[setter]
    fn set_execution_mode(&mut self, mode: &Bound<'_, PyAny>) -> PyResult<()> {
        self.mode = EXECUTION_MODE.number(mode)?;
        Ok(())
    }

    /// In which order nodes run, an `ExecutionOrder`; it is the model's in all of them.
    #[getter]
    fn execution_order<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        EXECUTION_ORDER.member(py, self.order)
    }

    #[setter]
    fn set_execution_order(&mut self, order: &Bound<'_, PyAny>) -> PyResult<()> {
        self.order = EXECUTION_ORDER.number(order)?;
        Ok(())
    }

    /// Sets a further option by name (`session.*`).
    fn add_session_config_entry(&mut self, key: String, value: String) -> Result<()> {
        self.config.set(key, value)
    }

    /// A further option by name.
    fn get_session_config_entry(&self, key: &str) -> Result<String> {
        self.config.get(key).map(str::to_owned)
    }

    /// Fixes every input dimension of the given name.
    fn add_free_dimension_override_by_name(&mut self, name: String, size: i64) {
        self.free_dimensions.push((name, size));
    }

    /// Fixes every input dimension of the given denotation, such as `DATA_BATCH`.
    fn add_free_dimension_override_by_denotation(&mut self, denotation: String, size: i64) {
        self.free_denotations.push((denotation, size));
    }

    /// Puts a tensor, an `OrtValue`, in the place of the model's initializer `name`, if there is one; its memory is shared.
    fn add_initializer(&mut self, name: String, ortvalue: &Bound<'_, PyAny>) -> Result<()> {
        let Ok(value) = ortvalue.cast::<OrtValue>() else {
            return Err(runtime_error("The provided Python object must be an OrtValue"));
        };
        value.get().tensor()?;
        self.given.initializers.insert(name, value.get().feed()?);
        Ok(())
    }

    /// Gives the data of initializers that the model keeps in other files, which are then not read; memory is shared.
    ///
    /// Raises `RuntimeError` when names and values are not as many; a name that the model has not got fails when it is loaded.
    fn add_external_initializers(&mut self, names: Vec<String>, ortvalues: &Bound<'_, PyList>) -> Result<()> {
        if names.len() != ortvalues.len() {
            return Err(runtime_error("Expecting names and ort_values lists to have equal length"));
        }
        for (name, value) in names.into_iter().zip(ortvalues.iter()) {
            let Ok(value) = value.cast::<OrtValue>() else {
                return Err(runtime_error("The provided Python object must be an OrtValue"));
            };
            value.get().tensor()?;
            self.given.external.insert(name, value.get().feed()?);
        }
        Ok(())
    }

    /// Gives the content of files that the model keeps data in, by the location that the model names: objects with a buffer, and how
    /// many of their bytes count.
    ///
    /// Raises `RuntimeError` when the lists differ in length, a buffer is shorter than said, or a name was given before.
    fn add_external_initializers_from_files_in_memory(
        &mut self,
        names: Vec<String>,
        buffers: Vec<Bound<'_, PyAny>>,
        lengths: Vec<usize>,
    ) -> Result<()> {
        if names.len() != buffers.len() || names.len() != lengths.len() {
            return Err(runtime_error("names, buffers and lengths must be as many"));
        }
        for ((name, buffer), length) in names.into_iter().zip(&buffers).zip(lengths) {
            if self.given.files.contains_key(&name) {
                return Err(runtime_error(format!("An entry for this name has already been added: {name}")));
            }
            self.given.files.insert(name, Arc::new(content(buffer, length)?));
        }
        Ok(())
    }

    /// Lets `locate` say where the data of each initializer of the saved model goes, from its name, its value, and where it came from.
    fn _locate_initializers(&mut self, locate: Py<PyAny>) {
        self.locator = Some(locator::of(locate));
    }

    /// Adds a provider that sessions are to use, in the order of the calls.
    ///
    /// Raises `RuntimeError` for a provider that nobody has heard of, `InvalidArgument` for one that this build has not got.
    #[pyo3(signature = (name, options))]
    fn add_provider(&mut self, name: String, options: std::collections::BTreeMap<String, String>) -> Result<()> {
        // The providers of this build have no options.
        drop(options);
        if environment()?.providers().contains(&name) {
            self.providers.push(name);
            return Ok(());
        }
        if !providers::is_known(&name) {
            return Err(runtime_error(format!("Unknown Provider Type: {name}")));
        }
        let text = format!("Failed to add provider of type '{name}' to SessionOptions. This build has not got it.");
        Err(Error::new(ErrorKind::InvalidArgument, text).into())
    }

    /// Adds the provider of some devices of `get_ep_devices`, all of one provider.
    ///
    /// Raises `InvalidArgument` without a device, or for devices of several providers.
    fn add_provider_for_devices(
        &mut self,
        py: Python<'_>,
        ep_devices: Vec<Py<OrtEpDevice>>,
        options: std::collections::BTreeMap<String, String>,
    ) -> Result<()> {
        let refuse = |text: &str| Error::new(ErrorKind::InvalidArgument, text);
        let first = ep_devices.first().ok_or_else(|| refuse("Must provide one or more OrtEpDevice instances."))?;
        let name = first.bind(py).get().provider();
        if ep_devices.iter().any(|device| device.get().provider() != name) {
            return Err(refuse("All OrtEpDevice instances must be of one provider.").into());
        }
        self.add_provider(name.to_owned(), options)
    }

    /// Lets sessions choose their devices by a policy, an `OrtExecutionProviderDevicePolicy`: of those there are, the best for it.
    fn set_provider_selection_policy(&mut self, policy: &Bound<'_, PyAny>) -> PyResult<()> {
        ORT_EXECUTION_PROVIDER_DEVICE_POLICY.number(policy)?;
        self.selection = Some(Selection::Policy);
        Ok(())
    }

    /// Lets a function choose the devices of sessions: it gets the devices, what the model and the runtime say of themselves, and how
    /// many it may choose, and gives a list. Loading raises `Fail` when it fails or chooses nothing.
    fn set_provider_selection_policy_delegate(&mut self, delegate: &Bound<'_, PyAny>) -> PyResult<()> {
        callable(delegate)?;
        self.selection = Some(Selection::Delegate(Arc::new(delegate.clone().unbind())));
        Ok(())
    }

    /// Takes who would read data that a provider keeps outside of a compiled model; no provider of this build keeps any.
    #[pyo3(signature = (read_func, max_data_size))]
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn set_ep_context_data_read_func(&self, read_func: &Bound<'_, PyAny>, max_data_size: usize) -> PyResult<()> {
        let _ = max_data_size;
        callable(read_func)
    }

    /// Takes back what `set_ep_context_data_read_func` was given.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn clear_ep_context_data_read_func(&self) {}

    /// Whether providers have been added, or are chosen by others.
    pub(crate) fn has_providers(&self) -> bool {
        !self.providers.is_empty() || self.selection.is_some()
    }

    /// Ends the loading of sessions with these options as soon as it can, also from another thread, until it is taken back.
    fn set_load_cancellation_flag(&self, cancel: bool) {
        if cancel { self.cancel.cancel() } else { self.cancel.reset() }
    }

    /// Lets sessions with these options run an operator that `ort_rs.custom_op` made, in place of one of its name that is registered for
    /// all sessions.
    fn register_custom_op(&mut self, op: &Bound<'_, PyAny>) -> PyResult<()> {
        let native = op.getattr("_op").ok().and_then(|native| native.cast_into::<CustomOp>().ok());
        let native = native.ok_or_else(|| PyTypeError::new_err("something that ort_rs.custom_op made is needed"))?;
        self.custom_ops.push(Own { def: native.get().def().clone(), object: Arc::new(op.clone().unbind()) });
        Ok(())
    }

    /// Refuses: operators of shared libraries that are built against ONNX Runtime's C interface cannot be used yet.
    ///
    /// Raises `Fail` in any case, which says so, or that the library is not there.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn register_custom_ops_library(&self, library_path: PathBuf) -> Result<()> {
        let path = library_path.display();
        let text = if library_path.is_file() {
            format!(
                "Failed to load library {path}: operators built against ONNX Runtime's C interface are not supported; write them in \
                 Python with the decorator ort_rs.custom_op, or in Rust with Builder::operator of the crate ort-rs"
            )
        } else {
            format!("Failed to load library {path} with error: cannot open shared object file: No such file or directory")
        };
        Err(Error::new(ErrorKind::Fail, text).into())
    }
}
