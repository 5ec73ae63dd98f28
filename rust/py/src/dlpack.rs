//! Tensors lent to other libraries and borrowed from them through DLPack, without a copy.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use ort_rs::runtime::{Buffer, Foreign, Layout};
use ort_rs::{DType, Shape, Tensor};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi::{self, PyObject};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict};

use crate::cuda_value;
use crate::error::{Result, runtime_error};

/// The name of a capsule that nobody has taken yet, and of one that somebody has.
const FRESH: &std::ffi::CStr = c"dltensor";
const USED: &std::ffi::CStr = c"used_dltensor";

/// The memory of the host, and the part of it that CUDA has pinned.
const HOST: i32 = 1;
const PINNED: i32 = 3;
/// The memory of a CUDA device.
pub(crate) const CUDA: i32 = 2;
/// The CPU among devices.
pub(crate) const CPU: (i32, i32) = (HOST, 0);

#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
struct DlType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    dtype: DlType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct DlManagedTensor {
    tensor: DlTensor,
    manager: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut DlManagedTensor)>,
}

/// Element types and DLPack's code for their kind; the width comes from the type. `bool` goes out as `uint8`, as ONNX Runtime has it.
const CODES: [(DType, u8); 20] = [
    (DType::F32, 2),
    (DType::F64, 2),
    (DType::F16, 2),
    (DType::I8, 0),
    (DType::I16, 0),
    (DType::I32, 0),
    (DType::I64, 0),
    (DType::U8, 1),
    (DType::U16, 1),
    (DType::U32, 1),
    (DType::U64, 1),
    (DType::BF16, 4),
    (DType::C64, 5),
    (DType::C128, 5),
    (DType::Bool, 6),
    (DType::F8E4M3FN, 10),
    (DType::F8E4M3FNUZ, 11),
    (DType::F8E5M2, 12),
    (DType::F8E5M2FNUZ, 13),
    (DType::F8E8M0, 14),
];

fn code_of(dtype: DType) -> Result<DlType> {
    let plain = if dtype == DType::Bool { DType::U8 } else { dtype };
    let code = CODES.iter().find(|(d, _)| *d == plain).map(|(_, code)| *code);
    let code = code.ok_or_else(|| runtime_error(format!("DLPack has no type for tensor({dtype})")))?;
    Ok(DlType { code, bits: plain.bits() as u8, lanes: 1 })
}

fn dtype_of(ty: DlType, is_bool: bool) -> Result<DType> {
    if is_bool && ty.bits == 8 && matches!(ty.code, 1 | 6) {
        return Ok(DType::Bool);
    }
    let found = CODES.iter().find(|(d, code)| *code == ty.code && d.bits() == usize::from(ty.bits) && ty.lanes == 1);
    found.map(|(d, _)| *d).ok_or_else(|| runtime_error(format!("Unsupported code {} with {} bits", ty.code, ty.bits)))
}

/// What keeps a lent tensor alive.
struct Lent {
    managed: DlManagedTensor,
    shape: Vec<i64>,
    strides: Vec<i64>,
    _tensor: Tensor,
}

