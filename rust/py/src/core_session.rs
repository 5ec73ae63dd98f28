//! The native session that ONNX Runtime keeps behind `InferenceSession`, as `session._sess`.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use ort_rs::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PySequence};

use crate::assignment::{self, OrtEpAssignedSubgraph};
use crate::device::OrtDevice;
use crate::ep_device::OrtEpDevice;
use crate::error::{Result, runtime_error};
use crate::io_binding::SessionIOBinding;
use crate::loaded::{Loaded, memory_infos, node_args};
use crate::memory_info::OrtMemoryInfo;
use crate::node_arg::{ModelMetadata, NodeArg};
use crate::origin::Origin;
use crate::ort_value::OrtValue;
use crate::ort_value_vector::OrtValueVector;
use crate::run_options::RunOptions;
use crate::session_options::SessionOptions;
use crate::{model_config, run_async, tuning};

/// The native session behind an `InferenceSession`: the same model under the names and argument orders of ONNX Runtime's own.
///
/// Made of options and a model, which is a path if `is_path` and else bytes, it can tell what the model is, and run it after
/// `initialize_session`.
#[pyclass(module = "ort_rs", frozen, weakref)]
pub(crate) struct CoreSession {
    loaded: RwLock<Arc<Loaded>>,
    initialized: AtomicBool,
}

impl CoreSession {
    /// The native session of `loaded`.
    pub(crate) fn of(loaded: Arc<Loaded>) -> Self {
        Self { loaded: RwLock::new(loaded), initialized: AtomicBool::new(true) }
    }

    /// The model behind it.
    pub(crate) fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model, to be run.
    ///
    /// # Errors
    /// `Fail` before `initialize_session`.
    fn ready(&self) -> Result<Arc<Loaded>> {
        let early = || Error::new(ErrorKind::Fail, "Session not initialized.");
        if self.initialized.load(Relaxed) { Ok(self.loaded()) } else { Err(early().into()) }
    }
}

/// Fails for no output at all, which only `InferenceSession` takes for all.
///
/// # Errors
/// `InvalidArgument`.
fn check_names(names: Option<&Bound<'_, PyAny>>) -> Result<()> {
    let empty = names.and_then(|n| n.cast::<PySequence>().ok()).is_some_and(|n| n.len().is_ok_and(|len| len == 0));
    let text = "At least one output should be requested.";
    if empty { Err(Error::new(ErrorKind::InvalidArgument, text).into()) } else { Ok(()) }
}

#[pymethods]
impl CoreSession {
    /// A session of `model`, a path if `is_path` and else bytes.
    #[new]
    #[pyo3(signature = (session_options, model, is_path, read_config_from_model=false))]
    fn new(
        session_options: &Bound<'_, SessionOptions>,
        model: &Bound<'_, PyAny>,
        is_path: bool,
        read_config_from_model: bool,
    ) -> Result<Self> {
        let py = model.py();
        let origin = if is_path { Origin::File(model.extract()?) } else { Origin::Bytes(model.cast::<PyBytes>()?.clone().unbind()) };
        let mut options = session_options.borrow().clone();
        if read_config_from_model && model_config::is_wanted(None)? {
            model_config::apply(py, &origin, &mut options)?;
        }
        let loaded = Arc::new(Loaded::load(py, origin, options, Vec::new())?);
        Ok(Self { loaded: RwLock::new(loaded), initialized: AtomicBool::new(false) })
    }

