//! Points in the work of a stream that others wait for.

use std::sync::Arc;

use base::Result;

use crate::Device;
use crate::driver::{EVENT_DISABLE_TIMING, Handle};
use crate::error::check;

/// A point in the work of a stream.
pub struct Event {
    device: Arc<Device>,
    pub(crate) raw: Handle,
}

// SAFETY: events may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that no stream has reached; waiting for it ends at once.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(device: &Arc<Device>) -> Result<Self> {
        let driver = device.enter()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is good.
        check(driver, unsafe { (driver.cuEventCreate)(&mut raw, EVENT_DISABLE_TIMING) }, || "make an event".into())?;
        Ok(Self { device: device.clone(), raw })
    }

    /// Waits until the stream has come here.
    ///
    /// # Errors
    /// What the driver says; an error of work before this point is told here.
    pub fn wait(&self) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the event is alive.
        check(driver, unsafe { (driver.cuEventSynchronize)(self.raw) }, || "finish what was started".into())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(driver) = self.device.enter() {
            // SAFETY: the event is alive and nobody uses it any more; the driver keeps what streams still wait for.
            unsafe { (driver.cuEventDestroy_v2)(self.raw) };
        }
    }
}
