//! Status codes of the driver as errors.

use std::ffi::{CStr, c_char, c_int};

use base::{Error, ErrorKind, Result};

use crate::driver::{Driver, SUCCESS};

/// Fails with what the driver says of `status`, unless it is success; `what` was tried.
pub(crate) fn check(driver: &Driver, status: c_int, what: impl FnOnce() -> String) -> Result<()> {
    if status == SUCCESS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::EpFail, format!("CUDA cannot {}: {}", what(), describe(driver, status))))
}

/// The name and the meaning of a status code, as the driver tells them.
pub(crate) fn describe(driver: &Driver, status: c_int) -> String {
    let text = |of: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int| {
        let mut text = std::ptr::null();
        // SAFETY: the driver writes a pointer, which is null or names a static string.
        let told = unsafe { of(status, &mut text) } == SUCCESS && !text.is_null();
        // SAFETY: as above.
        told.then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    match (text(driver.cuGetErrorName), text(driver.cuGetErrorString)) {
        (Some(name), Some(meaning)) => format!("{name} ({meaning})"),
        (Some(name), None) => name,
        _ => format!("status {status}"),
    }
}
