//! Streams: work that is done in order.

use std::ffi::c_void;
use std::sync::Arc;

use base::{Result, ensure};

use crate::driver::{Address, Handle, STREAM_NON_BLOCKING};
use crate::error::check;
use crate::memory::memory_name as name;
use crate::{Arguments, Device, Event};

/// Work that a device does in order.
pub struct Stream {
    device: Arc<Device>,
    raw: Handle,
    /// Whether it is destroyed with this value.
    ours: bool,
}

// SAFETY: streams may be used from any thread; calls from several are put in some order.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

/// A kernel that was loaded; it lives as long as its module.
#[derive(Clone, Copy)]
pub struct Function(pub(crate) Handle);

// SAFETY: functions may be launched from any thread.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Stream {
    /// A new stream.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(device: &Arc<Device>) -> Result<Self> {
        let driver = device.enter()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the pointer is good.
        check(driver, unsafe { (driver.cuStreamCreate)(&mut raw, STREAM_NON_BLOCKING) }, || "make a stream".into())?;
        Ok(Self { device: device.clone(), raw, ours: true })
    }

    /// A stream that somebody else made and keeps; 0 is the null stream.
    ///
    /// # Safety
    /// It is a stream of this device, and lives as long as this value.
    pub unsafe fn foreign(device: &Arc<Device>, raw: usize) -> Self {
        Self { device: device.clone(), raw: std::ptr::with_exposed_provenance_mut(raw), ours: false }
    }

    /// The device that does the work.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Launches `function` in `blocks` blocks of `threads` threads.
    ///
    /// # Errors
    /// What the driver says; `kernel`, its name, is told as well.
    ///
    /// # Safety
    /// The function takes such arguments, and what they point to on the device is large enough and lives until the stream has come by.
    pub unsafe fn launch(&self, function: Function, kernel: &str, blocks: u32, threads: u32, mut arguments: impl Arguments) -> Result<()> {
        let driver = self.device.enter()?;
        let status = arguments.with(|pointers| {
            // SAFETY: the caller vouches for the arguments; the driver copies them before it returns.
            unsafe {
                let (f, p) = (function.0, pointers.as_mut_ptr());
                (driver.cuLaunchKernel)(f, blocks, 1, 1, threads, 1, 1, 0, self.raw, p, std::ptr::null_mut())
            }
        });
        check(driver, status, || format!("launch {kernel} in {blocks} blocks of {threads} threads"))
    }

    /// Copies bytes of the host to the device.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// Both sides have `bytes` bytes. If the host's are pinned, they stay as they are until the stream has come by.
    pub unsafe fn copy_in(&self, from: *const u8, to: Address, bytes: usize) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the caller vouches for both sides.
        let status = unsafe { (driver.cuMemcpyHtoDAsync_v2)(to, from.cast(), bytes, self.raw) };
        check(driver, status, || format!("copy {bytes} bytes to device {}", self.device.ordinal()))
    }

    /// Copies bytes of the device to the host.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// Both sides have `bytes` bytes; nobody looks at the host's before the stream has come by.
    pub unsafe fn copy_out(&self, from: Address, to: *mut u8, bytes: usize) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the caller vouches for both sides.
        let status = unsafe { (driver.cuMemcpyDtoHAsync_v2)(to.cast::<c_void>(), from, bytes, self.raw) };
        check(driver, status, || format!("copy {bytes} bytes from device {}", self.device.ordinal()))
    }

    /// Copies bytes within the device.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// Both sides have `bytes` bytes and do not overlap.
    pub unsafe fn copy_within(&self, from: Address, to: Address, bytes: usize) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the caller vouches for both sides.
        let status = unsafe { (driver.cuMemcpyDtoDAsync_v2)(to, from, bytes, self.raw) };
        check(driver, status, || format!("copy {bytes} bytes on device {}", self.device.ordinal()))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.raw
    }

    /// Sets bytes of the device to zero.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// The device has `bytes` bytes at `at`.
    pub unsafe fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the caller vouches for the bytes.
        let status = unsafe { (driver.cuMemsetD8Async)(at, 0, bytes, self.raw) };
        check(driver, status, || format!("clear {bytes} bytes on device {}", self.device.ordinal()))
    }

    /// The address by which other libraries know the stream.
    pub fn raw(&self) -> usize {
        self.raw.expose_provenance()
    }

    /// Moves `event` to the end of the work so far.
    ///
    /// # Errors
    /// What the driver says.
    pub fn record(&self, event: &Event) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: both are alive.
        check(driver, unsafe { (driver.cuEventRecord)(event.raw, self.raw) }, || "record an event".into())
    }

    /// Lets the work from here on wait for `event`.
    ///
    /// # Errors
    /// What the driver says.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: both are alive.
        check(driver, unsafe { (driver.cuStreamWaitEvent)(self.raw, event.raw, 0) }, || "wait for an event".into())
    }

    /// Waits until all work so far is done.
    ///
    /// # Errors
    /// What the driver says; an error of that work is told here.
    pub fn synchronize(&self) -> Result<()> {
        let driver = self.device.enter()?;
        // SAFETY: the stream is alive.
        check(driver, unsafe { (driver.cuStreamSynchronize)(self.raw) }, || "finish what was started".into())
    }

    /// Fails unless `memory` is that of the device.
    ///
    /// # Errors
    /// `InvalidArgument` that names both.
    pub fn check_memory(&self, memory: base::Memory) -> Result<()> {
        let own = self.device.memory();
        ensure!(memory == own, InvalidArgument, "a value lies in {}, but {} is needed", name(memory), name(own));
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (true, Ok(driver)) = (self.ours, self.device.enter()) {
            // SAFETY: the stream is ours; the driver lets its work end first.
            unsafe { (driver.cuStreamDestroy_v2)(self.raw) };
        }
    }
}
