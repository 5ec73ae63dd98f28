//! A loaded model as Python sees it: feeds by name in, objects out.

use std::sync::Arc;

use ort_rs::runtime::{Destination, Log, Memory, Session};
use ort_rs::{Cancel, Error, ErrorKind, Optional, Port, Type, Value};
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PySequence, PyString};

use crate::device::OrtDevice;
use crate::environment::threads;
use crate::ep_device::{OrtEpDevice, get_ep_devices};
use crate::error::{Failure, ModelLoadCanceled, Result};
use crate::memory_info::OrtMemoryInfo;
use crate::node_arg::NodeArg;
use crate::origin::Origin;
use crate::ort_value::OrtValue;
use crate::ort_value_vector::OrtValueVector;
use crate::run_options::RunOptions;
use crate::session_options::SessionOptions;
use crate::{cuda_libraries, feed, fetch, interrupt, refusals};

/// Values by name.
type Named = Vec<(String, Value)>;

/// A loaded model, and what it was made of.
pub(crate) struct Loaded {
    pub(crate) core: Session,
    pub(crate) options: SessionOptions,
    /// Where the model came from.
    pub(crate) origin: Origin,
    /// The names of the inputs, interned: the names that a program spells out are the same objects, and found at once.
    names: Vec<Py<PyString>>,
    /// What the session says of its work.
    log: Log,
    /// The options of a run that is given none.
    pub(crate) run_options: ort_rs::RunOptions,
}

/// What a run is asked for, made ready while the interpreter is attached.
pub(crate) struct Request {
    /// The values of the inputs, in their order.
    values: Vec<Value>,
    /// What else is fed, by name.
    rest: Named,
    /// What is fetched; nothing for all outputs.
    names: Vec<String>,
    pub(crate) options: ort_rs::RunOptions,
}

impl Loaded {
    /// Loads the model at `origin` with `options` for `providers`.
    ///
    /// # Errors
    /// Those of [`Session::load`].
    pub(crate) fn load(
        py: Python<'_>,
        origin: Origin,
        options: SessionOptions,
        providers: Vec<(String, Vec<(String, String)>)>,
    ) -> Result<Self> {
        refusals::check(&options, origin.is_file())?;
        let names: Vec<String> = providers.iter().map(|(name, _)| name.clone()).collect();
        let names = match options.selection() {
            _ if !names.is_empty() => names,
            Some(selection) => selection.providers(py, &origin.metadata(py)?)?,
            None => options.providers().to_vec(),
        };
        if names.iter().any(|name| name == "CUDAExecutionProvider") {
            cuda_libraries::tell(py)?;
        }
        let mut wanted = options.to_core(names);
        wanted.intra_op_threads = threads(options.use_per_session_threads.0, wanted.intra_op_threads)?;
        // The CPU has no options: what it is given is forgotten, as ONNX Runtime does.
        wanted.provider_options = providers.into_iter().filter(|(name, _)| name != "CPUExecutionProvider").collect();
        let log = wanted.log.clone();
        let environment = options.environment()?;
        let core = origin.load(py, &environment, wanted);
        let core = match core {
            Err(Failure::Runtime(_)) if options.is_cancelled() => {
                return Err(ModelLoadCanceled::new_err("[ONNXRuntimeError] : 12 : MODEL_LOAD_CANCELED : Graph loading canceled").into());
            }
            core => core?,
        };
        let names = core.inputs().iter().map(|p| PyString::intern(py, &p.name).unbind()).collect();
        let run_options = ort_rs::RunOptions { cancel: Cancel::new().with_watch(interrupt::poll), ..ort_rs::RunOptions::default() };
        Ok(Self { core, options, origin, names, log, run_options })
    }

