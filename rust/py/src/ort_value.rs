//! Values that live outside of numpy: fed, fetched and bound without a copy.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::runtime::Layout;
use ort_rs::{DType, Optional, Shape, Tensor, Type, Value};
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyTuple};

use crate::array::{Header, plain};
use crate::device::OrtDevice;
use crate::error::{Failure, Result, runtime_error};
use crate::memory_info::OrtMemoryInfo;
use crate::sparse::SparseTensor;
use crate::{allocator, cuda_value, dlpack, element, feed, fetch};

/// A value that lives outside of numpy: a tensor, a sparse tensor, a sequence, a map, or nothing.
///
/// One class stands for both of ONNX Runtime's, the one in Python and the native one behind it.
#[pyclass(module = "ort_rs", frozen, weakref)]
pub(crate) struct OrtValue {
    value: Value,
    /// Whether the memory of the tensor may be written to.
    writable: bool,
}

/// The one way in which memory of strings cannot be had.
fn no_strings() -> Failure {
    runtime_error("Creation of OrtValues is currently only supported from non-string numpy arrays")
}

fn no_tensor() -> Failure {
    runtime_error("Only OrtValues that are Tensors are currently supported")
}

impl OrtValue {
    /// A value over `tensor`, whose memory may be changed through it if `writable`.
    pub(crate) fn of_tensor(tensor: Tensor, writable: bool) -> Self {
        Self { value: Value::Tensor(tensor), writable }
    }

    /// What a run gave: memory that it shares with others is copied.
    ///
    /// # Errors
    /// `Fail` when a tensor lies on a device.
    pub(crate) fn of_result(value: Value) -> Result<Self> {
        Ok(match value {
            Value::Tensor(tensor) => Self::of_tensor(fetch::owned(tensor)?, true),
            Value::Optional(optional) => match Arc::unwrap_or_clone(optional) {
                Optional { value: Some(value), .. } => Self::of_result(value)?,
                nothing => Self { value: Value::Optional(Arc::new(nothing)), writable: false },
            },
            value => Self { value, writable: false },
        })
    }

    /// What a caller gave to stay as it is.
    ///
    /// # Errors
    /// `RuntimeError` when it is no tensor.
    pub(crate) fn of_given(value: &Value) -> Result<Self> {
        value.tensor().map_err(|_| no_tensor())?;
        Ok(Self { value: value.clone(), writable: false })
    }

    /// A place for a value of type `ty` that is not there yet.
    pub(crate) fn empty(ty: &Type) -> Self {
        Self { value: Value::Optional(Arc::new(Optional { element: ty.clone(), value: None })), writable: false }
    }

    /// The value to feed. Booleans are checked, for a program may have written anything to their bytes.
    ///
    /// # Errors
    /// `Fail` when memory for a copy cannot be had.
    pub(crate) fn feed(&self) -> Result<Value> {
        match &self.value {
            Value::Tensor(tensor) if tensor.dtype() == DType::Bool && tensor.memory().is_host() => {
                Ok(Value::Tensor(feed::checked_bools(tensor)?))
            }
            value => Ok(value.clone()),
        }
    }

    /// The value as it is.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// Whether the memory of the tensor may be written to.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// The tensor that it is.
    ///
    /// # Errors
    /// `RuntimeError` when it is something else.
    pub(crate) fn tensor(&self) -> Result<&Tensor> {
        match &self.value {
            Value::Tensor(tensor) => Ok(tensor),
            _ => Err(no_tensor()),
        }
    }

    /// The number of the CUDA device that it lies on, if it lies on one.
    pub(crate) fn ordinal(&self) -> Option<u16> {
        self.tensor().ok().and_then(cuda_value::ordinal)
    }

    /// A copy of the tensor where it lies.
    fn copied(&self) -> Result<Tensor> {
        let tensor = self.tensor()?;
        if tensor.memory().is_host() { Ok(Tensor::copy_of(tensor.as_ref())?) } else { cuda_value::copy_to(tensor, tensor.memory()) }
    }