/// A capsule that lends `tensor` to whoever takes it.
///
/// # Errors
/// `RuntimeError` for strings, packed types, and tensors on devices other than those of CUDA.
pub(crate) fn lend<'py>(py: Python<'py>, tensor: &Tensor) -> Result<Bound<'py, PyAny>> {
    let dtype = code_of(tensor.dtype())?;
    let (device_type, device_id) = cuda_value::ordinal(tensor).map_or(CPU, |ordinal| (CUDA, ordinal.into()));
    let reached = tensor.memory().is_host() == (device_type == HOST);
    let Some(strides) = tensor.layout().strides(tensor.shape()).filter(|_| reached) else {
        return Err(runtime_error("only tensors of the host and of CUDA devices, without blocked channels, are lent"));
    };
    let mut lent = Box::new(Lent {
        managed: DlManagedTensor {
            tensor: DlTensor {
                data: tensor.address().cast_mut().cast(),
                device_type,
                device_id,
                ndim: tensor.shape().len() as i32,
                dtype,
                shape: ptr::null_mut(),
                strides: ptr::null_mut(),
                byte_offset: 0,
            },
            manager: ptr::null_mut(),
            deleter: Some(give_up),
        },
        shape: tensor.shape().iter().map(|d| *d as i64).collect(),
        strides: strides.iter().map(|s| *s as i64).collect(),
        _tensor: tensor.clone(),
    });
    (lent.managed.tensor.shape, lent.managed.tensor.strides) = (lent.shape.as_mut_ptr(), lent.strides.as_mut_ptr());
    let lent = Box::into_raw(lent);
    // SAFETY: `lent` is a box that was given up just now; the manager is read back by `give_up` alone.
    let pointer = unsafe {
        (*lent).managed.manager = lent.cast();
        NonNull::new_unchecked(&raw mut (*lent).managed).cast()
    };
    // SAFETY: the pointer is a managed tensor, which `drop_unused` frees unless somebody has taken it by then.
    let capsule = unsafe { PyCapsule::new_with_pointer_and_destructor(py, pointer, FRESH, Some(drop_unused)) };
    Ok(capsule?.into_any())
}

/// Frees a lent tensor; its borrower calls this once, from any thread.
unsafe extern "C" fn give_up(managed: *mut DlManagedTensor) {
    // SAFETY: `lend` put the box of the tensor there, and a borrower calls its deleter once.
    drop(unsafe { Box::from_raw((*managed).manager.cast::<Lent>()) });
}

/// Frees the tensor of a capsule that nobody took.
unsafe extern "C" fn drop_unused(capsule: *mut PyObject) {
    // SAFETY: `lend` makes the only capsules with this destructor; their name tells whether the tensor is still theirs.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, FRESH.as_ptr()) == 1 {
            let managed = ffi::PyCapsule_GetPointer(capsule, FRESH.as_ptr()).cast::<DlManagedTensor>();
            if !managed.is_null() {
                give_up(managed);
            }
        }
    }
}

/// A borrowed tensor, given back when dropped.
struct Borrowed(*mut DlManagedTensor);

// SAFETY: DLPack lets a borrower call the deleter from any thread; the pointer is used for nothing else.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: the tensor is ours since its capsule was renamed, and this is the only call of its deleter.
        unsafe {
            if let Some(deleter) = (*self.0).deleter {
                deleter(self.0);
            }
        }
    }
}

fn managed_of(capsule: &Bound<'_, PyAny>) -> PyResult<*mut DlManagedTensor> {
    let refuse = || PyTypeError::new_err("from_dlpack expected a valid DLPack capsule named 'dltensor'");
    // SAFETY: `PyCapsule_IsValid` takes any object; the pointer is read only from a capsule of that name.
    let pointer = unsafe {
        if ffi::PyCapsule_IsValid(capsule.as_ptr(), FRESH.as_ptr()) == 0 {
            return Err(refuse());
        }
        ffi::PyCapsule_GetPointer(capsule.as_ptr(), FRESH.as_ptr())
    };
    if pointer.is_null() { Err(refuse()) } else { Ok(pointer.cast()) }
}

/// Whether the tensor of `capsule` has elements of `uint8`; `bool` tensors that were lent by this module have.
pub(crate) fn is_uint8(capsule: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: a capsule of that name holds a managed tensor that nobody has taken.
    let ty = unsafe { (*managed_of(capsule)?).tensor.dtype };
    Ok(ty == DlType { code: 1, bits: 8, lanes: 1 })
}

/// The tensor on a CUDA device that `object` lends by `__dlpack__`; `None` for an object that has none there.
///
/// # Errors
/// As [`borrow`].
pub(crate) fn on_cuda(object: &Bound<'_, PyAny>) -> Result<Option<Tensor>> {
    match device_of(object) {
        Some((CUDA, _)) => borrow(&capsule_of(object)?, false).map(Some),
        _ => Ok(None),
    }
}

