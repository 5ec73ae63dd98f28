//! A model, ready to run.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ort_rs::{Error, ErrorKind};
use pyo3::exceptions::{PyTypeError, PyUserWarning, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::assignment::{self, OrtEpAssignedSubgraph};
use crate::core_session::CoreSession;
use crate::device::OrtDevice;
use crate::environment::environment;
use crate::ep_device::OrtEpDevice;
use crate::error::{Result, runtime_error};
use crate::insight::{self, BadNode, Explanation, MemoryUse, Spending};
use crate::io_binding::IOBinding;
use crate::loaded::{Loaded, memory_infos, node_args};
use crate::memory_info::OrtMemoryInfo;
use crate::node_arg::{ModelMetadata, NodeArg};
use crate::origin::Origin;
use crate::ort_value::OrtValue;
use crate::ort_value_vector::OrtValueVector;
use crate::run_async::Running;
use crate::run_options::RunOptions;
use crate::session_options::SessionOptions;
use crate::{model_config, pickle, providers, run_async, tuning};

/// What a session can do once it has a model.
#[pyclass(module = "ort_rs", frozen, subclass, dict, weakref)]
pub(crate) struct Session {
    /// Empty until `InferenceSession.__init__` has run, which subclasses call with arguments of their own choice; replaced by
    /// `set_providers`.
    loaded: RwLock<Option<Arc<Loaded>>>,
}

impl Session {
    /// The model that it holds.
    ///
    /// # Errors
    /// `NoModel` before `__init__`.
    pub(crate) fn loaded(&self) -> Result<Arc<Loaded>> {
        let missing = || Error::new(ErrorKind::NoModel, "The session has no model: its `__init__` was not called.");
        Ok(self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(missing)?)
    }

    fn is_loaded(&self) -> bool {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn hold(&self, loaded: Loaded) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(loaded));
    }

    /// A session of the same class and model, with its attributes as `copy` gives them.
    fn twin<'py>(
        slf: &Bound<'py, Self>,
        copy: impl FnOnce(&Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyAny>> {
        let class = slf.get_type();
        let twin = class.call_method1("__new__", (&class,))?;
        *twin.cast::<Self>()?.get().loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(slf.get().loaded()?);
        let attributes = slf.getattr("__dict__")?.cast_into::<PyDict>().map_err(PyErr::from)?;
        twin.getattr("__dict__")?.call_method1("update", (copy(&attributes)?,))?;
        Ok(twin)
    }
}

#[pymethods]
impl Session {
    /// A session without a model: what is derived from this class gives it one.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { loaded: RwLock::new(None) }
    }

    #[pyo3(signature = (enable_fallback=true))]
    fn __init__(&self, enable_fallback: bool) {
        let _ = enable_fallback;
    }

    /// Runs the model on `input_feed`, values by name, and gives the values of `output_names` in their order; all outputs when there
    /// are none.
    ///
    /// Raises `RunTimeout` when the run is not over after `timeout` seconds. Ctrl-C ends it too. The session can be used afterwards.
    #[pyo3(signature = (output_names, input_feed, run_options=None, *, timeout=None))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<&Bound<'py, PyAny>>,
        input_feed: &Bound<'py, PyAny>,
        run_options: Option<&Bound<'py, RunOptions>>,
        timeout: Option<f64>,
    ) -> Result<Bound<'py, PyList>> {
        self.loaded()?.run(py, output_names, input_feed, run_options, timeout)
    }

    /// Starts a run on another thread, which ends in a call of `callback(results, user_data, error)`.
    ///
    /// On success `error` is empty, else `results` is. What is fed stays alive until then. Raises `ValueError` for a missing input, and
    /// `InvalidArgument` for a session with one thread.
    ///
    /// Without `callback` it gives a coroutine of the results: `await session.run_async(names, feeds)`, or
    /// `await session.run_async(feeds)` for all outputs. Cancelling the task ends the run.
    #[pyo3(signature = (output_names, input_feed=None, callback=None, user_data=None, run_options=None))]
    fn run_async<'py>(
        slf: &Bound<'py, Self>,
        output_names: Option<Bound<'py, PyAny>>,
        input_feed: Option<Bound<'py, PyAny>>,
        callback: Option<Bound<'py, PyAny>>,
        user_data: Option<Bound<'py, PyAny>>,
        run_options: Option<&Bound<'py, RunOptions>>,
    ) -> Result<Option<Bound<'py, PyAny>>> {
        let py = slf.py();
        let (names, feed) = match input_feed {
            Some(feed) => (output_names, feed),
            None => (None, output_names.ok_or_else(|| PyTypeError::new_err("run_async needs values to feed"))?),
        };
        let Some(callback) = callback else {
            let start = py.import("ort_rs._asynchronous")?.getattr("run")?;
            return Ok(Some(start.call1((slf, names, feed, run_options))?));
        };
        let loaded = slf.get().loaded()?;
        let request = loaded.request(names.as_ref(), &feed, run_options, None)?;
        run_async::start(loaded, request, &callback, &user_data.unwrap_or_else(|| py.None().into_bound(py)))?;
        Ok(None)
    }

    /// Starts a run whose end is told to `callback`: results, or an exception.
    fn _start(
        &self,
        output_names: Option<&Bound<'_, PyAny>>,
        input_feed: &Bound<'_, PyAny>,
        run_options: Option<&Bound<'_, RunOptions>>,
        callback: &Bound<'_, PyAny>,
    ) -> Result<Running> {
        let loaded = self.loaded()?;
        let request = loaded.request(output_names, input_feed, run_options, None)?;
        run_async::start_awaited(loaded, request, callback)
    }

    /// Runs the model on `OrtValue`s by name and gives `OrtValue`s.
    #[pyo3(signature = (output_names, input_dict_ort_values, run_options=None, *, timeout=None))]
    fn run_with_ort_values(
        &self,
        py: Python<'_>,
        output_names: Option<&Bound<'_, PyAny>>,
        input_dict_ort_values: &Bound<'_, PyDict>,
        run_options: Option<&Bound<'_, RunOptions>>,
        timeout: Option<f64>,
    ) -> Result<Vec<Py<OrtValue>>> {
        self.loaded()?.run_on_values(py, output_names, input_dict_ort_values, run_options, timeout, &[])
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
        self.loaded()?.run_on_vectors(run_options, &feed_names, feeds, fetch_names, fetches, &fetch_devices)
    }

    /// Runs the model on what is bound to its inputs, and writes to what is bound to its outputs.
    #[pyo3(signature = (iobinding, run_options=None, *, timeout=None))]
    fn run_with_iobinding(
        &self,
        py: Python<'_>,
        iobinding: &Bound<'_, IOBinding>,
        run_options: Option<&Bound<'_, RunOptions>>,
        timeout: Option<f64>,
    ) -> Result<()> {
        if !iobinding.get().is_of(&self.loaded()?) {
            return Err(PyValueError::new_err("IOBinding must be used with the session that created it.").into());
        }
        iobinding.get().core().run(py, run_options, timeout)
    }

    /// Ends the profile of the session and gives the path of its file; empty when there is none, or when it has ended before.
    fn end_profiling(&self) -> Result<String> {
        self.loaded()?.end_profiling()
    }

    /// When the profile of the session began, in nanoseconds since the epoch; 0 when there is none.
    fn get_profiling_start_time_ns(&self) -> Result<u64> {
        Ok(self.loaded()?.core.profiling_start_time_ns())
    }

    /// A binding of inputs and outputs to memory.
    fn io_binding(&self, py: Python<'_>) -> Result<IOBinding> {
        Ok(IOBinding::of(py, self.loaded()?)?)
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

    /// The memory that each input is read from.
    fn get_input_memory_infos(&self) -> Result<Vec<OrtMemoryInfo>> {
        Ok(memory_infos(self.loaded()?.core.inputs()))
    }

    /// The memory that each output is written to.
    fn get_output_memory_infos(&self) -> Result<Vec<OrtMemoryInfo>> {
        Ok(memory_infos(self.loaded()?.core.outputs()))
    }

    /// The provider's device that reads each input.
    fn get_input_epdevices(&self, py: Python<'_>) -> Result<Vec<Option<Py<OrtEpDevice>>>> {
        self.loaded()?.input_ep_devices(py)
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
        Ok(self.loaded()?.provider_options(py)?)
    }

    /// Loads the model again for other providers. The session stays as it was when that fails.
    ///
    /// Raises `RuntimeError` for a provider that nobody has heard of; one that this build has not got warns.
    #[pyo3(signature = (providers=None, provider_options=None))]
    fn set_providers(
        &self,
        py: Python<'_>,
        providers: Option<&Bound<'_, PyAny>>,
        provider_options: Option<&Bound<'_, PyAny>>,
    ) -> Result<()> {
        let loaded = self.loaded()?;
        let available = environment()?.providers();
        let providers = providers::normalize(providers, provider_options, &available)?;
        if let Some((name, _)) = providers.iter().find(|(name, _)| !available.contains(name) && !providers::is_known(name)) {
            return Err(runtime_error(format!("Unknown Provider Type: {name}")));
        }
        self.hold(Loaded::load(py, loaded.origin.share(py), loaded.options.clone(), providers)?);
        Ok(())
    }

    /// The options that the session was made with.
    fn get_session_options(&self) -> Result<SessionOptions> {
        Ok(self.loaded()?.options.clone())
    }

    /// Lets a failing provider be replaced by the CPU; providers that cannot be had are left out in any case.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn enable_fallback(&self) {}

    /// Lets a failing provider fail.
    #[allow(clippy::unused_self)] // The method of an object in Python.
    fn disable_fallback(&self) {}

    /// The nodes that each provider runs, a subgraph a node.
    ///
    /// Raises `Fail` unless the option `session.record_ep_graph_assignment_info` is `"1"`.
    fn get_provider_graph_assignment_info(&self, py: Python<'_>) -> Result<Vec<OrtEpAssignedSubgraph>> {
        assignment::of(py, &*self.loaded()?)
    }

    /// A tensor of `shape` whose elements are zeros, in memory that the session can reach.
    #[pyo3(
        signature = (shape, element_type, device_type, device_id=0, vendor_id=-1),
        text_signature = "($self, shape, element_type, device_type, device_id=0, vendor_id=-1)"
    )]
    fn create_ortvalue_from_shape_and_type(
        &self,
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        device_type: &Bound<'_, PyAny>,
        device_id: i16,
        vendor_id: i64,
    ) -> Result<OrtValue> {
        self.loaded()?;
        OrtValue::ortvalue_from_shape_and_type(shape, element_type, Some(device_type), device_id, vendor_id, None)
    }

    /// Changes options of providers while the session lives; `RuntimeError` without any. The CPU has none and ignores them.
    fn set_ep_dynamic_options(&self, options: BTreeMap<String, String>) -> Result<()> {
        self.loaded()?;
        tuning::check_dynamic_options(&options)
    }

    /// What providers have found to be fastest; the CPU measures nothing while a model runs, so there is nothing.
    fn get_tuning_results<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyList>> {
        self.loaded()?;
        Ok(PyList::empty(py))
    }

    /// Takes what `get_tuning_results` gave, dictionaries with `ep`, `results` and `validators`.
    ///
    /// No provider of this build takes any: they are ignored, or `RuntimeError` with `error_on_invalid`.
    #[pyo3(signature = (results, *, error_on_invalid=false))]
    fn set_tuning_results(&self, results: &Bound<'_, PyList>, error_on_invalid: bool) -> Result<()> {
        self.loaded()?;
        tuning::take(results, error_on_invalid)
    }

    /// Lets go of a captured graph; the CPU captures none.
    #[pyo3(signature = (graph_annotation_id=0))]
    fn release_captured_graph(&self, graph_annotation_id: i64) -> Result<()> {
        let _ = graph_annotation_id;
        self.loaded().map(drop)
    }

    /// What became of each node: provider, kernel, layout, what was fused into it, what is copied for it, and why.
    fn explain(&self, py: Python<'_>) -> Result<Explanation> {
        insight::explain(py, &*self.loaded()?)
    }

    /// How much memory a run takes, told before it runs: for inputs of `shapes`, by name, and for dimensions by theirs.
    ///
    /// Raises `InvalidArgument` for unknown names, and when the size of a dimension is not given.
    #[pyo3(signature = (shapes=None, **dimensions))]
    fn memory(&self, shapes: Option<BTreeMap<String, Vec<usize>>>, dimensions: Option<BTreeMap<String, i64>>) -> Result<MemoryUse> {
        insight::memory(&*self.loaded()?, &shapes.unwrap_or_default(), &dimensions.unwrap_or_default())
    }

    /// Runs the model and gives the first node that makes NaN or infinite elements of inputs that have none; `None` without one.
    #[pyo3(signature = (input_feed, run_options=None))]
    fn find_nan(
        &self,
        py: Python<'_>,
        input_feed: &Bound<'_, PyAny>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<Option<BadNode>> {
        insight::find_nan(py, &*self.loaded()?, input_feed, run_options)
    }

    /// Runs the model `runs` times, on `input_feed` or on random values, and tells which operators took how long.
    #[pyo3(signature = (input_feed=None, runs=10))]
    fn profile(&self, py: Python<'_>, input_feed: Option<&Bound<'_, PyAny>>, runs: usize) -> Result<Spending> {
        insight::profile(py, &*self.loaded()?, input_feed, runs)
    }

    /// The path or the bytes of the model, options and providers: a session goes to other processes as what it is made of.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyTuple>> {
        pickle::reduce(slf)
    }

    fn __setstate__(slf: &Bound<'_, Self>, state: &Bound<'_, PyTuple>) -> Result<()> {
        let loaded = pickle::load(slf, state)?;
        slf.get().hold(loaded);
        Ok(())
    }

    /// Another session of the same model, which both share.
    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyAny>> {
        Self::twin(slf, |attributes| Ok(attributes.clone().into_any()))
    }

    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
        let copy = slf.py().import("copy")?.getattr("deepcopy")?;
        Self::twin(slf, |attributes| copy.call1((attributes, memo)))
    }

    /// The native session behind it.
    #[getter]
    fn _sess(&self) -> Result<CoreSession> {
        Ok(CoreSession::of(self.loaded()?))
    }
}