    /// Makes the session ready to run on `provider_types` with `provider_options`, without the graph passes `disabled_optimizers`.
    ///
    /// Raises `RuntimeError` when names and options are not as many.
    fn initialize_session(
        &self,
        py: Python<'_>,
        provider_types: Vec<String>,
        provider_options: Vec<BTreeMap<String, String>>,
        disabled_optimizers: HashSet<String>,
    ) -> Result<()> {
        if !provider_options.is_empty() && provider_options.len() != provider_types.len() {
            return Err(runtime_error("providers and provider options must be as many"));
        }
        if !provider_types.is_empty() || !disabled_optimizers.is_empty() {
            let given = self.loaded();
            let options = provider_options.into_iter().map(|o| o.into_iter().collect()).chain(std::iter::repeat_with(Vec::new));
            let mut session_options = given.options.clone();
            session_options.disable_passes(disabled_optimizers.into_iter().collect());
            let loaded = Loaded::load(py, given.origin.share(py), session_options, provider_types.into_iter().zip(options).collect())?;
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        }
        self.initialized.store(true, Relaxed);
        Ok(())
    }

    /// What must be fed.
    #[getter]
    fn inputs_meta(&self) -> Vec<NodeArg> {
        node_args(self.loaded().core.inputs())
    }

    /// What the model gives.
    #[getter]
    fn outputs_meta(&self) -> Vec<NodeArg> {
        node_args(self.loaded().core.outputs())
    }

    /// What may be fed in place of a default.
    #[getter]
    fn overridable_initializers(&self) -> Vec<NodeArg> {
        node_args(self.loaded().core.overridable_initializers())
    }

    /// What the model says of itself.
    #[getter]
    fn model_meta(&self) -> ModelMetadata {
        ModelMetadata(self.loaded().core.metadata().clone())
    }

    /// The options that the session was made with.
    #[getter]
    fn session_options(&self) -> SessionOptions {
        self.loaded().options.clone()
    }

    /// The memory that each input is read from.
    #[getter]
    fn input_meminfos(&self) -> Vec<OrtMemoryInfo> {
        memory_infos(self.loaded().core.inputs())
    }

    /// The memory that each output is written to.
    #[getter]
    fn output_meminfos(&self) -> Vec<OrtMemoryInfo> {
        memory_infos(self.loaded().core.outputs())
    }

    /// The provider's device that reads each input.
    #[getter]
    fn input_epdevices(&self, py: Python<'_>) -> Result<Vec<Option<Py<OrtEpDevice>>>> {
        self.loaded().input_ep_devices(py)
    }

    /// When the profile of the session began, in nanoseconds since the epoch; 0 when there is none.
    #[getter(get_profiling_start_time_ns)]
    fn profiling_start_time_ns(&self) -> u64 {
        self.loaded().core.profiling_start_time_ns()
    }

    /// Ends the profile of the session and gives the path of its file; empty when there is none, or when it has ended before.
    fn end_profiling(&self) -> Result<String> {
        self.loaded().end_profiling()
    }

    /// The names of the providers, in order of preference; none before `initialize_session`.
    fn get_providers(&self) -> Vec<String> {
        self.ready().map_or_else(|_| Vec::new(), |loaded| loaded.core.providers())
    }

