//! Inputs and outputs bound to memory, for runs that neither convert nor copy.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use ort_rs::runtime::{Buffer, Destination, Foreign, Layout};
use ort_rs::{DType, Shape, Tensor, Type, Value};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use smallvec::SmallVec;

use crate::core_session::CoreSession;
use crate::device::OrtDevice;
use crate::error::{Failure, Result, runtime_error};
use crate::loaded::Loaded;
use crate::ort_value::OrtValue;
use crate::ort_value_vector::OrtValueVector;
use crate::run_options::RunOptions;
use crate::session::InferenceSession;
use crate::{cuda_value, element, feed, fetch, interrupt};

/// A bound output, and what the last run gave.
struct Output {
    name: String,
    /// The value whose memory it goes to; `None` for memory of the runtime, used again where the shape stays the same.
    target: Option<Py<OrtValue>>,
    /// The memory that the next run writes to.
    destination: Option<Destination>,
    result: Option<Py<OrtValue>>,
}

/// What is bound.
struct State {
    /// For each input of the session, then for each initializer that may be fed, what is bound to it.
    inputs: Vec<Option<Value>>,
    outputs: Vec<Output>,
}

/// Inputs and outputs of a session bound to memory: what ONNX Runtime has behind its `IOBinding`.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SessionIOBinding {
    session: Arc<Loaded>,
    state: Mutex<State>,
}

impl SessionIOBinding {
    fn of(session: Arc<Loaded>) -> Self {
        let inputs = session.ports().map(|_| None).collect();
        Self { session, state: Mutex::new(State { inputs, outputs: Vec::new() }) }
    }

    /// What is bound, for whoever has it alone: waiting could go on as long as a run.
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(state)) => Ok(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) => Err(runtime_error("the binding is used by a run in another thread")),
        }
    }

    /// The place of input `name` among those of the session.
    fn place(&self, name: &str) -> Result<usize> {
        let unknown = || runtime_error(format!("Error when binding input: Failed to find input name in the mapping: {name}"));
        self.session.ports().position(|p| p.name == name).ok_or_else(unknown)
    }

    fn bind(&self, place: usize, value: Value) -> Result<()> {
        self.state()?.inputs[place] = Some(value);
        Ok(())
    }

    fn bind_array(&self, name: &str, array: &Bound<'_, PyAny>) -> Result<()> {
        let unknown = || runtime_error(format!("Failed to find NodeArg with name: {name} in the def list"));
        let place = self.session.ports().position(|p| p.name == name).ok_or_else(unknown)?;
        let ty = self.session.ports().nth(place).map_or(Type::Tensor(DType::F32), |p| p.ty.clone());
        let listed = matches!(ty, Type::Sequence(_) | Type::Map(..) | Type::Optional(_));
        if !listed && array.cast::<numpy::PyUntypedArray>().is_err() {
            return Err(runtime_error("Unable to create OrtValue from the given python object"));
        }
        let value = feed::value(array, &ty, name)?;
        if matches!(&value, Value::Tensor(t) if t.dtype() == DType::String) {
            return Err(runtime_error("Only binding non-string Tensors is currently supported"));
        }
        self.bind(place, value)
    }

    /// Binds output `name`, in place of what it was bound to.
    fn put(&self, name: String, target: Option<Py<OrtValue>>, destination: Option<Destination>) -> Result<()> {
        let mut state = self.state()?;
        let output = Output { name, target, destination, result: None };
        match state.outputs.iter_mut().find(|o| o.name == output.name) {
            Some(bound) => *bound = output,
            None => state.outputs.push(output),
        }
        Ok(())
    }

    fn put_value(&self, name: String, value: &Bound<'_, OrtValue>) -> Result<()> {
        let tensor = match value.get().value() {
            Value::Tensor(tensor) if tensor.dtype() != DType::String => tensor,
            _ => return self.put(name, None, None),
        };
        if !value.get().is_writable() {
            return Err(runtime_error(format!("a result cannot be written to the memory of {tensor:?}, which is read-only")));
        }
        // SAFETY: the value may be written to, and keeps its memory; that nobody else uses it during a run is the part of who binds it.
        let destination = unsafe { Destination::new(tensor.clone())? };
        self.put(name, Some(value.clone().unbind()), Some(destination))
    }

    /// Runs the session on what is bound.
    ///
    /// # Errors
    /// `RuntimeError` for whatever goes wrong, as ONNX Runtime has it.
    pub(crate) fn run(&self, py: Python<'_>, run_options: Option<&Bound<'_, RunOptions>>, timeout: Option<f64>) -> Result<()> {
        let options = interrupt::within(self.session.options_of(run_options)?, timeout)?;
        let mut state = self.state()?;
        let failed = |text: &str| runtime_error(format!("Error in execution: {text}"));
        if state.outputs.is_empty() {
            return Err(failed("At least one output should be requested."));
        }
        let tamed = tamed(&state.inputs)?;
        let tamed = (0..).map(|i| tamed.get(i).and_then(Option::as_ref));
        let feeds: SmallVec<[Option<&Value>; 8]> = state.inputs.iter().zip(tamed).map(|(bound, tamed)| tamed.or(bound.as_ref())).collect();
        let names: SmallVec<[&str; 8]> = state.outputs.iter().map(|o| o.name.as_str()).collect();
        let destinations: SmallVec<[Option<&Destination>; 8]> = state.outputs.iter().map(|o| o.destination.as_ref()).collect();
        let values = interrupt::attended(py, &options, || self.session.core.run_into(&feeds, &names, &destinations, &options));
        drop((feeds, names, destinations));
        let values = values.map_err(|e| match e {
            Failure::Runtime(e) => failed(&e.message()),
            raised => raised,
        })?;
        for (output, value) in state.outputs.iter_mut().zip(values) {
            output.keep(py, value)?;
        }
        Ok(())
    }

    /// The values that the last run gave; places for those that are not there yet.
    fn results(&self, py: Python<'_>) -> Result<Vec<Py<OrtValue>>> {
        let state = self.state()?;
        let result = |output: &Output| match output.result.as_ref().or(output.target.as_ref()) {
            Some(value) => Ok(value.clone_ref(py)),
            None => {
                let port = self.session.core.outputs().iter().find(|p| p.name == output.name);
                Py::new(py, OrtValue::empty(&port.map_or(Type::Tensor(DType::F32), |p| p.ty.clone())))
            }
        };
        Ok(state.outputs.iter().map(result).collect::<PyResult<_>>()?)
    }
}