    /// The inputs, then the initializers that may be fed.
    pub(crate) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.core.inputs().iter().chain(self.core.overridable_initializers())
    }

    /// The options that each provider was made with, as text.
    pub(crate) fn provider_options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for name in self.core.providers() {
            let options = PyDict::new(py);
            self.core.provider_options(&name).iter().try_for_each(|(key, value)| options.set_item(key, value))?;
            dict.set_item(name, options)?;
        }
        Ok(dict)
    }

    /// The provider's device that reads each input.
    ///
    /// # Errors
    /// Those of Python.
    pub(crate) fn input_ep_devices(&self, py: Python<'_>) -> Result<Vec<Option<Py<OrtEpDevice>>>> {
        let device = get_ep_devices(py)?.pop();
        Ok(self.core.inputs().iter().map(|_| device.as_ref().map(|d| d.clone_ref(py))).collect())
    }

    /// Ends the profile of the session and gives the path of its file; empty when there is none, or when it has ended before.
    ///
    /// # Errors
    /// `Fail` when the file cannot be written.
    pub(crate) fn end_profiling(&self) -> Result<String> {
        let path = self.core.end_profiling()?;
        Ok(path.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default())
    }

    /// Runs the model on the values `feeds`, called `feed_names`, and puts those called `fetch_names` into the list `fetches`.
    ///
    /// # Errors
    /// `InvalidArgument` when there are more names than values, or fewer; those of the run.
    pub(crate) fn run_on_vectors(
        &self,
        run_options: &Bound<'_, RunOptions>,
        feed_names: &[String],
        feeds: &Bound<'_, OrtValueVector>,
        fetch_names: &Bound<'_, PyAny>,
        fetches: &Bound<'_, OrtValueVector>,
        fetch_devices: &[OrtDevice],
    ) -> Result<()> {
        let py = run_options.py();
        let memories = fetch_devices.iter().map(|device| device.memory("keep results")).collect::<Result<Vec<_>>>()?;
        let (names, given) = (feed_names.len(), feeds.get().values().len());
        if names != given {
            let text = format!("feed names has {names} elements, but feed has {given} elements.");
            return Err(Error::new(ErrorKind::InvalidArgument, text).into());
        }
        let feed = PyDict::new(py);
        for (name, value) in feed_names.iter().zip(feeds.get().shared(py)) {
            feed.set_item(name, value)?;
        }
        let values = self.run_on_values(py, Some(fetch_names), &feed, Some(run_options), None, &memories)?;
        *fetches.get().values() = values;
        Ok(())
    }

    /// What a run on `input_feed` for `output_names` takes.
    ///
    /// # Errors
    /// As ONNX Runtime: `ValueError` when an input is missing, `TypeError` for names and feeds that are none.
    pub(crate) fn request(
        &self,
        output_names: Option<&Bound<'_, PyAny>>,
        input_feed: &Bound<'_, PyAny>,
        run_options: Option<&Bound<'_, RunOptions>>,
        timeout: Option<f64>,
    ) -> Result<Request> {
        let names = output_names.map(|names| output_names_of(names, self.core.outputs())).transpose()?.unwrap_or_default();
        let (values, rest) = match input_feed.cast::<PyDict>() {
            Ok(feed) => self.feeds(feed)?,
            Err(_) => self.feeds(&dict_of(input_feed)?)?,
        };
        let options = interrupt::within(self.options_of(run_options)?, timeout)?;
        Ok(Request { values, rest, names, options })
    }

    /// What a run with `run_options` takes of them.
    ///
    /// # Errors
    /// As [`RunOptions::core`].
    pub(crate) fn options_of(&self, run_options: Option<&Bound<'_, RunOptions>>) -> Result<ort_rs::RunOptions> {
        run_options.map_or_else(|| Ok(self.run_options.clone()), |options| options.borrow().core(&self.log))
    }

    /// Runs what is asked for; no Python is needed.
    ///
    /// # Errors
    /// Those of [`Session::run`].
    pub(crate) fn answer(&self, request: &Request) -> ort_rs::Result<Vec<Value>> {
        let Request { values, rest, names, options } = request;
        if names.is_empty() && rest.is_empty() {
            return self.core.run_in_order(values, options);
        }
        let fetches: Vec<&str> = names.iter().map(String::as_str).collect();
        self.core.run(&self.named(request), &fetches, options)
    }

    /// What `request` feeds, by name.
    pub(crate) fn named<'r>(&'r self, request: &'r Request) -> Vec<(&'r str, Value)> {
        let ports = self.core.inputs().iter().map(|p| p.name.as_str());
        let rest = request.rest.iter().map(|(name, value)| (name.as_str(), value.clone()));
        ports.zip(request.values.iter().cloned()).chain(rest).collect()
    }

    /// The same with each value in the memory of `memories` at its place.
    ///
    /// # Errors
    /// As [`answer`](Self::answer), and when no provider reaches a memory.
    fn answer_in(&self, request: &Request, memories: &[Memory]) -> ort_rs::Result<Vec<Value>> {
        let Request { values, rest, names, options } = request;
        let fed = |port: &Port| rest.iter().find(|(name, _)| *name == port.name).map(|(_, value)| value);
        let feeds: Vec<Option<&Value>> = values.iter().map(Some).chain(self.core.overridable_initializers().iter().map(fed)).collect();
        let all = self.core.outputs().iter().map(|p| p.name.as_str());
        let fetches: Vec<&str> = if names.is_empty() { all.collect() } else { names.iter().map(String::as_str).collect() };
        let places: Vec<Option<Destination>> =
            memories.iter().map(|memory| (!memory.is_host()).then(|| Destination::in_memory(*memory))).collect();
        let places: Vec<Option<&Destination>> = (0..fetches.len()).map(|i| places.get(i).and_then(Option::as_ref)).collect();
        self.core.run_into(&feeds, &fetches, &places, options)
    }

    /// Runs on `input_feed` and gives the values of `output_names` as Python objects.
    ///
    /// # Errors
    /// As [`request`](Self::request) and [`answer`](Self::answer).
    pub(crate) fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<&Bound<'py, PyAny>>,
        input_feed: &Bound<'py, PyAny>,
        run_options: Option<&Bound<'py, RunOptions>>,
        timeout: Option<f64>,
    ) -> Result<Bound<'py, PyList>> {
        // What is fed is let go only after the run, when the interpreter is attached again.
        let request = self.request(output_names, input_feed, run_options, timeout)?;
        let outputs = interrupt::attended(py, &request.options, || self.answer(&request))?;
        objects(py, outputs)
    }

    /// Runs on values by name and gives values, each in the memory of `memories` at its place; in that of the host where there is none.
    ///
    /// # Errors
    /// As [`run`](Self::run); `AttributeError` for feeds that are no `OrtValue`, as ONNX Runtime has it.
    pub(crate) fn run_on_values(
        &self,
        py: Python<'_>,
        output_names: Option<&Bound<'_, PyAny>>,
        feed: &Bound<'_, PyDict>,
        run_options: Option<&Bound<'_, RunOptions>>,
        timeout: Option<f64>,
        memories: &[Memory],
    ) -> Result<Vec<Py<OrtValue>>> {
        for value in feed.values() {
            if !value.is_instance_of::<OrtValue>() {
                let text = format!("'{}' object has no attribute '_get_c_value'", value.get_type().name()?);
                return Err(PyAttributeError::new_err(text).into());
            }
        }
        let request = self.request(output_names, feed, run_options, timeout)?;
        let on_device = memories.iter().any(|memory| !memory.is_host());
        let answer = || if on_device { self.answer_in(&request, memories) } else { self.answer(&request) };
        let outputs = interrupt::attended(py, &request.options, answer)?;
        outputs.into_iter().map(|value| Ok(Py::new(py, OrtValue::of_result(value)?)?)).collect()
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
            let Some(place) = self.core.place(&name) else {
                return Err(Error::new(ErrorKind::InvalidArgument, format!("Invalid input name: {name}")).into());
            };
            // Those before are what must be fed, and were read.
            let Some(port) = place.checked_sub(self.core.inputs().len()).map(|i| &self.core.overridable_initializers()[i]) else {
                continue;
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

/// The objects that `values` are to Python.
pub(crate) fn objects(py: Python<'_>, values: Vec<Value>) -> Result<Bound<'_, PyList>> {
    let objects = values.into_iter().map(|v| fetch::object(py, v)).collect::<Result<Vec<_>>>()?;
    Ok(PyList::new(py, objects)?)
}

/// What Python sees of `ports`.
pub(crate) fn node_args(ports: &[Port]) -> Vec<NodeArg> {
    ports.iter().cloned().map(NodeArg).collect()
}

/// The memory that each of `ports` is read from or written to.
pub(crate) fn memory_infos(ports: &[Port]) -> Vec<OrtMemoryInfo> {
    ports.iter().map(|_| OrtMemoryInfo::cpu()).collect()
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
