//! One device and its context.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Memory, Result, bail, ensure, error};

use crate::driver::{
    Address, CAPABILITY_MAJOR, CAPABILITY_MINOR, CuDevice, Driver, Handle, MEMORY_TYPE_DEVICE, POINTER_DEVICE_ORDINAL, POINTER_MEMORY_TYPE,
    POINTER_RANGE_SIZE, POINTER_RANGE_START, SUCCESS,
};
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

    /// Waits until all work on it is done, that of other libraries in this process too.
    ///
    /// # Errors
    /// What the driver says; an error of that work is told here.
    pub fn synchronize(&self) -> Result<()> {
        let driver = self.enter()?;
        // SAFETY: the context was made current.
        check(driver, unsafe { (driver.cuCtxSynchronize)() }, || "finish what was started".into())
    }

    /// Fails unless `bytes` bytes at `address` are memory of this device.
    ///
    /// # Errors
    /// `InvalidArgument` that says where the address points instead, or how much is there.
    pub fn check_range(&self, address: Address, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let Some(kind) = self.about::<c_uint>(address, POINTER_MEMORY_TYPE)? else {
            bail!(InvalidArgument, "address {address:#x} is not memory of CUDA device {}", self.ordinal)
        };
        ensure!(
            kind == MEMORY_TYPE_DEVICE,
            InvalidArgument,
            "address {address:#x} is memory of the host, not of CUDA device {}",
            self.ordinal
        );
        let there = self.about::<c_int>(address, POINTER_DEVICE_ORDINAL)?;
        let own = there.is_none_or(|there| there == self.ordinal.into());
        ensure!(own, InvalidArgument, "address {address:#x} is on CUDA device {}, not on {}", there.unwrap_or(-1), self.ordinal);
        // Memory that was mapped in pieces is told piece by piece.
        let mut left = bytes as u64;
        let mut at = address;
        while left > 0 {
            let range = (self.about::<Address>(at, POINTER_RANGE_START)?, self.about::<usize>(at, POINTER_RANGE_SIZE)?);
            let (Some(start), Some(size)) = range else { break };
            let here = (start + size as u64).saturating_sub(at);
            if here == 0 {
                break;
            }
            left -= left.min(here);
            at += here;
        }
        let found = at - address;
        ensure!(left == 0, InvalidArgument, "{bytes} bytes are needed at address {address:#x}, but only {found} are there");
        Ok(())
    }

    /// The device whose memory `address` is; `None` when it is none.
    ///
    /// # Errors
    /// What the driver says.
    pub fn home_of(&self, address: Address) -> Result<Option<u16>> {
        if self.about::<c_uint>(address, POINTER_MEMORY_TYPE)? != Some(MEMORY_TYPE_DEVICE) {
            return Ok(None);
        }
        Ok(self.about::<c_int>(address, POINTER_DEVICE_ORDINAL)?.and_then(|ordinal| u16::try_from(ordinal).ok()))
    }

    /// What the driver says of an address, if it knows it.
    fn about<T: Default>(&self, address: Address, attribute: c_int) -> Result<Option<T>> {
        let driver = self.enter()?;
        let mut value = T::default();
        // SAFETY: the attribute is of the type that the caller asks for.
        let status = unsafe { (driver.cuPointerGetAttribute)((&raw mut value).cast(), attribute, address) };
        Ok((status == SUCCESS).then_some(value))
    }

    /// Makes its context the one that this thread's calls mean.
    pub(crate) fn enter(&self) -> Result<&'static Driver> {
        // SAFETY: the context is held as long as the process lives.
        let status = unsafe { (self.driver.cuCtxSetCurrent)(self.context) };
        check(self.driver, status, || format!("use device {}", self.ordinal))?;
        Ok(self.driver)
    }
}
