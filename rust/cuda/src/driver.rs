//! The functions of the CUDA driver that are called, and the numbers they are called with.
//!
//! Names, types and numbers are those of `cuda.h`. Status codes are plain integers: a newer driver may know more of them.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::library::table;

/// A device, by its number among the driver's.
pub(crate) type CuDevice = c_int;
/// An address in a device's memory.
pub(crate) type Address = u64;
/// A context, stream, event, module or function of the driver.
pub(crate) type Handle = *mut c_void;

table! {
    /// The functions of the driver, as of CUDA 12.0.
    Driver {
        cuInit(c_uint);
        cuDriverGetVersion(*mut c_int);
        cuGetErrorName(c_int, *mut *const c_char);
        cuGetErrorString(c_int, *mut *const c_char);
        cuDeviceGetCount(*mut c_int);
        cuDeviceGet(*mut CuDevice, c_int);
        cuDeviceGetName(*mut c_char, c_int, CuDevice);
        cuDeviceGetAttribute(*mut c_int, c_int, CuDevice);
        cuDevicePrimaryCtxRetain(*mut Handle, CuDevice);
        cuCtxSetCurrent(Handle);
        cuCtxSynchronize();
        cuStreamCreate(*mut Handle, c_uint);
        cuStreamDestroy_v2(Handle);
        cuStreamSynchronize(Handle);
        cuStreamWaitEvent(Handle, Handle, c_uint);
        cuEventCreate(*mut Handle, c_uint);
        cuEventRecord(Handle, Handle);
        cuEventSynchronize(Handle);
        cuEventDestroy_v2(Handle);
        cuMemAlloc_v2(*mut Address, usize);
        cuMemFree_v2(Address);
        cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
        cuMemFreeHost(*mut c_void);
        cuMemHostGetDevicePointer_v2(*mut Address, *mut c_void, c_uint);
        cuMemsetD8Async(Address, u8, usize, Handle);
        cuPointerGetAttribute(*mut c_void, c_int, Address);
        cuMemcpyHtoDAsync_v2(Address, *const c_void, usize, Handle);
        cuMemcpyDtoHAsync_v2(*mut c_void, Address, usize, Handle);
        cuMemcpyDtoDAsync_v2(Address, Address, usize, Handle);
        cuModuleLoadDataEx(*mut Handle, *const c_void, c_uint, *mut c_int, *mut *mut c_void);
        cuModuleUnload(Handle);
        cuModuleGetFunction(*mut Handle, Handle, *const c_char);
        cuLaunchKernel(
            Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void,
        );
    }
}

pub(crate) const SUCCESS: c_int = 0;
pub(crate) const OUT_OF_MEMORY: c_int = 2;
/// A stream that the null stream does not wait for.
pub(crate) const STREAM_NON_BLOCKING: c_uint = 1;
/// An event that tells no time, and so costs less.
pub(crate) const EVENT_DISABLE_TIMING: c_uint = 2;
/// Host memory that kernels can reach.
pub(crate) const MEMHOSTALLOC_DEVICEMAP: c_uint = 2;
pub(crate) const CAPABILITY_MAJOR: c_int = 75;
pub(crate) const CAPABILITY_MINOR: c_int = 76;
/// What an address is asked for: which device its memory is on, where the allocation begins, and how long it is.
pub(crate) const POINTER_DEVICE_ORDINAL: c_int = 9;
pub(crate) const POINTER_RANGE_START: c_int = 11;
pub(crate) const POINTER_RANGE_SIZE: c_int = 12;
/// And which kind of memory it is: that of a device.
pub(crate) const POINTER_MEMORY_TYPE: c_int = 2;
pub(crate) const MEMORY_TYPE_DEVICE: c_uint = 2;
pub(crate) const JIT_ERROR_LOG_BUFFER: c_int = 5;
pub(crate) const JIT_ERROR_LOG_BUFFER_SIZE_BYTES: c_int = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::sys;

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!(SUCCESS, sys::CUresult::CUDA_SUCCESS as c_int);
        assert_eq!(OUT_OF_MEMORY, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY as c_int);
        assert_eq!(STREAM_NON_BLOCKING, sys::CUstream_flags::CU_STREAM_NON_BLOCKING as c_uint);
        assert_eq!(EVENT_DISABLE_TIMING, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as c_uint);
        assert_eq!(MEMHOSTALLOC_DEVICEMAP, sys::CU_MEMHOSTALLOC_DEVICEMAP);
        assert_eq!(CAPABILITY_MAJOR, sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as c_int);
        assert_eq!(CAPABILITY_MINOR, sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as c_int);
        let pointer = |a: sys::CUpointer_attribute| a as c_int;
        assert_eq!(POINTER_DEVICE_ORDINAL, pointer(sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL));
        assert_eq!(POINTER_RANGE_START, pointer(sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_RANGE_START_ADDR));
        assert_eq!(POINTER_RANGE_SIZE, pointer(sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_RANGE_SIZE));
        assert_eq!(POINTER_MEMORY_TYPE, pointer(sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE));
        assert_eq!(MEMORY_TYPE_DEVICE, sys::CUmemorytype::CU_MEMORYTYPE_DEVICE as c_uint);
        assert_eq!(JIT_ERROR_LOG_BUFFER, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER as c_int);
        assert_eq!(JIT_ERROR_LOG_BUFFER_SIZE_BYTES, sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES as c_int);
    }
}
