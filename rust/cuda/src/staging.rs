//! Copies between the host and a device through pinned memory, which neither side waits for longer than it must.

use std::sync::{Arc, Mutex, PoisonError};

use base::Result;

use crate::driver::Address;
use crate::{Device, Event, Pinned, Stream};

/// Bytes of one slab. Copies larger than that take turns on two.
const SLAB: usize = 4 << 20;

struct Slab {
    memory: Pinned,
    /// When the device has done with it.
    free: Event,
}

/// Two slabs of pinned memory that copies go through. Made when they are first needed.
pub struct Staging {
    device: Arc<Device>,
    slabs: Mutex<Option<[Slab; 2]>>,
}

impl Staging {
    /// Staging for copies from and to `device`.
    pub fn new(device: &Arc<Device>) -> Self {
        Self { device: device.clone(), slabs: Mutex::new(None) }
    }

    fn slab(device: &Arc<Device>) -> Result<Slab> {
        Ok(Slab { memory: Pinned::new(device, SLAB)?, free: Event::new(device)? })
    }

    fn with<T>(&self, f: impl FnOnce(&[Slab; 2]) -> Result<T>) -> Result<T> {
        let mut slabs = self.slabs.lock().unwrap_or_else(PoisonError::into_inner);
        if slabs.is_none() {
            *slabs = Some([Self::slab(&self.device)?, Self::slab(&self.device)?]);
        }
        slabs.as_ref().map_or_else(|| Err(base::error!(Fail, "there is no staging memory")), f)
    }

    /// Copies `from` to address `to` of the device. On return the bytes may be changed; the copy itself is done when the stream comes by.
    ///
    /// # Errors
    /// What the driver says.
    ///
    /// # Safety
    /// The device has that many bytes at `to`.
    pub unsafe fn copy_in(&self, stream: &Stream, from: &[u8], to: Address) -> Result<()> {
        self.with(|slabs| {
            for (i, part) in from.chunks(SLAB).enumerate() {
                let slab = &slabs[i % 2];
                slab.free.wait()?;
                // SAFETY: the slab is free, and as large as any part; the caller vouches for the device.
                unsafe {
                    slab.memory.address().copy_from_nonoverlapping(part.as_ptr(), part.len());
                    stream.copy_in(slab.memory.address(), to + (i * SLAB) as u64, part.len())?;
                }
                stream.record(&slab.free)?;
            }
            Ok(())
        })
    }

    /// Copies bytes at address `from` of the device to `to`, and waits for them.
    ///
    /// # Errors
    /// What the driver says; an error of earlier work is told here.
    ///
    /// # Safety
    /// The device has that many bytes at `from`.
    pub unsafe fn copy_out(&self, stream: &Stream, from: Address, to: &mut [u8]) -> Result<()> {
        self.with(|slabs| {
            let (total, count) = (to.len(), to.len().div_ceil(SLAB));
            let len = |i: usize| (total - i * SLAB).min(SLAB);
            let start = |i: usize| -> Result<()> {
                let slab = &slabs[i % 2];
                slab.free.wait()?;
                // SAFETY: the slab is free, and as large as any part; the caller vouches for the device.
                unsafe { stream.copy_out(from + (i * SLAB) as u64, slab.memory.address(), len(i))? };
                stream.record(&slab.free)
            };
            for i in 0..count.min(1) {
                start(i)?;
            }
            for i in 0..count {
                if i + 1 < count {
                    start(i + 1)?;
                }
                let slab = &slabs[i % 2];
                slab.free.wait()?;
                // SAFETY: the copy into the slab is done, and no other begins before this one.
                let part = unsafe { std::slice::from_raw_parts(slab.memory.address(), len(i)) };
                to[i * SLAB..][..part.len()].copy_from_slice(part);
            }
            Ok(())
        })
    }
}
