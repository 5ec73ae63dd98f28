//! Whether CUDA works here, asked once, before anything else is called.

use std::fmt;
use std::sync::OnceLock;

use libloading::Library;

use crate::driver::{Driver, SUCCESS};
use crate::error::describe;
use crate::library::why;

/// The driver, and what it says of itself.
pub struct Found {
    pub(crate) driver: Driver,
    /// The newest CUDA that the driver knows: 1000 times the major version and 10 times the minor one.
    pub version: i32,
    /// How many devices there are.
    pub devices: i32,
}

/// Why CUDA does not work here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// No driver can be loaded; what the system says.
    NoDriver(String),
    /// The driver lacks a function, so it is older than CUDA 12.0 or no driver at all.
    Incomplete(&'static str),
    /// The driver does not start; what it says.
    Broken(String),
    /// The driver is older than CUDA 12.0; its version.
    TooOld(i32),
    /// There is no device.
    NoDevice,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver(why) => write!(f, "no CUDA driver can be loaded ({why})"),
            Self::Incomplete(function) => write!(f, "the CUDA driver has no {function}; CUDA 12.0 or newer is needed"),
            Self::Broken(why) => write!(f, "the CUDA driver does not start ({why})"),
            Self::TooOld(version) => {
                write!(f, "the CUDA driver is of version {}.{}; 12.0 or newer is needed", version / 1000, version % 1000 / 10)
            }
            Self::NoDevice => f.write_str("there is no CUDA device"),
        }
    }
}

/// The oldest driver that takes our kernels.
const OLDEST: i32 = 12_000;

#[cfg(windows)]
const LIBRARY: &str = "nvcuda.dll";
#[cfg(not(windows))]
const LIBRARY: &str = "libcuda.so.1";

/// The driver, or why there is none. The first call looks; later ones remember. Nothing is printed, and nothing panics.
///
/// # Errors
/// The reason.
pub fn probe() -> Result<&'static Found, &'static Absent> {
    static ANSWER: OnceLock<Result<Found, Absent>> = OnceLock::new();
    ANSWER.get_or_init(look).as_ref()
}

fn look() -> Result<Found, Absent> {
    // SAFETY: the driver's library runs nothing of note when it is loaded.
    let library = unsafe { Library::new(LIBRARY) }.map_err(|e| Absent::NoDriver(why(&e)))?;
    // SAFETY: the types are those of `cuda.h`.
    let driver = unsafe { Driver::of(library) }.map_err(Absent::Incomplete)?;
    let broken = |status| Absent::Broken(describe(&driver, status));
    let (mut version, mut devices) = (0, 0);
    // SAFETY: both pointers are good; the driver is started before it is asked for devices.
    unsafe {
        match (driver.cuDriverGetVersion)(&mut version) {
            SUCCESS if version < OLDEST => return Err(Absent::TooOld(version)),
            SUCCESS => {}
            status => return Err(broken(status)),
        }
        match (driver.cuInit)(0) {
            SUCCESS => {}
            // Of a driver without a device, some versions say so here.
            NO_DEVICE => return Err(Absent::NoDevice),
            status => return Err(broken(status)),
        }
        match (driver.cuDeviceGetCount)(&mut devices) {
            SUCCESS if devices < 1 => return Err(Absent::NoDevice),
            SUCCESS => {}
            status => return Err(broken(status)),
        }
    }
    Ok(Found { driver, version, devices })
}

const NO_DEVICE: i32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_in_words() {
        assert_eq!(Absent::TooOld(11_040).to_string(), "the CUDA driver is of version 11.4; 12.0 or newer is needed");
        assert!(Absent::NoDriver("file not found".into()).to_string().contains("file not found"));
        assert_eq!(NO_DEVICE, cudarc::driver::sys::CUresult::CUDA_ERROR_NO_DEVICE as i32);
    }
}
