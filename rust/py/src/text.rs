//! String tensors, as numpy has them: arrays of objects, of text, of bytes, or of raw items.

use std::ffi::c_int;

use numpy::npyffi::NPY_TYPES;
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::{Shape, Strings, Tensor};
use pyo3::exceptions::PyUnicodeDecodeError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::array::{Header, of_objects, plain};
use crate::error::Result;

/// The strings of `array`.
///
/// Objects that are no strings count as what `str` makes of them. Items of fixed width end before their trailing NUL characters, as
/// numpy reads them; raw items (`V`) keep them.
///
/// # Errors
/// `UnicodeError` for bytes that are not UTF-8, and text that cannot be written in it.
pub(crate) fn tensor(array: &Bound<'_, PyUntypedArray>) -> Result<Tensor> {
    let is = |ty: NPY_TYPES| Header::of(array).type_num == ty as c_int;
    if is(NPY_TYPES::NPY_VSTRING) {
        let objects = array.call_method1("astype", ("O",))?;
        return tensor(objects.cast()?);
    }
    let array = plain(array)?;
    let shape = Shape::from(array.shape());
    let len = array.len();
    let mut strings = Strings::with_room(len, 0)?;
    if is(NPY_TYPES::NPY_OBJECT) {
        objects(&array, len, &mut strings)?;
    } else {
        let width = array.dtype().itemsize();
        let data = Header::of(&array).data;
        // SAFETY: a plain array has `len` items of `width` bytes, one after the other; we hold it.
        let bytes = unsafe { std::slice::from_raw_parts(data, len * width) };
        let item = |i: usize| &bytes[i * width..(i + 1) * width];
        for i in 0..len {
            match () {
                () if is(NPY_TYPES::NPY_UNICODE) => strings.push(&wide(array.py(), item(i))?),
                () if is(NPY_TYPES::NPY_STRING) => strings.push(utf8(array.py(), before_nul(item(i)))?),
                () => strings.push(utf8(array.py(), item(i))?),
            }
        }
    }
    Ok(Tensor::from_strings(shape, strings)?)
}

/// The elements of a string tensor as an array of `str` objects.
pub(crate) fn array<'py>(py: Python<'py>, tensor: &Tensor) -> Result<Bound<'py, PyAny>> {
    let strings = tensor.as_ref().strings()?;
    let items = strings.iter().map(|s| Ok(PyString::new(py, s).into_any()));
    Ok(of_objects(py, tensor.shape(), items)?)
}

/// Appends the `len` objects of `array`.
fn objects(array: &Bound<'_, PyUntypedArray>, len: usize, strings: &mut Strings) -> PyResult<()> {
    let data = Header::of(array).data.cast::<*mut PyObject>();
    for i in 0..len {
        // SAFETY: a plain array of objects has `len` pointers, one after the other; it holds them, and a null pointer stands for `None`.
        let object = unsafe { Bound::from_borrowed_ptr_or_opt(array.py(), *data.add(i)) };
        let object = object.unwrap_or_else(|| array.py().None().into_bound(array.py()));
        match (object.cast::<PyString>(), object.cast::<PyBytes>()) {
            (Ok(text), _) => strings.push(text.to_str()?),
            (_, Ok(bytes)) => strings.push(utf8(array.py(), bytes.as_bytes())?),
            _ => strings.push(object.str()?.to_str()?),
        }
    }
    Ok(())
}

fn before_nul(item: &[u8]) -> &[u8] {
    let end = item.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    &item[..end]
}

fn utf8<'a>(py: Python<'_>, bytes: &'a [u8]) -> PyResult<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| PyUnicodeDecodeError::new_err_from_utf8(py, bytes, e))
}

/// The text of an item of 32-bit characters in the order of the machine.
fn wide(py: Python<'_>, item: &[u8]) -> PyResult<String> {
    let code = |c: &[u8]| c.try_into().map_or(0, u32::from_ne_bytes);
    let codes = || item.chunks_exact(4).map(code);
    let end = codes().rposition(|c| c != 0).map_or(0, |last| last + 1);
    // Surrogates are all that a Python string may hold and UTF-8 may not.
    let refuse = || PyUnicodeDecodeError::new_err(("utf-32", PyBytes::new(py, item).unbind(), 0, item.len(), "a lone surrogate"));
    codes().take(end).map(|c| char::from_u32(c).ok_or_else(refuse)).collect()
}