impl Output {
    /// Keeps what a run gave.
    fn keep(&mut self, py: Python<'_>, value: Value) -> Result<()> {
        let same = |held: &Py<OrtValue>| match (held.get().value(), &value) {
            (Value::Tensor(a), Value::Tensor(b)) => a.address() == b.address() && a.shape() == b.shape() && a.dtype() == b.dtype(),
            _ => false,
        };
        if self.result.as_ref().is_some_and(same) {
            return Ok(());
        }
        let Some(held) = &self.target else {
            let result = OrtValue::of_result(value)?;
            let wanted = self.destination.as_ref().map(Destination::memory).filter(|memory| !memory.is_host());
            self.destination = match result.tensor() {
                // SAFETY: the memory is that of the last result, which is bound to change with the next run.
                Ok(tensor) if tensor.dtype() != DType::String => unsafe { Destination::reuse(tensor.clone()).ok() },
                _ => wanted.map(Destination::in_memory),
            };
            self.result = Some(Py::new(py, result)?);
            return Ok(());
        };
        self.result = Some(held.clone_ref(py));
        Ok(())
    }
}

/// For each of `inputs` that are booleans, these checked: memory that others write to may hold anything by now. None if there are none.
fn tamed(inputs: &[Option<Value>]) -> Result<Vec<Option<Value>>> {
    let booleans = |value: &Option<Value>| match value {
        Some(Value::Tensor(tensor)) if tensor.dtype() == DType::Bool && tensor.memory().is_host() => Some(tensor.clone()),
        _ => None,
    };
    if !inputs.iter().any(|value| booleans(value).is_some()) {
        return Ok(Vec::new());
    }
    inputs.iter().map(|value| booleans(value).map(|t| feed::checked_bools(&t).map(Value::Tensor)).transpose()).collect()
}

/// The tensor over the memory at `address` that a program vouches for.
///
/// # Errors
/// `RuntimeError` when it is not on that device, or cannot be reached; for strings, for a null pointer, and for one that is not aligned.
fn at_pointer(name: &str, device: &OrtDevice, element_type: &Bound<'_, PyAny>, shape: &Bound<'_, PyAny>, address: usize) -> Result<Tensor> {
    let dtype = element::of(element_type)?;
    if dtype == DType::String {
        return Err(runtime_error("Only binding non-string Tensors is currently supported"));
    }
    let memory = device.memory("bind memory")?;
    let shape = element::shape_of(shape)?;
    if !memory.is_host() {
        return cuda_value::at_pointer(name, memory, dtype, shape, address);
    }
    let len = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    let len = len.ok_or_else(|| runtime_error(format!("a tensor of shape {shape} is too large")))?;
    if address == 0 && len > 0 {
        return Err(runtime_error(format!("a null pointer cannot be a tensor({dtype}) of shape {shape}")));
    }
    // SAFETY: who binds a pointer vouches that memory for the type and shape is there as long as the binding is used; alignment is
    // checked below.
    let foreign = unsafe { Foreign::new(std::ptr::with_exposed_provenance(address), len, Box::new(())) };
    let tensor = Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::Foreign(foreign)), 0);
    tensor.map_err(|e| runtime_error(e.message()))
}

