//! numpy's element types and ours.

use std::ffi::{c_int, c_long};

use numpy::npyffi::{NPY_TYPES, PY_ARRAY_API};
use numpy::{PyArrayDescr, PyArrayDescrMethods};
use ort_rs::DType;
use pyo3::exceptions::{PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::error::{Result, runtime_error};

const WIDE_LONG: bool = size_of::<c_long>() == 8;

/// numpy's own types and what they are to us, the most common first; what is not listed has no counterpart in ONNX.
///
/// Where several stand for one of ours, the first is what results have.
const BUILTIN: [(NPY_TYPES, DType); 21] = [
    (NPY_TYPES::NPY_FLOAT, DType::F32),
    (NPY_TYPES::NPY_INT, DType::I32),
    (NPY_TYPES::NPY_LONG, if WIDE_LONG { DType::I64 } else { DType::I32 }),
    (NPY_TYPES::NPY_LONGLONG, DType::I64),
    (NPY_TYPES::NPY_BOOL, DType::Bool),
    (NPY_TYPES::NPY_HALF, DType::F16),
    (NPY_TYPES::NPY_DOUBLE, DType::F64),
    (NPY_TYPES::NPY_BYTE, DType::I8),
    (NPY_TYPES::NPY_UBYTE, DType::U8),
    (NPY_TYPES::NPY_SHORT, DType::I16),
    (NPY_TYPES::NPY_USHORT, DType::U16),
    (NPY_TYPES::NPY_UINT, DType::U32),
    (NPY_TYPES::NPY_ULONG, if WIDE_LONG { DType::U64 } else { DType::U32 }),
    (NPY_TYPES::NPY_ULONGLONG, DType::U64),
    (NPY_TYPES::NPY_CFLOAT, DType::C64),
    (NPY_TYPES::NPY_CDOUBLE, DType::C128),
    (NPY_TYPES::NPY_OBJECT, DType::String),
    (NPY_TYPES::NPY_STRING, DType::String),
    (NPY_TYPES::NPY_UNICODE, DType::String),
    (NPY_TYPES::NPY_VOID, DType::String),
    (NPY_TYPES::NPY_VSTRING, DType::String),
];

/// The types that numpy itself lacks, as the package `ml_dtypes` names them.
const EXTENSIONS: [(DType, &str); 13] = [
    (DType::BF16, "bfloat16"),
    (DType::F8E4M3FN, "float8_e4m3fn"),
    (DType::F8E4M3FNUZ, "float8_e4m3fnuz"),
    (DType::F8E5M2, "float8_e5m2"),
    (DType::F8E5M2FNUZ, "float8_e5m2fnuz"),
    (DType::F8E8M0, "float8_e8m0fnu"),
    (DType::I4, "int4"),
    (DType::U4, "uint4"),
    (DType::I2, "int2"),
    (DType::U2, "uint2"),
    (DType::F4E2M1, "float4_e2m1fn"),
    (DType::F6E2M3, "float6_e2m3fn"),
    (DType::F6E3M2, "float6_e3m2fn"),
];

/// An extension type as this process has it.
struct Extension {
    dtype: DType,
    descr: Py<PyArrayDescr>,
    /// Its number among numpy's types; `None` when other bits stand in for it.
    type_num: Option<c_int>,
}

/// The extension types as this process has them.
fn extensions(py: Python<'_>) -> PyResult<&'static [Extension]> {
    static TABLE: PyOnceLock<Vec<Extension>> = PyOnceLock::new();
    let table = TABLE.get_or_try_init(py, || {
        let package = match py.import("ml_dtypes") {
            Ok(package) => Some(package),
            Err(e) if e.is_instance_of::<PyImportError>(py) => None,
            Err(e) => return Err(e),
        };
        let extension = |&(dtype, name): &(DType, &str)| {
            // Old releases of the package lack some of the types.
            let class = package.as_ref().and_then(|p| p.getattr(name).ok());
            let known = class.is_some();
            let descr = match class {
                Some(class) => PyArrayDescr::new(py, class)?,
                None => PyArrayDescr::new(py, if dtype.bits() == 16 { "uint16" } else { "uint8" })?,
            };
            Ok(Extension { dtype, type_num: known.then(|| descr.num()), descr: descr.unbind() })
        };
        EXTENSIONS.iter().map(extension).collect::<PyResult<Vec<_>>>()
    })?;
    Ok(table)
}

/// The element type of arrays of numpy's type `type_num`: [`DType::String`] for objects, text, bytes and raw items.
///
/// # Errors
/// `RuntimeError` for a type that is no element type of ONNX.
pub(crate) fn of_type_num(py: Python<'_>, type_num: c_int) -> Result<DType> {
    if let Some((_, dtype)) = BUILTIN.iter().find(|(ty, _)| *ty as c_int == type_num) {
        return Ok(*dtype);
    }
    let found = extensions(py)?.iter().find(|e| e.type_num == Some(type_num));
    found.map(|e| e.dtype).ok_or_else(|| runtime_error(format!("Numpy_type {type_num} can't be converted to MLDataType.")))
}

/// The type of arrays that hold elements of `dtype`; objects for strings.
///
/// Where `ml_dtypes` is missing, unsigned integers of the same width hold the bits of the types that only it has.
pub(crate) fn descr<'py>(py: Python<'py>, dtype: DType) -> PyResult<Bound<'py, PyArrayDescr>> {
    let Some((ty, _)) = BUILTIN.iter().find(|(_, d)| *d == dtype) else {
        let found = extensions(py)?.iter().find(|e| e.dtype == dtype);
        let missing = || PyTypeError::new_err(format!("numpy has no type for {dtype}"));
        return Ok(found.ok_or_else(missing)?.descr.bind(py).clone());
    };
    // SAFETY: the number is one of numpy's own types, for which this gives a new reference.
    unsafe {
        let descr = PY_ARRAY_API.PyArray_DescrFromType(py, *ty as c_int);
        Ok(Bound::from_owned_ptr_or_err(py, descr.cast())?.cast_into_unchecked())
    }
}
