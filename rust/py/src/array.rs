//! numpy arrays as memory: what lies where, and arrays over memory of ours.

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use numpy::npyffi::{
    self, NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_ARRAY_CARRAY_RO, NPY_ARRAY_NOTSWAPPED, NPY_ARRAY_WRITEABLE, NpyTypes,
    PY_ARRAY_API, npy_intp,
};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use ort_rs::runtime::Buffer;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// The mark of bytes in the order that this machine does not use.
const SWAPPED: u8 = if cfg!(target_endian = "little") { b'>' } else { b'<' };

/// What numpy says of an array, read from its fields.
pub(crate) struct Header {
    /// The number of its element type.
    pub(crate) type_num: c_int,
    /// Whether it is row-major without gaps, aligned, and in the byte order of the machine.
    pub(crate) plain: bool,
    /// Whether it may be written to.
    pub(crate) writable: bool,
    /// Its first byte.
    pub(crate) data: *const u8,
}

impl Header {
    /// What numpy says of `array`.
    pub(crate) fn of(array: &Bound<'_, PyUntypedArray>) -> Self {
        // SAFETY: the object is an array, so its fields and those of its type are there; the interpreter is attached while we read.
        let (array, descr) = unsafe {
            let fields = &*npyffi::_PyArray_GET_ITEM_DATA(array.as_array_ptr());
            (fields, &*npyffi::_PyDataType_GET_ITEM_DATA(fields.descr))
        };
        let needed = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED;
        let plain = array.flags & needed == needed && descr.byteorder as u8 != SWAPPED;
        let writable = array.flags & NPY_ARRAY_WRITEABLE != 0;
        Self { type_num: descr.type_num, plain, writable, data: array.data.cast_const().cast() }
    }
}

/// `array` itself if it is plain (see [`Header`]), else a plain copy.
pub(crate) fn plain<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let (py, flags) = (array.py(), NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED);
    // SAFETY: `array` is an object, no type is asked for, and the result is a new reference or an exception.
    let copy = unsafe {
        let object = PY_ARRAY_API.PyArray_CheckFromAny(py, array.as_ptr(), ptr::null_mut(), 0, 0, flags, ptr::null_mut());
        Bound::from_owned_ptr_or_err(py, object)?
    };
    Ok(copy.cast_into()?)
}

/// An array of the objects `items`, one for each element of the shape; what is left is `None`.
pub(crate) fn of_objects<'py>(
    py: Python<'py>,
    shape: &[usize],
    items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut dims: Vec<npy_intp> = shape.iter().map(|d| *d as npy_intp).collect();
    let descr = PyArrayDescr::object(py).into_dtype_ptr();
    // SAFETY: `dims` has as many sizes as we say; the reference to the type is given away, as numpy asks; the result is checked.
    let array = unsafe {
        let array = PY_ARRAY_API.PyArray_Empty(py, dims.len() as c_int, dims.as_mut_ptr(), descr, 0);
        Bound::from_owned_ptr_or_err(py, array)?
    };
    let len = shape.iter().product();
    let data = Header::of(array.cast::<PyUntypedArray>()?).data.cast_mut().cast::<*mut PyObject>();
    for (i, item) in items.take(len).enumerate() {
        let item = item?.into_ptr();
        // SAFETY: the array is new, dense and ours alone, and `i` lies in it. Its element owns a reference, which we give up.
        unsafe { drop(Bound::from_owned_ptr(py, data.add(i).replace(item))) };
    }
    Ok(array)
}

/// An array of type `descr` over the elements at `data`, in memory that `owner` keeps alive.
///
/// # Safety
/// At `data`, aligned for the type, lie the elements of a dense tensor of that type and shape, for as long as `owner` lives. If the
/// array is `writable`, nobody counts on them staying as they are.
pub(crate) unsafe fn over<'py>(
    py: Python<'py>,
    descr: Bound<'py, PyArrayDescr>,
    shape: &[usize],
    data: *const u8,
    owner: Arc<Buffer>,
    writable: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let mut inline = [0 as npy_intp; 8];
    let mut long: Vec<npy_intp> = Vec::new();
    let dims: &mut [npy_intp] = match inline.get_mut(..shape.len()) {
        Some(dims) => dims,
        None => {
            long.resize(shape.len(), 0);
            &mut long
        }
    };
    dims.iter_mut().zip(shape).for_each(|(d, s)| *d = *s as npy_intp);
    let data = data.cast_mut().cast::<c_void>();
    let base = keeper(py, owner)?;
    let flags = NPY_ARRAY_CARRAY_RO | if writable { NPY_ARRAY_WRITEABLE } else { 0 };
    // SAFETY: `dims` has as many sizes as we say; the caller vouches for the memory; null strides mean row-major; the reference to
    // the type is given away, as numpy asks; both results are checked. `SetBaseObject` takes the reference to `base` even if it fails.
    unsafe {
        let class = npyffi::get_type_object(py, NpyTypes::PyArray_Type);
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class,
            descr.into_dtype_ptr(),
            dims.len() as c_int,
            dims.as_mut_ptr(),
            ptr::null_mut(),
            data,
            flags,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), base.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// An object that holds a share of `buffer` until it dies.
fn keeper(py: Python<'_>, buffer: Arc<Buffer>) -> PyResult<Bound<'_, PyCapsule>> {
    // SAFETY: `into_raw` gives no null pointer.
    let pointer = unsafe { NonNull::new_unchecked(Arc::into_raw(buffer).cast_mut().cast()) };
    // SAFETY: the pointer is a share of a buffer, which `release` takes back, from any thread.
    unsafe { PyCapsule::new_with_pointer_and_destructor(py, pointer, c"ort_rs.buffer", Some(release)) }
}

/// Gives up the share of a buffer that a capsule of [`keeper`] holds.
unsafe extern "C" fn release(capsule: *mut PyObject) {
    // SAFETY: only `keeper` makes capsules with this destructor, under this name and around such a share; it runs once.
    unsafe {
        let pointer = pyo3::ffi::PyCapsule_GetPointer(capsule, c"ort_rs.buffer".as_ptr());
        if !pointer.is_null() {
            drop(Arc::from_raw(pointer.cast_const().cast::<Buffer>()));
        }
    }
}