/// A model, ready to run; from any number of threads at once.
///
/// The model is a path or the bytes of one. Options and providers are as in ONNX Runtime; `disabled_optimizers` names graph passes to
/// leave out, `read_config_from_model=0` takes no options from the model whatever the environment says, and other keywords are taken and
/// ignored.
#[pyclass(module = "ort_rs", extends = Session, frozen, subclass)]
pub(crate) struct InferenceSession;

#[pymethods]
impl InferenceSession {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Session { loaded: RwLock::new(None) }).add_subclass(Self)
    }

    #[pyo3(signature = (path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs))]
    fn __init__(
        slf: &Bound<'_, Self>,
        path_or_bytes: &Bound<'_, PyAny>,
        sess_options: Option<&Bound<'_, SessionOptions>>,
        providers: Option<&Bound<'_, PyAny>>,
        provider_options: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> Result<()> {
        let session = slf.as_super().get();
        if session.is_loaded() {
            return Err(Error::new(ErrorKind::ModelLoaded, "This session already contains a loaded model.").into());
        }
        let py = path_or_bytes.py();
        let keyword = |name: &str| Ok::<_, PyErr>(kwargs.map(|k| k.get_item(name)).transpose()?.flatten().filter(|v| !v.is_none()));
        let mut options = sess_options.map_or_else(SessionOptions::new, |o| o.borrow().clone());
        if options.has_providers() && (providers.is_some() || provider_options.is_some()) {
            let text = c"Specified 'providers'/'provider_options' when creating InferenceSession but SessionOptions has already been \
                configured with providers. InferenceSession will only use the providers passed to InferenceSession().";
            PyErr::warn(py, &py.get_type::<PyUserWarning>(), text, 1)?;
        }
        let providers = providers::normalize(providers, provider_options, &environment()?.providers())?;
        if let Some(names) = keyword("disabled_optimizers")? {
            options.disable_passes(names.try_iter()?.map(|n| n?.extract()).collect::<PyResult<_>>()?);
        }
        let origin = Origin::of(path_or_bytes)?;
        if model_config::is_wanted(keyword("read_config_from_model")?.as_ref())? {
            model_config::apply(py, &origin, &mut options)?;
        }
        session.hold(Loaded::load(py, origin, options, providers)?);
        Ok(())
    }
}
