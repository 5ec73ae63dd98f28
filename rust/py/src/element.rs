//! Element types as arguments: a type of numpy, or a number of `onnx.TensorProto.DataType`.

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use ort_rs::DType;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::dtype;
use crate::error::{Result, runtime_error};

/// The type of elements that `object` names.
///
/// # Errors
/// `RuntimeError` for a number or type that ONNX has not got, `TypeError` for what names no type at all.
pub(crate) fn of(object: &Bound<'_, PyAny>) -> Result<DType> {
    if object.is_instance_of::<PyInt>() {
        return of_number(object.extract()?);
    }
    dtype::of_type_num(object.py(), PyArrayDescr::new(object.py(), object)?.num())
}

/// The type of elements with the number `number`.
///
/// # Errors
/// `RuntimeError` for a number that ONNX has not got.
pub(crate) fn of_number(number: i32) -> Result<DType> {
    DType::from_proto(number).ok_or_else(|| runtime_error(format!("tensor type {number} is not supported")))
}

/// The sizes of axes, given as a sequence of whole numbers.
///
/// # Errors
/// `RuntimeError` for a negative one, `TypeError` for anything else.
pub(crate) fn shape_of(object: &Bound<'_, PyAny>) -> Result<ort_rs::Shape> {
    let sizes = object.try_iter()?.map(|size| size?.extract()).collect::<PyResult<Vec<i64>>>()?;
    let size = |s: &i64| usize::try_from(*s).map_err(|_| runtime_error(format!("shape {sizes:?} has a negative size")));
    sizes.iter().map(size).collect()
}