    /// Overwrites the elements by those of `source`, of the same type and number.
    ///
    /// # Errors
    /// `RuntimeError` when the memory must not be written to, or is not dense.
    pub(crate) fn overwrite(&self, source: &Tensor) -> Result<()> {
        let target = self.tensor()?;
        if !self.writable || target.dtype() == DType::String {
            return Err(runtime_error(format!("the memory of {target:?} cannot be written to")));
        }
        if !(source.memory().is_host() && target.memory().is_host()) {
            // SAFETY: the memory is writable, and that no run reads it now is the part of who writes.
            return unsafe { cuda_value::overwrite(target, source) };
        }
        let (from, to) = (source.as_ref().bytes()?, target.as_ref().bytes()?);
        if from.len() != to.len() {
            return Err(runtime_error("The input size of numpy arrays does not match the size of the OrtValue."));
        }
        // SAFETY: both have `from.len()` bytes, which may overlap; the memory is writable, and that no run reads it now is the part
        // of who writes.
        unsafe { std::ptr::copy(from.as_ptr(), target.address().cast_mut(), from.len()) };
        Ok(())
    }
}

#[pymethods]
impl OrtValue {
    /// The value that `ortvalue` is, shared; `numpy_obj` and `session` are not needed.
    #[new]
    #[pyo3(signature = (ortvalue, numpy_obj=None, session=None))]
    fn new(ortvalue: &Bound<'_, PyAny>, numpy_obj: Option<&Bound<'_, PyAny>>, session: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let _ = (numpy_obj, session);
        match ortvalue.cast::<Self>() {
            Ok(other) => Ok(Self { value: other.get().value.clone(), writable: other.get().writable }),
            Err(_) => Err(PyValueError::new_err("`Provided ortvalue` needs to be of type `OrtValue`")),
        }
    }

