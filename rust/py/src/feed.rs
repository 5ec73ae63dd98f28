//! What is fed: Python objects become values, memory and all where that is possible.

use std::sync::Arc;

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::runtime::{Buffer, Foreign, Layout, packed};
use ort_rs::{DType, Error, ErrorKind, Map, Optional, Sequence, Shape, Tensor, Type, Value};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::array::{Header, plain};
use crate::cuda_value;
use crate::dlpack;
use crate::dtype;
use crate::error::{Failure, Result, runtime_error};
use crate::ort_value::OrtValue;
use crate::sparse::SparseTensor;
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
    if let Ok(value) = object.cast::<OrtValue>() {
        return value.get().feed();
    }
    if let Ok(sparse) = object.cast::<SparseTensor>() {
        return Ok(Value::Sparse(sparse.get().0.clone()));
    }
    if object.is_none() {
        return Err(Error::new(ErrorKind::Fail, format!("Missing Input: {name}")).into());
    }
    if let Ok(dict) = object.cast::<PyDict>() {
        return map(dict, ty, name);
    }
    match (object.cast::<PyList>(), ty) {
        (Ok(list), Type::Sequence(element)) => sequence(list, element, name),
        (Ok(list), Type::Tensor(dtype)) => nested(list, *dtype),
        _ => borrowed(object, name),
    }
}

/// The tensor that an array is: over the memory of the array where that is dense, aligned and in the byte order of the machine.
///
/// # Errors
/// `RuntimeError` when the type of the array is none of ONNX.
pub(crate) fn tensor(array: &Bound<'_, PyUntypedArray>) -> Result<Tensor> {
    tensor_of_type(array, dtype::of_type_num(array.py(), Header::of(array).type_num)?)
}

/// The same with the bytes of the array taken for elements of `dtype`, which are as wide as its items.
///
/// # Errors
/// As [`tensor`].
pub(crate) fn tensor_of_type(array: &Bound<'_, PyUntypedArray>, dtype: DType) -> Result<Tensor> {
    if dtype == DType::String {
        return text::tensor(array);
    }
    let header = Header::of(array);
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
    debug_assert_eq!(array.dtype().itemsize(), width);
    // SAFETY: a plain array has `len` elements of `width` bytes, one after the other. They stay where they are while the array lives,
    // for numpy moves the memory of an array only when nobody else holds it. That nobody writes during a run is the caller's part.
    let foreign = unsafe { Foreign::new(header.data, len * width, Box::new(array.unbind())) };
    let tensor = Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::Foreign(foreign)), 0)?;
    if dtype == DType::Bool { checked_bools(&tensor) } else { Ok(tensor) }
}

/// `tensor`, of booleans; a copy when some are neither 0 nor 1. numpy keeps these two, but a view of other bytes may hold anything.
///
/// # Errors
/// `Fail` when memory for the copy cannot be had.
pub(crate) fn checked_bools(tensor: &Tensor) -> Result<Tensor> {
    let bytes = tensor.as_ref().bytes()?;
    if bytes.iter().fold(0, |all, b| all | b) <= 1 {
        return Ok(tensor.clone());
    }
    let truth: Vec<u8> = bytes.iter().map(|b| u8::from(*b != 0)).collect();
    Ok(Tensor::from_bytes(DType::Bool, tensor.shape().clone(), &truth)?)
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

/// A tensor from a nested list of numbers or text.
fn nested(list: &Bound<'_, PyList>, dtype: DType) -> Result<Value> {
    let py = list.py();
    let array = numpy(py)?.call_method1(intern!(py, "array"), (list, dtype::descr(py, dtype)?));
    let array = array.map_err(|e| with_cause(py, "Could not create tensor from given input list", e))?;
    Ok(Value::Tensor(tensor(array.cast()?)?))
}

/// A tensor from a scalar of numpy or an array of another library, which lends its memory (`__cuda_array_interface__`, `__array__`,
/// `__array_interface__`, `__dlpack__`).
fn borrowed(object: &Bound<'_, PyAny>, name: &str) -> Result<Value> {
    let py = object.py();
    if let Some((tensor, _)) = cuda_value::borrow(object)? {
        return Ok(Value::Tensor(tensor));
    }
    if let Some(tensor) = dlpack::on_cuda(object)? {
        return Ok(Value::Tensor(tensor));
    }
    let array = if object.hasattr(intern!(py, "__array__"))? || object.hasattr(intern!(py, "__array_interface__"))? {
        numpy(py)?.call_method1(intern!(py, "asarray"), (object,))?
    } else if object.hasattr(intern!(py, "__dlpack__"))? {
        numpy(py)?.call_method1(intern!(py, "from_dlpack"), (object,))?
    } else if object.try_iter().is_ok() {
        return Err(runtime_error(format!("Input must be a list of dictionaries or a single numpy array for input '{name}'.")));
    } else {
        return Err(runtime_error(format!("Unable to handle object of type {}", object.get_type())));
    };
    Ok(Value::Tensor(tensor(array.cast()?)?))
}

fn numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "numpy"))
}

