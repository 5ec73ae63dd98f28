//! A list of values, as ONNX Runtime's native calls take and give it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort_rs::runtime::{Buffer, Foreign, Layout};
use ort_rs::{DType, Shape, Tensor};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::device::OrtDevice;
use crate::error::{Result, runtime_error};
use crate::ort_value::OrtValue;
use crate::{dlpack, element};

/// A list of values, as ONNX Runtime's native calls take and give it.
#[pyclass(module = "ort_rs", frozen, sequence)]
#[derive(Default)]
pub(crate) struct OrtValueVector {
    values: Mutex<Vec<Py<OrtValue>>>,
}

impl OrtValueVector {
    /// The list of `values`.
    pub(crate) fn of(values: Vec<Py<OrtValue>>) -> Self {
        Self { values: Mutex::new(values) }
    }

    /// The values, locked: not to be held while Python runs.
    pub(crate) fn values(&self) -> MutexGuard<'_, Vec<Py<OrtValue>>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, py: Python<'_>, index: usize) -> PyResult<Py<OrtValue>> {
        let values = self.values();
        let outside = || PyIndexError::new_err(format!("index {index} is outside of {} values", values.len()));
        values.get(index).map(|v| v.clone_ref(py)).ok_or_else(outside)
    }

    /// Shares of the values.
    pub(crate) fn shared(&self, py: Python<'_>) -> Vec<Py<OrtValue>> {
        self.values().iter().map(|v| v.clone_ref(py)).collect()
    }
}

#[pymethods]
impl OrtValueVector {
    /// An empty list.
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.values().len()
    }

    fn __getitem__(&self, py: Python<'_>, index: usize) -> PyResult<Py<OrtValue>> {
        self.at(py, index)
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyList::new(py, self.shared(py))?.try_iter()?.into_any())
    }

    /// Appends a value, or the tensor that a capsule of DLPack lends.
    #[pyo3(signature = (value, is_bool_tensor=false))]
    fn push_back(&self, value: &Bound<'_, PyAny>, is_bool_tensor: bool) -> Result<()> {
        let value = match value.cast::<OrtValue>() {
            Ok(value) => value.clone().unbind(),
            Err(_) => Py::new(value.py(), OrtValue::of_tensor(dlpack::borrow(value, is_bool_tensor)?, true))?,
        };
        self.values().push(value);
        Ok(())
    }

    /// Appends tensors over memory that the objects `tensors` own: at addresses, of types and shapes, on devices, one of each a tensor.
    ///
    /// Raises `ValueError` when the lists differ in length, `RuntimeError` for memory of a device that the host cannot reach.
    fn push_back_batch(
        &self,
        tensors: Vec<Bound<'_, PyAny>>,
        data_ptrs: Vec<usize>,
        element_types: Vec<Bound<'_, PyAny>>,
        shapes: Vec<Bound<'_, PyAny>>,
        devices: Vec<OrtDevice>,
    ) -> Result<()> {
        let count = tensors.len();
        if [data_ptrs.len(), element_types.len(), shapes.len(), devices.len()].iter().any(|n| *n != count) {
            return Err(PyValueError::new_err("push_back_batch takes as many addresses, types, shapes and devices as tensors").into());
        }
        let mut values = Vec::with_capacity(count);
        for (i, tensor) in tensors.into_iter().enumerate() {
            devices[i].check_host("wrap memory")?;
            let py = tensor.py();
            let (dtype, shape) = (element::of(&element_types[i])?, element::shape_of(&shapes[i])?);
            // SAFETY: that the tensor owns so much memory there is what the caller of this native function promises.
            let tensor = unsafe { borrowed(tensor.unbind(), data_ptrs[i], dtype, shape) }?;
            values.push(Py::new(py, OrtValue::of_tensor(tensor, true))?);
        }
        self.values().extend(values);
        Ok(())
    }

    /// Makes room for `count` values.
    fn reserve(&self, count: usize) {
        let mut values = self.values();
        // A wild number is a hint like any other: it must not take all memory.
        let more = count.saturating_sub(values.len()).min(1 << 20);
        values.reserve(more);
    }

    /// Lets go of room that is not used.
    fn shrink_to_fit(&self) {
        self.values().shrink_to_fit();
    }

    /// The places of the tensors of booleans, which DLPack lends as `uint8`.
    fn bool_tensor_indices(&self) -> Vec<usize> {
        let values = self.values();
        let is_bool = |v: &Py<OrtValue>| v.get().tensor().is_ok_and(|t| t.dtype() == DType::Bool);
        values.iter().enumerate().filter(|(_, v)| is_bool(v)).map(|(i, _)| i).collect()
    }

    /// The number of the ONNX type of the elements of value `idx`.
    fn element_type_at(&self, py: Python<'_>, idx: usize) -> Result<i32> {
        self.at(py, idx)?.get().element_type()
    }

    /// A capsule of DLPack that lends value `index`.
    fn dlpack_at<'py>(&self, py: Python<'py>, index: usize) -> Result<Bound<'py, PyAny>> {
        dlpack::lend(py, self.at(py, index)?.get().tensor()?)
    }

    /// Capsules of DLPack that lend the values, each passed through `to_tensor` if there is one.
    #[pyo3(signature = (to_tensor))]
    fn to_dlpacks<'py>(&self, py: Python<'py>, to_tensor: Option<&Bound<'py, PyAny>>) -> Result<Vec<Bound<'py, PyAny>>> {
        let lend = |value: Py<OrtValue>| {
            let capsule = dlpack::lend(py, value.get().tensor()?)?;
            Ok(to_tensor.map_or(Ok(capsule.clone()), |f| f.call1((capsule,)))?)
        };
        self.shared(py).into_iter().map(lend).collect()
    }
}

/// A tensor over memory at `address` that `owner` keeps alive.
///
/// # Safety
/// There lie the elements of a dense tensor of that type and shape, for as long as `owner` lives.
unsafe fn borrowed(owner: Py<PyAny>, address: usize, dtype: DType, shape: Shape) -> Result<Tensor> {
    let len = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    let len = len.filter(|_| dtype != DType::String).ok_or_else(|| runtime_error(format!("no memory can hold {dtype}{shape}")))?;
    if address == 0 && len > 0 {
        return Err(runtime_error("the address of a tensor is 0"));
    }
    // SAFETY: the caller vouches for the memory, which lives as long as the owner.
    let foreign = unsafe { Foreign::new(address as *const u8, len, Box::new(owner)) };
    Ok(Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::Foreign(foreign)), 0)?)
}
