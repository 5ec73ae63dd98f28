//! Values on CUDA devices: made, copied, and shared with other libraries.

use std::sync::Arc;

use numpy::{PyArrayDescr, PyArrayDescrMethods};
use ort_rs::runtime::cuda::{Commons, Device, Lent, device_of, memory_of};
use ort_rs::runtime::{Layout, Memory};
use ort_rs::{DType, Shape, Tensor};
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::dtype;
use crate::error::{Result, runtime_error};

/// How other libraries learn of memory on a device.
const INTERFACE: &str = "__cuda_array_interface__";
/// The version of the description.
const VERSION: i32 = 3;

/// The memory of CUDA device `id`; `action` is what it is needed for.
///
/// # Errors
/// `RuntimeError` with the reason when there is no such device.
pub(crate) fn memory(id: i16, action: &str) -> Result<Memory> {
    let device = match u16::try_from(id) {
        Ok(id) => Device::open(id).map_err(|e| e.detail().to_owned()),
        Err(_) => Err("there is no device of a negative number".to_owned()),
    };
    device.map(|d| d.memory()).map_err(|why| runtime_error(format!("Can't {action} on CUDA device {id}: {why}.")))
}

/// The number of the CUDA device that `tensor` lies on, if it lies on one.
pub(crate) fn ordinal(tensor: &Tensor) -> Option<u16> {
    device_of(tensor.memory())
}

/// What makes and copies values on the device of `memory`.
fn commons(memory: Memory) -> Result<Arc<Commons>> {
    let ordinal = device_of(memory).ok_or_else(|| runtime_error(format!("{memory} is no CUDA device")))?;
    Commons::of(ordinal).map_err(|e| runtime_error(e.message()))
}

/// A copy of `tensor`, of the host or of that device, in `memory`.
///
/// # Errors
/// `RuntimeError` when the device has no room.
pub(crate) fn copy_to(tensor: &Tensor, memory: Memory) -> Result<Tensor> {
    commons(memory)?.copy_of(tensor.as_ref()).map_err(|e| runtime_error(e.message()))
}

/// A tensor of zeros in `memory`.
///
/// # Errors
/// As [`copy_to`].
pub(crate) fn zeros(memory: Memory, dtype: DType, shape: Shape) -> Result<Tensor> {
    commons(memory)?.zeros(dtype, shape).map_err(|e| runtime_error(e.message()))
}

/// `tensor` where the host reaches it: itself, or a copy.
///
/// # Errors
/// `RuntimeError` with what the driver says.
pub(crate) fn on_host(tensor: Tensor) -> Result<Tensor> {
    if tensor.memory().is_host() {
        return Ok(tensor);
    }
    commons(tensor.memory())?.to_host(tensor.as_ref()).map_err(|e| runtime_error(e.message()))
}

/// Overwrites the elements of `target` by those of `source`, as many bytes, at least one of them on a device.
///
/// # Errors
/// `RuntimeError` when one lies on another device.
///
/// # Safety
/// The memory of `target` may be written to, and nobody else uses it meanwhile.
pub(crate) unsafe fn overwrite(target: &Tensor, source: &Tensor) -> Result<()> {
    let (from, to) = (source.memory(), target.memory());
    if from != to && !from.is_host() && !to.is_host() {
        // From one device to another by way of the host.
        let source = on_host(source.clone())?;
        // SAFETY: as the caller says.
        return unsafe { overwrite(target, &source) };
    }
    let memory = if to.is_host() { from } else { to };
    // SAFETY: as the caller says.
    unsafe { commons(memory)?.copy(source.as_ref(), target) }.map_err(|e| runtime_error(e.message()))
}

/// The tensor over the memory at `address` of a device that a program vouches for, as far as the driver knows it.
///
/// # Errors
/// `RuntimeError` when the address is not one of that device, or less memory is there than the shape takes.
pub(crate) fn at_pointer(name: &str, memory: Memory, dtype: DType, shape: Shape, address: usize) -> Result<Tensor> {
    let len = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    let len = len.ok_or_else(|| runtime_error(format!("'{name}': a tensor of shape {shape} is too large")))?;
    let ordinal = device_of(memory).unwrap_or_default();
    let there = Device::open(ordinal).and_then(|device| device.check_range(address as u64, len));
    there.map_err(|e| runtime_error(format!("'{name}', tensor({dtype}) of shape {shape}: {}", e.detail())))?;
    over(memory, dtype, shape, address, len, ())
}

/// A tensor over `len` bytes of a device that `owner` keeps alive.
fn over(memory: Memory, dtype: DType, shape: Shape, address: usize, len: usize, owner: impl Send + Sync + 'static) -> Result<Tensor> {
    // SAFETY: whoever lends the memory vouches that it is there for that long; alignment is checked by the tensor.
    let buffer = unsafe { Lent::buffer(memory, address as u64, len, Box::new(owner)) };
    Tensor::new(dtype, shape, Layout::Dense, Arc::new(buffer), 0).map_err(|e| runtime_error(e.message()))
}

/// A tensor over memory of device `id` that another library lends through DLPack.
///
/// # Errors
/// `RuntimeError` when there is no such device.
pub(crate) fn lent(id: i32, dtype: DType, shape: Shape, address: usize, len: usize, owner: impl Send + Sync + 'static) -> Result<Tensor> {
    let memory = memory(i16::try_from(id).unwrap_or(-1), "use memory")?;
    over(memory, dtype, shape, address, len, owner)
}