    /// A tensor over the memory of an array of numbers, which it keeps; over a copy where the array is not dense.
    ///
    /// `device_type` is the name of a device or an `OrtDevice`. Raises `RuntimeError` for text and for devices that this build cannot
    /// reach.
    #[staticmethod]
    #[pyo3(
        signature = (numpy_obj, /, device_type=None, device_id=0, vendor_id=-1),
        text_signature = "(numpy_obj, /, device_type='cpu', device_id=0, vendor_id=-1)"
    )]
    fn ortvalue_from_numpy(
        numpy_obj: &Bound<'_, PyAny>,
        device_type: Option<&Bound<'_, PyAny>>,
        device_id: i16,
        vendor_id: i64,
    ) -> Result<Self> {
        let device = device_type.map_or(Ok(OrtDevice::CPU), |d| OrtDevice::of(d, device_id, vendor_id))?;
        let memory = device.memory("allocate memory")?;
        let array = numpy_obj.cast::<PyUntypedArray>().map_err(|_| no_strings())?;
        let header = Header::of(array);
        let tensor = feed::tensor_of_type(array, crate::dtype::of_type_num(array.py(), header.type_num)?)?;
        if tensor.dtype() == DType::String {
            return Err(no_strings());
        }
        if !memory.is_host() {
            return Ok(Self::of_tensor(cuda_value::copy_to(&tensor, memory)?, true));
        }
        let lent = tensor.address() == header.data;
        Ok(Self::of_tensor(tensor, !lent || header.writable))
    }

    /// A tensor over the memory of an array whose bytes are elements of the ONNX type with the number `onnx_element_type`.
    ///
    /// Raises `RuntimeError` when the items of the array are of another width.
    #[staticmethod]
    #[pyo3(signature = (data, /, onnx_element_type))]
    fn ortvalue_from_numpy_with_onnx_type(data: &Bound<'_, PyUntypedArray>, onnx_element_type: i32) -> Result<Self> {
        let found = DType::from_proto(onnx_element_type);
        let dtype = found.ok_or_else(|| runtime_error(format!("Not a valid ONNX Tensor data type: {onnx_element_type}")))?;
        let (given, wanted) = (data.dtype().itemsize(), dtype.size().unwrap_or(usize::from(dtype.is_packed())));
        if given != wanted || dtype == DType::String {
            return Err(runtime_error(format!("Items size in the incoming array: {given} specified by onnxtype: {wanted}")));
        }
        let writable = Header::of(data).writable;
        Ok(Self::of_tensor(feed::tensor_of_type(&plain(data)?, dtype)?, writable))
    }

    /// A tensor of `shape` whose elements, of a type of numpy or the ONNX type with a number, are zeros.
    ///
    /// With a `memory_info`, memory is taken from the allocator that was registered for it, else it is that of the named device.
    #[staticmethod]
    #[pyo3(
        signature = (shape, element_type, device_type=None, device_id=0, vendor_id=-1, memory_info=None),
        text_signature = "(shape, element_type, device_type='cpu', device_id=0, vendor_id=-1, memory_info=None)"
    )]
    pub(crate) fn ortvalue_from_shape_and_type(
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        device_type: Option<&Bound<'_, PyAny>>,
        device_id: i16,
        vendor_id: i64,
        memory_info: Option<&Bound<'_, OrtMemoryInfo>>,
    ) -> Result<Self> {
        let device = match memory_info {
            Some(info) => {
                allocator::check_shared(info.get())?;
                info.get().device.clone()
            }
            None => device_type.map_or(Ok(OrtDevice::CPU), |d| OrtDevice::of(d, device_id, vendor_id))?,
        };
        let memory = device.memory("allocate memory")?;
        let dtype = element::of(element_type)?;
        if dtype == DType::String {
            return Err(no_strings());
        }
        if !memory.is_host() {
            return Ok(Self::of_tensor(cuda_value::zeros(memory, dtype, element::shape_of(shape)?)?, true));
        }
        let tensor = Tensor::zeros(dtype, element::shape_of(shape)?).map_err(|e| runtime_error(e.to_string()))?;
        Ok(Self::of_tensor(tensor, true))
    }

    /// As `ortvalue_from_shape_and_type`, by the number of the ONNX type.
    #[staticmethod]
    fn ortvalue_from_shape_and_onnx_type(
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        device: &Bound<'_, PyAny>,
    ) -> Result<Self> {
        Self::ortvalue_from_shape_and_type(shape, element_type, Some(device), 0, -1, None)
    }

    /// As `ortvalue_from_shape_and_type`, in memory of the allocator that was registered for `memory_info`.
    #[staticmethod]
    fn ortvalue_from_shape_and_type_for_memory_info(
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        memory_info: &Bound<'_, OrtMemoryInfo>,
    ) -> Result<Self> {
        Self::ortvalue_from_shape_and_type(shape, element_type, None, 0, -1, Some(memory_info))
    }

    /// As `ortvalue_from_shape_and_onnx_type`, in memory of the allocator that was registered for `memory_info`.
    #[staticmethod]
    fn ortvalue_from_shape_and_onnx_type_for_memory_info(
        shape: &Bound<'_, PyAny>,
        element_type: &Bound<'_, PyAny>,
        memory_info: &Bound<'_, OrtMemoryInfo>,
    ) -> Result<Self> {
        Self::ortvalue_from_shape_and_type(shape, element_type, None, 0, -1, Some(memory_info))
    }

    /// The value that a sparse tensor is, shared.
    #[staticmethod]
    fn ort_value_from_sparse_tensor(sparse_tensor: &Bound<'_, SparseTensor>) -> Self {
        Self { value: Value::Sparse(sparse_tensor.get().0.clone()), writable: false }
    }

    /// The tensor that a capsule or an object with `__dlpack__` or `__cuda_array_interface__` lends, without a copy.
    ///
    /// `is_bool_tensor` takes elements of `uint8` for booleans. Raises `TypeError` for what lends nothing, `RuntimeError` for
    /// elements, layouts and devices that cannot be used.
    #[staticmethod]
    #[pyo3(signature = (data, /, is_bool_tensor=false))]
    fn from_dlpack(data: &Bound<'_, PyAny>, is_bool_tensor: bool) -> Result<Self> {
        let py = data.py();
        if let Ok(other) = data.cast::<Self>() {
            other.get().tensor()?;
            return Ok(Self { value: other.get().value.clone(), writable: other.get().writable });
        }
        let is_capsule = data.is_instance_of::<PyCapsule>();
        if is_capsule || !data.hasattr(intern!(py, "__dlpack__"))? {
            if let (false, Some((tensor, writable))) = (is_capsule, cuda_value::borrow(data)?) {
                return Ok(Self::of_tensor(tensor, writable));
            }
            return Ok(Self::of_tensor(dlpack::borrow(data, is_bool_tensor)?, true));
        }
        let capsule = dlpack::capsule_of(data)?;
        // Libraries that lend booleans as `uint8` still call them so themselves.
        let named = data.getattr(intern!(py, "dtype")).is_ok_and(|d| d.str().is_ok_and(|s| s.to_string().ends_with("bool")));
        Ok(Self::of_tensor(dlpack::borrow(&capsule, is_bool_tensor || named)?, true))
    }

    /// The value itself: there is one class for both of ONNX Runtime's.
    fn _get_c_value(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The value itself, under the name that ONNX Runtime's class keeps it by.
    #[getter(_ortvalue)]
    fn itself(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The sparse tensor that it is; `RuntimeError` for anything else.
    fn as_sparse_tensor(&self) -> Result<SparseTensor> {
        match &self.value {
            Value::Sparse(sparse) => Ok(SparseTensor(sparse.clone())),
            _ => Err(runtime_error("This OrtValue does not contain SparseTensor. Check data_type() value.")),
        }
    }

    /// The address of the first element of a tensor; 0 when there is none.
    fn data_ptr(&self) -> Result<usize> {
        let tensor = self.tensor()?;
        Ok(if tensor.is_empty() { 0 } else { tensor.address() as usize })
    }

    /// The kind of device that it lies on.
    fn device_name(&self) -> &'static str {
        if self.ordinal().is_some() { "cuda" } else { "cpu" }
    }

    /// How other libraries find a tensor on a CUDA device; `AttributeError` for any other value.
    #[getter]
    fn __cuda_array_interface__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyDict>> {
        match &self.value {
            Value::Tensor(tensor) => cuda_value::interface(py, tensor, self.writable),
            _ => Err(PyAttributeError::new_err("only tensors have an interface of arrays").into()),
        }
    }

    /// The sizes of the axes of a tensor, sparse or not.
    fn shape(&self) -> Result<Vec<usize>> {
        match &self.value {
            Value::Sparse(sparse) => Ok(sparse.shape.to_vec()),
            _ => Ok(self.tensor()?.shape().to_vec()),
        }
    }

    /// Its type, such as `tensor(float)`.
    fn data_type(&self) -> String {
        match &self.value {
            Value::Optional(nothing) => nothing.element.to_string(),
            value => value.ty().to_string(),
        }
    }

    /// The number of the ONNX type of its elements; `RuntimeError` when they are no tensors.
    pub(crate) fn element_type(&self) -> Result<i32> {
        let mut ty = self.value.ty();
        loop {
            ty = match ty {
                Type::Tensor(dtype) | Type::Sparse(dtype) => return Ok(dtype as i32),
                Type::Sequence(element) | Type::Optional(element) => *element,
                Type::Map(..) => return Err(runtime_error("a map has no element type")),
            }
        }
    }

    /// The bytes that a tensor of numbers takes.
    fn tensor_size_in_bytes(&self) -> Result<usize> {
        let tensor = self.tensor()?;
        tensor.dtype().bytes_of(tensor.len()).ok_or_else(|| runtime_error("strings have no size in bytes"))
    }

    /// Whether there is a value at all.
    fn has_value(&self) -> bool {
        !matches!(self.value, Value::Optional(_))
    }

    /// Whether it is a tensor.
    fn is_tensor(&self) -> bool {
        matches!(self.value, Value::Tensor(_))
    }

    /// Whether it is a sparse tensor.
    fn is_sparse_tensor(&self) -> bool {
        matches!(self.value, Value::Sparse(_))
    }

    /// Whether it is a sequence.
    fn is_tensor_sequence(&self) -> bool {
        matches!(self.value, Value::Sequence(_))
    }

    /// The array that a tensor is: the buffer goes to other processes as numpy sends it.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> Result<Bound<'py, PyTuple>> {
        let py = slf.py();
        if slf.get().tensor().is_err() {
            return Err(PyTypeError::new_err("only tensors can be pickled").into());
        }
        Ok((slf.get_type().getattr("_of_array")?, (slf.get().numpy(py)?,)).into_pyobject(py)?)
    }

    /// The tensor that an array of numbers or text is.
    #[staticmethod]
    fn _of_array(array: &Bound<'_, PyUntypedArray>) -> Result<Self> {
        Ok(Self::of_tensor(feed::tensor(array)?, Header::of(array).writable))
    }

    /// An array over the memory of a tensor of numbers: writing to one shows in the other. Text is copied, and so is what lies on a
    /// device.
    ///
    /// Types that numpy lacks come as those of `ml_dtypes`. Raises `RuntimeError` for anything but tensors.
    fn numpy<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        match &self.value {
            Value::Tensor(tensor) if tensor.memory().is_host() => fetch::view(py, tensor, self.writable),
            Value::Tensor(tensor) => fetch::view(py, &cuda_value::on_host(tensor.clone())?, true),
            _ => Err(runtime_error("Only OrtValues that are Tensors are convertible to Numpy objects")),
        }
    }

    /// The array of `numpy`, converted to `dtype`; `ValueError` when that takes a copy and `copy` is false.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(&self, py: Python<'py>, dtype: Option<&Bound<'py, PyAny>>, copy: Option<bool>) -> Result<Bound<'py, PyAny>> {
        let array = self.numpy(py)?;
        let keywords = PyDict::new(py);
        keywords.set_item("dtype", dtype)?;
        keywords.set_item("copy", copy)?;
        Ok(py.import(intern!(py, "numpy"))?.call_method(intern!(py, "array"), (array,), Some(&keywords))?)
    }

    /// A capsule that lends the tensor to another library, without a copy unless one is asked for; booleans as `uint8`.
    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<&Bound<'py, PyAny>>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> Result<Bound<'py, PyAny>> {
        // What lies here is there for every stream, and every consumer reads the oldest version of capsules.
        let _ = (stream, max_version);
        let here = self.__dlpack_device__();
        match dl_device {
            Some(wanted) if wanted == dlpack::CPU && wanted != here && copy != Some(false) => {
                dlpack::lend(py, &cuda_value::on_host(self.tensor()?.clone())?)
            }
            Some(wanted) if wanted != here => {
                let text = format!("the tensor lies on device {here:?} of DLPack, not on {wanted:?}");
                Err(pyo3::exceptions::PyBufferError::new_err(text).into())
            }
            _ if copy == Some(true) => dlpack::lend(py, &self.copied()?),
            _ => self.to_dlpack(py),
        }
    }

    /// The device that the tensor lies on: `(1, 0)` for the CPU, 2 and its number for a CUDA device.
    fn __dlpack_device__(&self) -> (i32, i32) {
        self.ordinal().map_or(dlpack::CPU, |ordinal| (dlpack::CUDA, ordinal.into()))
    }

    /// As `__dlpack__`.
    fn to_dlpack<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        match &self.value {
            Value::Tensor(tensor) => dlpack::lend(py, tensor),
            _ => Err(runtime_error("Only tensor type OrtValues are supported")),
        }
    }

    /// Overwrites the elements of a tensor by those of an array or another value, of the same type and number.
    ///
    /// Raises `TypeError` for anything else, `RuntimeError` when type or number differ.
    fn update_inplace(&self, data: &Bound<'_, PyAny>) -> Result<()> {
        let target = self.tensor()?;
        if let Ok(other) = data.cast::<Self>() {
            let source = other.get().tensor()?;
            let differ = |what| Err(runtime_error(format!("The source and destination OrtValues must have the same {what}")));
            return match () {
                () if source.dtype() != target.dtype() => differ("data type"),
                () if source.len() != target.len() => differ("size"),
                () => self.overwrite(source),
            };
        }
        let Ok(array) = data.cast::<PyUntypedArray>() else {
            return Err(PyTypeError::new_err("data must be a numpy.ndarray or an OrtValue.").into());
        };
        self.overwrite(&bits_for(target, array)?)
    }
}

