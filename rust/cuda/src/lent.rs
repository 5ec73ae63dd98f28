//! Memory of a device that somebody else owns.

use std::any::Any;

use base::{Buffer, DeviceBuffer, Memory};

use crate::driver::Address;

/// Memory of a device that somebody else owns and keeps alive.
pub struct Lent {
    memory: Memory,
    address: Address,
    len: usize,
    _owner: Box<dyn Any + Send + Sync>,
}

impl Lent {
    /// A buffer of `len` bytes at `address` of `memory`, alive as long as `owner`.
    ///
    /// # Safety
    /// The bytes are there until `owner` is dropped, and whoever owns them does not write while a run reads them.
    pub unsafe fn buffer(memory: Memory, address: Address, len: usize, owner: Box<dyn Any + Send + Sync>) -> Buffer {
        Buffer::Device(Box::new(Self { memory, address, len, _owner: owner }))
    }
}

impl DeviceBuffer for Lent {
    fn memory(&self) -> Memory {
        self.memory
    }

    fn address(&self) -> usize {
        self.address as usize
    }

    fn len(&self) -> usize {
        self.len
    }
}
