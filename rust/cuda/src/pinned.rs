//! Host memory that devices reach without the host's help.

use std::ffi::c_void;
use std::sync::Arc;

use base::Result;

use crate::Device;
use crate::driver::{Address, MEMHOSTALLOC_DEVICEMAP};
use crate::error::check;

/// Host memory that stays where it is, so that copies need not wait for the host; kernels can write to it as well.
pub struct Pinned {
    device: Arc<Device>,
    at: *mut u8,
    len: usize,
}

// SAFETY: plain memory, owned alone.
unsafe impl Send for Pinned {}
// SAFETY: shared access gives out only addresses.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// `len` zero bytes. They are cached by the host as usual, so that it reads them fast.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(device: &Arc<Device>, len: usize) -> Result<Self> {
        let driver = device.enter()?;
        let mut at: *mut c_void = std::ptr::null_mut();
        // SAFETY: the pointer is good.
        let status = unsafe { (driver.cuMemHostAlloc)(&mut at, len.max(1), MEMHOSTALLOC_DEVICEMAP) };
        check(driver, status, || format!("pin {len} bytes of the host"))?;
        // SAFETY: the driver gave that many bytes.
        unsafe { at.cast::<u8>().write_bytes(0, len) };
        Ok(Self { device: device.clone(), at: at.cast(), len })
    }

    /// Where it lies for the host.
    pub fn address(&self) -> *mut u8 {
        self.at
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where it lies for kernels.
    ///
    /// # Errors
    /// What the driver says.
    pub fn device_address(&self) -> Result<Address> {
        let driver = self.device.enter()?;
        let mut address = 0;
        // SAFETY: the memory is pinned and mapped.
        let status = unsafe { (driver.cuMemHostGetDevicePointer_v2)(&mut address, self.at.cast(), 0) };
        check(driver, status, || "map pinned memory".into())?;
        Ok(address)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Ok(driver) = self.device.enter() {
            // SAFETY: the memory came from the driver and nobody uses it any more.
            unsafe { (driver.cuMemFreeHost)(self.at.cast()) };
        }
    }
}
