//! What is fetched: values become Python objects, memory and all where that is possible.

use std::sync::Arc;

use ort_rs::runtime::{Buffer, packed};
use ort_rs::{DType, Map, Tensor, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::array::over;
use crate::cuda_value;
use crate::dtype::descr;
use crate::error::Result;
use crate::sparse::SparseTensor;
use crate::text;

/// The object that `value` is to Python: an array, a list, a dictionary, or `None`.
pub(crate) fn object<'py>(py: Python<'py>, value: Value) -> Result<Bound<'py, PyAny>> {
    match value {
        Value::Tensor(tensor) => array(py, tensor),
        Value::Sequence(sequence) => {
            let items = sequence.values.iter().map(|v| object(py, v.clone())).collect::<Result<Vec<_>>>()?;
            Ok(PyList::new(py, items)?.into_any())
        }
        Value::Map(map) => dictionary(py, &map),
        Value::Optional(optional) => match &optional.value {
            Some(value) => object(py, value.clone()),
            None => Ok(py.None().into_bound(py)),
        },
        Value::Sparse(sparse) => Ok(Bound::new(py, SparseTensor(sparse))?.into_any()),
    }
}

/// A writable array of the elements of `tensor`: over its own memory when nobody else holds that, else over a copy.
pub(crate) fn array<'py>(py: Python<'py>, tensor: Tensor) -> Result<Bound<'py, PyAny>> {
    if tensor.dtype() == DType::String || tensor.dtype().is_packed() {
        return view(py, &tensor, true);
    }
    let tensor = owned(cuda_value::on_host(tensor)?)?;
    view(py, &tensor, true)
}

/// `tensor` if it is dense and nobody else holds its memory, else a copy.
///
/// # Errors
/// `Fail` when memory for the copy cannot be had.
pub(crate) fn owned(tensor: Tensor) -> ort_rs::Result<Tensor> {
    // What a run leaves on a device is nobody else's.
    if !tensor.memory().is_host() {
        return Ok(tensor);
    }
    let sole = matches!(**tensor.buffer(), Buffer::Heap(_) | Buffer::Strings(_)) && Arc::strong_count(tensor.buffer()) == 1;
    if sole && tensor.layout().is_dense(tensor.shape()) { Ok(tensor) } else { Tensor::copy_of(tensor.as_ref()) }
}

/// An array over the memory of a dense `tensor`; over a copy for strings and types below a byte, which numpy keeps otherwise.
///
/// # Errors
/// `Fail` when it is not dense or lies on a device.
pub(crate) fn view<'py>(py: Python<'py>, tensor: &Tensor, writable: bool) -> Result<Bound<'py, PyAny>> {
    let dtype = tensor.dtype();
    if dtype == DType::String {
        return text::array(py, tensor);
    }
    let descr = descr(py, dtype)?;
    // Checks that it is dense and the host's.
    tensor.as_ref().bytes()?;
    if dtype.is_packed() {
        let buffer = Arc::new(Buffer::copy_of(&codes(tensor)?)?);
        let address = buffer.address();
        // SAFETY: the buffer is new, and holds one byte an element, as numpy keeps types below a byte.
        return Ok(unsafe { over(py, descr, tensor.shape(), address, buffer, true)? });
    }
    // SAFETY: the tensor is dense and its buffer keeps its elements; who asks for a writable array may have them changed.
    Ok(unsafe { over(py, descr, tensor.shape(), tensor.address(), tensor.buffer().clone(), writable)? })
}

/// The elements of a packed tensor, one a byte, as `ml_dtypes` keeps them: what is left of the byte is zero.
fn codes(tensor: &Tensor) -> Result<Vec<u8>> {
    let mut codes = vec![0; tensor.len()];
    packed::unpack(tensor.dtype(), tensor.as_ref().bytes()?, 0, &mut codes)?;
    Ok(codes)
}

/// A dictionary; tensors without axes in it are plain numbers or text.
fn dictionary<'py>(py: Python<'py>, map: &Map) -> Result<Bound<'py, PyAny>> {
    let keys = array(py, map.keys.clone())?.call_method0("tolist")?;
    let dict = PyDict::new(py);
    for (key, value) in keys.cast::<PyList>()?.iter().zip(&map.values) {
        let scalar = matches!(value, Value::Tensor(t) if t.shape().is_empty());
        let object = object(py, value.clone())?;
        dict.set_item(key, if scalar { object.call_method0("item")? } else { object })?;
    }
    Ok(dict.into_any())
}
