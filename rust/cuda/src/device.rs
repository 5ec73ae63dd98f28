//! One device and its context.

use std::ffi::{CStr, c_char, c_int};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Memory, Result, ensure, error};

use crate::driver::{CAPABILITY_MAJOR, CAPABILITY_MINOR, CuDevice, Driver, Handle};
use crate::error::check;
use crate::memory::memory_of;
use crate::probe;

/// What a device can do: major and minor version, as in `sm_80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(pub i32, pub i32);

/// A device whose primary context is held, as CUDA's own runtime and other libraries hold it: they share memory and streams with us.
pub struct Device {
    pub(crate) driver: &'static Driver,
    ordinal: u16,
    context: Handle,
    capability: Capability,
    name: String,
}

// SAFETY: a context may be used from any thread; each thread makes it current first.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Device number `ordinal`. It is opened once, and kept as long as the process lives.
    ///
    /// # Errors
    /// `EpFail` when CUDA does not work here, `InvalidArgument` when there are fewer devices, or what the driver says.
    pub fn open(ordinal: u16) -> Result<Arc<Self>> {
        static OPEN: Mutex<Vec<Arc<Device>>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(device) = open.iter().find(|d| d.ordinal == ordinal) {
            return Ok(device.clone());
        }
        let device = Arc::new(Self::new(ordinal)?);
        open.push(device.clone());
        Ok(device)
    }

    fn new(ordinal: u16) -> Result<Self> {
        let found = probe().map_err(|absent| error!(EpFail, "{absent}"))?;
        let (driver, devices) = (&found.driver, found.devices);
        ensure!(i32::from(ordinal) < devices, InvalidArgument, "device_id is {ordinal}, but there are {devices} CUDA devices");
        let (mut number, mut context): (CuDevice, Handle) = (0, std::ptr::null_mut());
        let mut name = [0 as c_char; 128];
        let (mut major, mut minor) = (0, 0);
        // SAFETY: every pointer is good for what the driver writes there; the name is cut to its array and ends with a zero.
        unsafe {
            check(driver, (driver.cuDeviceGet)(&mut number, ordinal.into()), || format!("find device {ordinal}"))?;
            check(driver, (driver.cuDeviceGetName)(name.as_mut_ptr(), name.len() as c_int - 1, number), || "name a device".into())?;
            let attribute =
                |to: &mut c_int, which| check(driver, (driver.cuDeviceGetAttribute)(to, which, number), || "describe a device".into());
            attribute(&mut major, CAPABILITY_MAJOR)?;
            attribute(&mut minor, CAPABILITY_MINOR)?;
            check(driver, (driver.cuDevicePrimaryCtxRetain)(&mut context, number), || format!("open device {ordinal}"))?;
        }
        // SAFETY: the array was zero, and the driver wrote at most all but its last element.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        Ok(Self { driver, ordinal, context, capability: Capability(major, minor), name })
    }

    /// Its number among the driver's devices.
    pub fn ordinal(&self) -> u16 {
        self.ordinal
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can do.
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// Its memory.
    pub fn memory(&self) -> Memory {
        memory_of(self.ordinal)
    }

    /// Makes its context the one that this thread's calls mean.
    pub(crate) fn enter(&self) -> Result<&'static Driver> {
        // SAFETY: the context is held as long as the process lives.
        let status = unsafe { (self.driver.cuCtxSetCurrent)(self.context) };
        check(self.driver, status, || format!("use device {}", self.ordinal))?;
        Ok(self.driver)
    }
}