/// The elements of `array`, of the type of `target`; unsigned integers may stand for the bits of a type that numpy lacks.
fn bits_for(target: &Tensor, array: &Bound<'_, PyUntypedArray>) -> Result<Tensor> {
    let source = feed::tensor(array)?;
    if source.dtype() == target.dtype() {
        return Ok(source);
    }
    let (given, wanted) = (source.dtype(), target.dtype());
    let raw = given.bits() == wanted.bits() && matches!(given, DType::U8 | DType::U16) && wanted as i32 >= DType::BF16 as i32;
    if !raw {
        return Err(runtime_error(format!("an array of {given} cannot update a tensor of {wanted}")));
    }
    let shape: Shape = source.shape().clone();
    Ok(Tensor::new(wanted, shape, Layout::Dense, source.buffer().clone(), source.offset())?)
}

/// Copies each of the tensors `src` to the one of `dst` at its place, of the same type and number of elements; `stream` is for devices.
#[pyfunction]
#[pyo3(signature = (src, dst, stream=None))]
pub(crate) fn copy_tensors(src: Vec<Bound<'_, OrtValue>>, dst: Vec<Bound<'_, OrtValue>>, stream: Option<&Bound<'_, PyAny>>) -> Result<()> {
    if let Some(stream) = stream {
        return Err(PyTypeError::new_err(format!("a stream of a device is needed, not {}", stream.get_type())).into());
    }
    if src.len() != dst.len() {
        return Err(runtime_error(format!("{} tensors cannot be copied to {}", src.len(), dst.len())));
    }
    src.iter().zip(&dst).try_for_each(|(from, to)| to.get().update_inplace(from))
}

/// Whether a capsule of DLPack holds elements of `uint8`; booleans that were lent here do too.
#[pyfunction]
pub(crate) fn is_dlpack_uint8_tensor(capsule: &Bound<'_, PyAny>) -> PyResult<bool> {
    dlpack::is_uint8(capsule)
}