    /// The options that each provider was made with, as text.
    fn get_provider_options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.loaded().provider_options(py)
    }

    /// The nodes that each provider runs, a subgraph a node.
    ///
    /// Raises `Fail` unless the option `session.record_ep_graph_assignment_info` is `"1"`.
    fn get_provider_graph_assignment_info(&self, py: Python<'_>) -> Result<Vec<OrtEpAssignedSubgraph>> {
        assignment::of(py, &*self.ready()?)
    }

    /// A tensor of `shape` whose elements, of a type of numpy, are zeros, in memory of `device`.
    fn create_ortvalue_from_shape_and_type(
        &self,
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        device: &Bound<'_, OrtDevice>,
    ) -> Result<OrtValue> {
        OrtValue::ortvalue_from_shape_and_type(shape, element_type, Some(device.as_any()), 0, -1, None)
    }

    /// A tensor of `shape` whose elements, of the ONNX type with a number, are zeros, in memory of `device`.
    fn create_ortvalue_from_shape_and_onnx_type(
        &self,
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        device: &Bound<'_, OrtDevice>,
    ) -> Result<OrtValue> {
        OrtValue::ortvalue_from_shape_and_type(shape, element_type, Some(device.as_any()), 0, -1, None)
    }

    /// Runs the model: names, feeds, options. `InvalidArgument` for an empty list of names.
    #[pyo3(signature = (output_names, input_feed, run_options=None))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<&Bound<'py, PyAny>>,
        input_feed: &Bound<'py, PyAny>,
        run_options: Option<&Bound<'py, RunOptions>>,
    ) -> Result<Bound<'py, PyList>> {
        let loaded = self.ready()?;
        check_names(output_names)?;
        loaded.run(py, output_names, input_feed, run_options, None)
    }

    /// Starts a run on another thread, which ends in a call of `callback(results, user_data, error)`.
    #[pyo3(signature = (output_names, input_feed, callback, user_data, run_options=None))]
    fn run_async(
        &self,
        output_names: Option<&Bound<'_, PyAny>>,
        input_feed: &Bound<'_, PyAny>,
        callback: &Bound<'_, PyAny>,
        user_data: &Bound<'_, PyAny>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<()> {
        let loaded = self.ready()?;
        let request = loaded.request(output_names, input_feed, run_options, None)?;
        run_async::start(loaded, request, callback, user_data)
    }

    /// Runs the model on values: feeds, names, options.
    #[pyo3(signature = (input_feed, output_names, run_options=None))]
    fn run_with_ort_values(
        &self,
        py: Python<'_>,
        input_feed: &Bound<'_, PyDict>,
        output_names: Option<&Bound<'_, PyAny>>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<OrtValueVector> {
        Ok(OrtValueVector::of(self.ready()?.run_on_values(py, output_names, input_feed, run_options, None, &[])?))
    }

    /// Runs the model on the values `feeds`, called `feed_names`, and puts those called `fetch_names` into the list `fetches`.
    fn run_with_ortvaluevector(
        &self,
        run_options: &Bound<'_, RunOptions>,
        feed_names: Vec<String>,
        feeds: &Bound<'_, OrtValueVector>,
        fetch_names: &Bound<'_, PyAny>,
        fetches: &Bound<'_, OrtValueVector>,
        fetch_devices: Vec<OrtDevice>,
    ) -> Result<()> {
        self.ready()?.run_on_vectors(run_options, &feed_names, feeds, fetch_names, fetches, &fetch_devices)
    }

    /// Runs the model on what is bound.
    #[pyo3(signature = (iobinding, run_options=None))]
    fn run_with_iobinding(
        &self,
        py: Python<'_>,
        iobinding: &Bound<'_, SessionIOBinding>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<()> {
        self.ready()?;
        iobinding.get().run(py, run_options, None)
    }

    /// Changes options of providers while the session lives; `RuntimeError` without any. The CPU has none and ignores them.
    fn set_ep_dynamic_options(&self, options: BTreeMap<String, String>) -> Result<()> {
        tuning::check_dynamic_options(&options)
    }

    /// What providers have found to be fastest: nothing.
    fn get_tuning_results<'py>(&self, py: Python<'py>) -> Bound<'py, PyList> {
        PyList::empty(py)
    }

    /// Takes what `get_tuning_results` gave; `RuntimeError` with `error_on_invalid`, for no provider of this build takes any.
    fn set_tuning_results(&self, results: &Bound<'_, PyList>, error_on_invalid: bool) -> Result<()> {
        tuning::take(results, error_on_invalid)
    }

    /// Lets go of a captured graph; the CPU captures none.
    fn release_captured_graph(&self, graph_annotation_id: i64) {
        let _ = graph_annotation_id;
    }

    /// Whether WebGPU captures graphs, which this build has not got.
    fn is_webgpu_graph_capture_enabled(&self) -> bool {
        false
    }

    /// The number of the session's WebGPU context: -1 for none.
    fn webgpu_context_id(&self) -> i32 {
        -1
    }
}