/// The stream on which another library shall have made memory of device `id` ready, when it lends it: what it does there is waited for
/// by [`settle`].
///
/// # Errors
/// `RuntimeError` when there is no such device.
pub(crate) fn stream(id: i32) -> Result<usize> {
    let memory = memory(i16::try_from(id).unwrap_or(-1), "use memory")?;
    Ok(commons(memory)?.stream().raw())
}

/// Waits for what other libraries have done on the stream of [`stream`].
///
/// # Errors
/// What the driver says.
pub(crate) fn settle(id: i32) -> Result<()> {
    let memory = memory(i16::try_from(id).unwrap_or(-1), "use memory")?;
    commons(memory)?.stream().synchronize().map_err(|e| runtime_error(e.message()))
}

/// What `__cuda_array_interface__` says of `tensor`.
///
/// # Errors
/// `AttributeError` when it does not lie on a CUDA device, or its type has no name there.
pub(crate) fn interface<'py>(py: Python<'py>, tensor: &Tensor, writable: bool) -> Result<Bound<'py, PyDict>> {
    let dtype = tensor.dtype();
    if ordinal(tensor).is_none() {
        return Err(PyAttributeError::new_err(format!("a tensor of the host has no {INTERFACE}")).into());
    }
    if dtype.is_packed() || dtype as i32 >= DType::BF16 as i32 {
        return Err(PyAttributeError::new_err(format!("{INTERFACE} has no name for elements of {dtype}; DLPack may")).into());
    }
    let about = PyDict::new(py);
    let address = if tensor.is_empty() { 0 } else { tensor.address() as usize };
    about.set_item("shape", PyTuple::new(py, tensor.shape().iter())?)?;
    about.set_item("typestr", dtype::descr(py, dtype)?.getattr("str")?)?;
    about.set_item("data", (address, !writable))?;
    about.set_item("strides", py.None())?;
    // Whatever was to be written is there.
    about.set_item("stream", py.None())?;
    about.set_item("version", VERSION)?;
    Ok(about)
}

/// The tensor over the memory of a device that `object` describes by `__cuda_array_interface__`, and whether it may be written to;
/// `None` for an object that does not.
///
/// # Errors
/// `TypeError` for a description that is none, `RuntimeError` for memory that cannot be used.
pub(crate) fn borrow(object: &Bound<'_, PyAny>) -> Result<Option<(Tensor, bool)>> {
    let py = object.py();
    let Some(about) = object.getattr_opt(intern!(py, "__cuda_array_interface__"))? else { return Ok(None) };
    let refuse = |_| PyTypeError::new_err(format!("{INTERFACE} is a dictionary with 'shape', 'typestr' and 'data'"));
    let item = |key: &str| about.get_item(key).map_err(refuse);
    let sizes = item("shape")?.extract::<Vec<usize>>().map_err(refuse)?;
    let (address, read_only) = item("data")?.extract::<(usize, bool)>().map_err(refuse)?;
    let descr = PyArrayDescr::new(py, item("typestr")?)?;
    let dtype = dtype::of_type_num(py, descr.num())?;
    let shape = Shape::from(&*sizes);
    check_dense(&about, &descr, dtype, &shape)?;
    let len = Shape::checked_len(&shape).and_then(|n| dtype.bytes_of(n));
    let len = len.ok_or_else(|| runtime_error(format!("a tensor of shape {shape} cannot lie on a device")))?;
    let first = Device::open(0).map_err(|e| runtime_error(e.message()))?;
    let home = if len == 0 { Some(0) } else { first.home_of(address as u64).map_err(|e| runtime_error(e.message()))? };
    let home = home.ok_or_else(|| runtime_error(format!("address {address:#x} is not memory of a CUDA device")))?;
    // What its owner has started on some stream comes first.
    if about.call_method1("get", ("stream",)).is_ok_and(|stream| !stream.is_none()) {
        let device = Device::open(home).map_err(|e| runtime_error(e.message()))?;
        device.synchronize().map_err(|e| runtime_error(e.message()))?;
    }
    let tensor = over(memory_of(home), dtype, shape, address, len, object.clone().unbind())?;
    Ok(Some((tensor, !read_only)))
}

/// Fails unless the array that `about` describes is row-major without gaps, in the byte order of the machine.
fn check_dense(about: &Bound<'_, PyAny>, descr: &Bound<'_, PyArrayDescr>, dtype: DType, shape: &Shape) -> Result<()> {
    let strides = about.call_method1("get", ("strides",))?;
    let width = descr.itemsize() as isize;
    let dense = match strides.is_none() {
        true => true,
        false => {
            let bytes = strides.extract::<Vec<isize>>()?;
            let whole = bytes.iter().all(|s| s % width.max(1) == 0);
            whole && Layout::Strided(bytes.iter().map(|s| s / width.max(1)).collect()).is_dense(shape)
        }
    };
    let native = descr.is_native_byteorder().unwrap_or(true);
    if dense && native && dtype != DType::String {
        return Ok(());
    }
    Err(runtime_error("only contiguous arrays of numbers in the byte order of the machine can be used where they lie"))
}