/// A plain `RuntimeError` that says `text`, caused by `cause`.
fn with_cause(py: Python<'_>, text: &str, cause: PyErr) -> Failure {
    let error: PyErr = runtime_error(text).into();
    error.set_cause(py, Some(cause));
    Failure::Python(error)
}

fn sequence(list: &Bound<'_, PyList>, element: &Type, name: &str) -> Result<Value> {
    let values = list.iter().map(|item| value(&item, element, name)).collect::<Result<Vec<Value>>>()?;
    if let Some(other) = values.iter().map(Value::ty).find(|ty| matches!((ty, element), (Type::Tensor(a), Type::Tensor(b)) if a != b)) {
        let text = "TensorSeq: tensor to be added has a different data type";
        return Err(runtime_error(format!("{text}: {other} in input '{name}', whose elements are {element}.")));
    }
    Ok(Sequence { element: element.clone(), values }.into())
}

/// A dictionary: from text if its first key is text, else from whole numbers. Its values are of the type that `ty` asks for.
fn map(dict: &Bound<'_, PyDict>, ty: &Type, name: &str) -> Result<Value> {
    let element = match ty {
        Type::Map(_, element) => (**element).clone(),
        _ => Type::Tensor(DType::F32),
    };
    if dict.is_empty() {
        return Err(runtime_error(format!("Size of dictionary is empty, unable to run the prediction: input '{name}'.")));
    }
    let (keys, first) = (dict.keys(), dict.keys().iter().next());
    let text = first.is_some_and(|k| k.is_instance_of::<PyString>());
    let keys = if text {
        let strings = keys.iter().map(|k| k.extract().map_err(|_| unlinked("key", &k, "std::string", name)));
        Tensor::from_strings([dict.len()], strings.collect::<Result<Vec<String>>>()?.into_iter().collect())?
    } else {
        let numbers = keys.iter().map(|k| k.extract().map_err(|_| unlinked("key", &k, "int64_t", name)));
        Tensor::from_slice([dict.len()], &numbers.collect::<Result<Vec<i64>>>()?)?
    };
    let values = dict.values().iter().map(|item| map_value(&item, &element, name)).collect::<Result<Vec<Value>>>()?;
    Ok(Value::Map(Arc::new(Map { keys, value: element, values })))
}

/// A value of a dictionary: a number or text is a tensor without axes.
fn map_value(object: &Bound<'_, PyAny>, element: &Type, name: &str) -> Result<Value> {
    let Type::Tensor(dtype) = element else { return value(object, element, name) };
    // numpy takes nothing for a number that is none.
    if object.is_none() {
        return Err(unlinked("value", object, dtype.name(), name));
    }
    let py = object.py();
    let array = numpy(py)?.call_method1(intern!(py, "asarray"), (object, dtype::descr(py, *dtype)?));
    let array = array.map_err(|_| unlinked("value", object, dtype.name(), name))?;
    Ok(Value::Tensor(tensor(array.cast()?)?))
}

/// The error for a key or value of a dictionary that is of another type than its input asks for.
fn unlinked(role: &str, object: &Bound<'_, PyAny>, wanted: &str, name: &str) -> Failure {
    let class = object.get_type();
    runtime_error(format!("Unexpected {role} type  {class}, it cannot be linked to C type {wanted} for input '{name}'."))
}