/// The device that `object` says its memory is on.
fn device_of(object: &Bound<'_, PyAny>) -> Option<(i32, i32)> {
    object.call_method0(intern!(object.py(), "__dlpack_device__")).ok()?.extract().ok()
}

/// The capsule that `object` lends by `__dlpack__`; what it holds on a CUDA device is there when this returns.
///
/// # Errors
/// What the object says.
pub(crate) fn capsule_of<'py>(object: &Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>> {
    let py = object.py();
    let Some((CUDA, id)) = device_of(object) else { return Ok(object.call_method0(intern!(py, "__dlpack__"))?) };
    let keywords = PyDict::new(py);
    keywords.set_item("stream", cuda_value::stream(id)?)?;
    let capsule = object.call_method(intern!(py, "__dlpack__"), (), Some(&keywords))?;
    cuda_value::settle(id)?;
    Ok(capsule)
}

/// The tensor that `capsule` lends, over its memory. Elements of `uint8` are booleans if `is_bool`.
///
/// # Errors
/// `TypeError` for anything but a capsule that nobody has taken; `RuntimeError` for types, layouts and devices that cannot be used.
pub(crate) fn borrow(capsule: &Bound<'_, PyAny>, is_bool: bool) -> Result<Tensor> {
    let managed = managed_of(capsule)?;
    // SAFETY: a capsule of that name holds a managed tensor, alive as long as the capsule is not renamed.
    let dl = unsafe { &(*managed).tensor };
    let dtype = dtype_of(dl.dtype, is_bool)?;
    if !matches!(dl.device_type, HOST | PINNED | CUDA) {
        return Err(runtime_error(format!("memory on DLPack device {} cannot be used by this build", dl.device_type)));
    }
    let rank = usize::try_from(dl.ndim).map_err(|_| runtime_error("a tensor cannot have a negative number of axes"))?;
    // SAFETY: DLPack promises `ndim` sizes, and as many strides unless the pointer is null.
    let (sizes, strides) = unsafe { (numbers(dl.shape, rank), numbers(dl.strides, rank)) };
    if sizes.len() != rank {
        return Err(runtime_error("a tensor has axes without sizes"));
    }
    let size = |d: &i64| usize::try_from(*d).map_err(|_| runtime_error("a tensor has a negative size"));
    let shape = sizes.iter().map(size).collect::<Result<Shape>>()?;
    let len = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    let len = len.ok_or_else(|| runtime_error(format!("a tensor of shape {shape} is too large")))?;
    let dense = strides.is_empty() || Layout::Strided(strides.iter().map(|s| *s as isize).collect()).is_dense(&shape);
    if !dense && len > 0 {
        return Err(runtime_error("ORT only supports contiguous tensor for now."));
    }
    let data = dl.data.cast::<u8>().wrapping_add(dl.byte_offset as usize);
    // SAFETY: the capsule is one of the fresh name; renaming it makes the tensor ours, to be given back once.
    let owner = unsafe {
        if ffi::PyCapsule_SetName(capsule.as_ptr(), USED.as_ptr()) != 0 {
            return Err(PyErr::fetch(capsule.py()).into());
        }
        Borrowed(managed)
    };
    if dl.device_type == CUDA {
        return cuda_value::lent(dl.device_id, dtype, shape, data as usize, len, owner);
    }
    // SAFETY: DLPack promises the elements of a dense tensor at that address until it is given back.
    let foreign = unsafe { Foreign::new(data, len, Box::new(owner)) };
    Ok(Tensor::new(dtype, shape, Layout::Dense, Arc::new(Buffer::Foreign(foreign)), 0)?)
}

/// `count` numbers at `pointer`; none if it is null.
///
/// # Safety
/// As many are there for `'a`.
unsafe fn numbers<'a>(pointer: *const i64, count: usize) -> &'a [i64] {
    if pointer.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for them.
    unsafe { std::slice::from_raw_parts(pointer, count) }
}