#[pymethods]
impl SessionIOBinding {
    /// A binding for the native session of a session, `session._sess`.
    #[new]
    fn new(session: &Bound<'_, CoreSession>) -> Self {
        Self::of(session.get().loaded().clone())
    }

    /// Binds input `name` to an array, or to memory: a device, an element type, a shape and an address.
    #[pyo3(signature = (name, array_or_device, element_type=None, shape=None, buffer_ptr=None))]
    fn bind_input(
        &self,
        name: &str,
        array_or_device: &Bound<'_, PyAny>,
        element_type: Option<&Bound<'_, PyAny>>,
        shape: Option<&Bound<'_, PyAny>>,
        buffer_ptr: Option<usize>,
    ) -> Result<()> {
        let Ok(device) = array_or_device.cast::<OrtDevice>() else { return self.bind_array(name, array_or_device) };
        let (Some(element_type), Some(shape), Some(address)) = (element_type, shape, buffer_ptr) else {
            return Err(PyValueError::new_err("memory is bound by its element type, its shape and its address").into());
        };
        let tensor = at_pointer(name, device.get(), element_type, shape, address)?;
        self.bind(self.place(name)?, Value::Tensor(tensor))
    }

    /// Binds input `name` to the memory of a value.
    fn bind_ortvalue_input(&self, name: &str, ortvalue: &Bound<'_, OrtValue>) -> Result<()> {
        self.bind(self.place(name)?, ortvalue.get().value().clone())
    }

    /// Binds output `name` to memory of the runtime on a device, or to memory with an element type, a shape and an address.
    #[pyo3(signature = (name, device, element_type=None, shape=None, buffer_ptr=None))]
    fn bind_output(
        &self,
        name: String,
        device: &OrtDevice,
        element_type: Option<&Bound<'_, PyAny>>,
        shape: Option<&Bound<'_, PyAny>>,
        buffer_ptr: Option<&Bound<'_, PyAny>>,
    ) -> Result<()> {
        let Some(address) = buffer_ptr else {
            let memory = device.memory("keep results")?;
            return self.put(name, None, (!memory.is_host()).then(|| Destination::in_memory(memory)));
        };
        let (Some(element_type), Some(shape)) = (element_type, shape) else {
            let text = "`element_type` and `shape` are to be provided if pre-allocated memory is provided";
            return Err(PyValueError::new_err(text).into());
        };
        let tensor = at_pointer(&name, device, element_type, shape, address.extract()?)?;
        let value = Bound::new(address.py(), OrtValue::of_tensor(tensor, true))?;
        self.put_value(name, &value)
    }

    /// Binds output `name` to the memory of a value.
    fn bind_ortvalue_output(&self, name: String, ortvalue: &Bound<'_, OrtValue>) -> Result<()> {
        self.put_value(name, ortvalue)
    }

    /// Waits until bound inputs are written, by whoever does so on a device.
    fn synchronize_inputs(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.session.core.synchronize())?)
    }

    /// Waits until bound outputs are written: a run ends when they are.
    fn synchronize_outputs(&self, py: Python<'_>) -> Result<()> {
        Ok(py.detach(|| self.session.core.synchronize())?)
    }

    /// The values that the last run gave, in the order in which outputs were first bound.
    fn get_outputs(&self, py: Python<'_>) -> Result<OrtValueVector> {
        Ok(OrtValueVector::of(self.results(py)?))
    }

    /// Copies of what the last run gave, as arrays, lists and dictionaries.
    fn copy_outputs_to_cpu<'py>(&self, py: Python<'py>) -> Result<Vec<Bound<'py, PyAny>>> {
        self.results(py)?.iter().map(|value| fetch::object(py, value.get().value().clone())).collect()
    }

    /// Unbinds all inputs.
    fn clear_binding_inputs(&self) -> Result<()> {
        self.state()?.inputs.fill(None);
        Ok(())
    }

    /// Unbinds all outputs.
    fn clear_binding_outputs(&self) -> Result<()> {
        self.state()?.outputs.clear();
        Ok(())
    }
}

/// Inputs and outputs of a session bound to memory, for `run_with_iobinding`.
#[pyclass(module = "ort_rs", frozen, weakref)]
pub(crate) struct IOBinding {
    core: Py<SessionIOBinding>,
}

