//! What is fetched: values become Python objects, memory and all where that is possible.

use std::sync::Arc;

use ort_rs::{Buffer, DType, Map, Tensor, Value, packed};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::array::over;
use crate::dtype::descr;
use crate::error::Result;
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
fn array<'py>(py: Python<'py>, tensor: Tensor) -> Result<Bound<'py, PyAny>> {
    let dtype = tensor.dtype();
    if dtype == DType::String {
        return text::array(py, &tensor);
    }
    let descr = descr(py, dtype)?;
    if dtype.is_packed() {
        let buffer = Arc::new(Buffer::copy_of(&codes(&tensor)?)?);
        // SAFETY: the buffer is new, and holds one byte an element, as numpy keeps types below a byte.
        return Ok(unsafe { over(py, descr, tensor.shape(), buffer, 0)? });
    }
    let sole = matches!(**tensor.buffer(), Buffer::Heap(_)) && Arc::strong_count(tensor.buffer()) == 1;
    let tensor = if sole && tensor.layout().is_dense(tensor.shape()) { tensor } else { Tensor::copy_of(tensor.as_ref())? };
    let (buffer, offset, shape) = (tensor.buffer().clone(), tensor.offset(), tensor.shape().clone());
    drop(tensor);
    // SAFETY: the tensor was dense and its buffer on the heap, and ours alone: either counted above, or just made.
    Ok(unsafe { over(py, descr, &shape, buffer, offset)? })
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

/// An array of mostly zeros, kept as its other elements and their places.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct SparseTensor(Arc<ort_rs::SparseTensor>);

#[pymethods]
impl SparseTensor {
    /// The elements that are not zero.
    fn values<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        array(py, self.0.values.clone())
    }

    /// Their places: flat, or one row of coordinates each.
    fn indices<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>> {
        array(py, self.0.indices.clone())
    }

    /// The shape of the whole array.
    fn dense_shape(&self) -> Vec<usize> {
        self.0.shape.to_vec()
    }

    /// Its type, such as `sparse_tensor(float)`.
    fn data_type(&self) -> String {
        Value::Sparse(self.0.clone()).ty().to_string()
    }
}
