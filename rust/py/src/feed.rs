//! What is fed: Python objects become values, memory and all where that is possible.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::{Buffer, DType, Error, ErrorKind, Foreign, Layout, Map, Optional, Sequence, Shape, Tensor, Type, Value, packed};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::array::{Header, plain};
use crate::dtype;
use crate::error::{Failure, Result, runtime_error};
use crate::text;

/// The value that `object` is to input `name` of type `ty`.
///
/// Arrays keep their own type; lists of numbers or text take that of the input.
///
/// # Errors
/// `RuntimeError` for an object that is no value at all, `InvalidArgument` for one of another kind, each with ONNX Runtime's text.
pub(crate) fn value(object: &Bound<'_, PyAny>, ty: &Type, name: &str) -> Result<Value> {
    if let Type::Optional(element) = ty {
        let value = if object.is_none() { None } else { Some(value(object, element, name)?) };
        return Ok(Value::Optional(Arc::new(Optional { element: (**element).clone(), value })));
    }
    if let Ok(array) = object.cast::<PyUntypedArray>() {
        return Ok(Value::Tensor(tensor(array)?));
    }
    match ty {
        _ if object.is_none() => Err(Error::new(ErrorKind::Fail, format!("Missing Input: {name}")).into()),
        Type::Sequence(element) => sequence(object, element, name),
        Type::Map(key, element) => map(object, *key, element, name),
        Type::Tensor(dtype) => other_tensor(object, *dtype, ty, name),
        Type::Sparse(_) | Type::Optional(_) => Err(unknown_kind(object, ty, name)),
    }
}

/// The tensor that an array is: over the memory of the array where that is dense, aligned and in the byte order of the machine.
///
/// # Errors
/// `RuntimeError` when the type of the array is none of ONNX.
pub(crate) fn tensor(array: &Bound<'_, PyUntypedArray>) -> Result<Tensor> {
    let header = Header::of(array);
    let dtype = dtype::of_type_num(array.py(), header.type_num)?;
    if dtype == DType::String {
        return text::tensor(array);
    }
    let (array, header) = if header.plain {
        (array.clone(), header)
    } else {
        let copy = plain(array)?;
        let header = Header::of(&copy);
        (copy, header)
    };
    let shape = Shape::from(array.shape());
    let len = array.len();
    let width = dtype.size().unwrap_or(1);
    if dtype.bits() != 8 * width {
        return Ok(Tensor::from_bytes(dtype, shape, &packed::pack(dtype, bytes_of(&array, &header, len))?)?);
    }
    if dtype == DType::Bool {
        let bytes = bytes_of(&array, &header, len);
        // numpy keeps 0 and 1, but a view of other bytes as booleans may hold anything.
        if bytes.iter().fold(0, |all, b| all | b) > 1 {
            let truth: Vec<u8> = bytes.iter().map(|b| u8::from(*b != 0)).collect();
            return Ok(Tensor::from_bytes(dtype, shape, &truth)?);
        }
    }
    debug_assert_eq!(array.dtype().itemsize(), width);
    // SAFETY: a plain array has `len` elements of `width` bytes, one after the other. They stay where they are while the array lives,
    // for numpy moves the memory of an array only when nobody else holds it. That nobody writes during a run is the caller's part.
    let foreign = unsafe { Foreign::new(header.data, len * width, Box::new(array.unbind())) };
    Ok(Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::Foreign(foreign)), 0)?)
}

/// The bytes of a plain array of `len` elements of one byte.
fn bytes_of<'a>(array: &'a Bound<'_, PyUntypedArray>, header: &Header, len: usize) -> &'a [u8] {
    debug_assert_eq!(array.dtype().itemsize(), 1);
    if len == 0 {
        return &[];
    }
    // SAFETY: a plain array of one-byte elements has `len` of them, one after the other, and is borrowed as long as the result.
    unsafe { std::slice::from_raw_parts(header.data, len) }
}