impl IOBinding {
    /// The binding behind it.
    pub(crate) fn core(&self) -> &SessionIOBinding {
        self.core.get()
    }

    /// Whether it was made for `session`.
    pub(crate) fn is_of(&self, session: &Arc<Loaded>) -> bool {
        Arc::ptr_eq(&self.core().session, session)
    }

    /// A binding for `session`.
    pub(crate) fn of(py: Python<'_>, session: Arc<Loaded>) -> PyResult<Self> {
        Ok(Self { core: Py::new(py, SessionIOBinding::of(session))? })
    }
}

#[pymethods]
impl IOBinding {
    /// A binding for `session`.
    #[new]
    fn new(session: &Bound<'_, InferenceSession>) -> Result<Self> {
        Ok(Self::of(session.py(), session.get().loaded()?)?)
    }

    /// The native binding behind it.
    #[getter]
    fn _iobinding(&self, py: Python<'_>) -> Py<SessionIOBinding> {
        self.core.clone_ref(py)
    }

    /// Binds input `name` to the memory of an array, which the binding keeps.
    fn bind_cpu_input(&self, name: &str, arr_on_cpu: &Bound<'_, PyAny>) -> Result<()> {
        self.core().bind_array(name, arr_on_cpu)
    }

    /// Binds input `name` to the memory at `buffer_ptr`, which stays there as long as the binding is used.
    ///
    /// `element_type` is a type of numpy or the number of an ONNX type. Raises `RuntimeError` for strings, and for memory that this
    /// build cannot reach.
    fn bind_input(
        &self,
        name: &str,
        device_type: &str,
        device_id: i16,
        element_type: &Bound<'_, PyAny>,
        shape: &Bound<'_, PyAny>,
        buffer_ptr: usize,
    ) -> Result<()> {
        let tensor = at_pointer(name, &OrtDevice::named(device_type, device_id, -1)?, element_type, shape, buffer_ptr)?;
        self.core().bind(self.core().place(name)?, Value::Tensor(tensor))
    }

    /// Binds input `name` to the memory of a value.
    fn bind_ortvalue_input(&self, name: &str, ortvalue: &Bound<'_, OrtValue>) -> Result<()> {
        self.core().bind_ortvalue_input(name, ortvalue)
    }

    /// Binds output `name` to memory of the runtime, or to that at `buffer_ptr`, which takes an `element_type` and a `shape`.
    ///
    /// Memory of the runtime is used again by the next run where the shape stays the same.
    #[pyo3(signature = (name, device_type="cpu", device_id=0, element_type=None, shape=None, buffer_ptr=None))]
    fn bind_output(
        &self,
        name: String,
        device_type: &str,
        device_id: i16,
        element_type: Option<&Bound<'_, PyAny>>,
        shape: Option<&Bound<'_, PyAny>>,
        buffer_ptr: Option<&Bound<'_, PyAny>>,
    ) -> Result<()> {
        self.core().bind_output(name, &OrtDevice::named(device_type, device_id, -1)?, element_type, shape, buffer_ptr)
    }

    /// Binds output `name` to the memory of a value.
    fn bind_ortvalue_output(&self, name: String, ortvalue: &Bound<'_, OrtValue>) -> Result<()> {
        self.core().bind_ortvalue_output(name, ortvalue)
    }

    /// Waits until bound inputs are written, by whoever does so on a device.
    fn synchronize_inputs(&self, py: Python<'_>) -> Result<()> {
        self.core().synchronize_inputs(py)
    }

    /// Waits until bound outputs are written: a run ends when they are.
    fn synchronize_outputs(&self, py: Python<'_>) -> Result<()> {
        self.core().synchronize_outputs(py)
    }

    /// The values that the last run gave, in the order in which outputs were first bound.
    fn get_outputs(&self, py: Python<'_>) -> Result<Vec<Py<OrtValue>>> {
        self.core().results(py)
    }

    /// The same as a list of ONNX Runtime's native calls.
    fn get_outputs_as_ortvaluevector(&self, py: Python<'_>) -> Result<OrtValueVector> {
        self.core().get_outputs(py)
    }

    /// Copies of what the last run gave, as arrays, lists and dictionaries.
    fn copy_outputs_to_cpu<'py>(&self, py: Python<'py>) -> Result<Vec<Bound<'py, PyAny>>> {
        self.core().copy_outputs_to_cpu(py)
    }

    /// Unbinds all inputs.
    fn clear_binding_inputs(&self) -> Result<()> {
        self.core().clear_binding_inputs()
    }

    /// Unbinds all outputs.
    fn clear_binding_outputs(&self) -> Result<()> {
        self.core().clear_binding_outputs()
    }
}