/// A tensor from what is no array: a nested list, a scalar of numpy, or an array of another library (`__array__`, `__dlpack__`).
fn other_tensor(object: &Bound<'_, PyAny>, dtype: DType, ty: &Type, name: &str) -> Result<Value> {
    let py = object.py();
    let numpy = py.import(intern!(py, "numpy"))?;
    let array = if object.is_instance_of::<PyList>() {
        let converted = numpy.call_method1(intern!(py, "array"), (object, dtype::descr(py, dtype)?));
        converted.map_err(|e| with_cause(py, "Could not create tensor from given input list", e))?
    } else if object.hasattr(intern!(py, "__array__"))? {
        numpy.call_method1(intern!(py, "asarray"), (object,))?
    } else if object.hasattr(intern!(py, "__dlpack__"))? {
        numpy.call_method1(intern!(py, "from_dlpack"), (object,))?
    } else {
        return Err(unknown_kind(object, ty, name));
    };
    Ok(Value::Tensor(tensor(array.cast()?)?))
}

/// A plain `RuntimeError` that says `text`, caused by `cause`.
fn with_cause(py: Python<'_>, text: &str, cause: PyErr) -> Failure {
    let error: PyErr = runtime_error(text).into();
    error.set_cause(py, Some(cause));
    Failure::Python(error)
}

/// The error for an object that is no value of type `ty`.
fn unknown_kind(object: &Bound<'_, PyAny>, ty: &Type, name: &str) -> Failure {
    if object.is_instance_of::<PyDict>() || object.is_instance_of::<PyList>() {
        let class = object.get_type();
        let text = format!("Unexpected input data type. Actual: ({class}) , expected: ({ty})");
        return Error::new(ErrorKind::InvalidArgument, text).into();
    }
    match object.try_iter() {
        Ok(_) => runtime_error(format!("Input must be a list of dictionaries or a single numpy array for input '{name}'.")),
        Err(_) => runtime_error(format!("Unable to handle object of type {}", object.get_type())),
    }
}

fn sequence(object: &Bound<'_, PyAny>, element: &Type, name: &str) -> Result<Value> {
    let Ok(list) = object.cast::<PyList>() else {
        return Err(unknown_kind(object, &Type::Sequence(Box::new(element.clone())), name));
    };
    let values = list.iter().map(|item| value(&item, element, name)).collect::<Result<Vec<Value>>>()?;
    Ok(Sequence { element: element.clone(), values }.into())
}

fn map(object: &Bound<'_, PyAny>, key: DType, element: &Type, name: &str) -> Result<Value> {
    let ty = || Type::Map(key, Box::new(element.clone()));
    let Ok(dict) = object.cast::<PyDict>() else {
        return Err(unknown_kind(object, &ty(), name));
    };
    let keys: Tensor = match key {
        DType::String => {
            let keys = dict.keys().iter().map(|k| k.extract::<String>()).collect::<PyResult<Vec<_>>>();
            Tensor::from_strings([dict.len()], keys.map_err(|_| key_error(dict, name, "std::string"))?.into_iter().collect())?
        }
        _ => {
            let keys = dict.keys().iter().map(|k| k.extract::<i64>()).collect::<PyResult<Vec<_>>>();
            Tensor::from_slice([dict.len()], &keys.map_err(|_| key_error(dict, name, "int64_t"))?)?
        }
    };
    let values = dict.values().iter().map(|item| map_value(&item, element, name)).collect::<Result<Vec<Value>>>()?;
    Ok(Value::Map(Arc::new(Map { keys, value: element.clone(), values })))
}

/// A value of a dictionary: a number or text is a tensor without axes.
fn map_value(object: &Bound<'_, PyAny>, element: &Type, name: &str) -> Result<Value> {
    let Type::Tensor(dtype) = element else { return value(object, element, name) };
    let py = object.py();
    let array = py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "asarray"), (object, dtype::descr(py, *dtype)?))?;
    Ok(Value::Tensor(tensor(array.cast()?)?))
}

fn key_error(dict: &Bound<'_, PyDict>, name: &str, wanted: &str) -> Failure {
    let class = dict.keys().iter().next().map_or_else(String::new, |k| k.get_type().to_string());
    runtime_error(format!("Unexpected key type {class}, it cannot be linked to C type {wanted} for input '{name}'."))
}
