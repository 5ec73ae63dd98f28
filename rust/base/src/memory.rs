//! Where bytes live: the host, or a device whose memory the host cannot touch.

use std::fmt;

/// A memory: the host's, or that of one device. Providers number their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Memory(
    /// 0 is the host.
    pub u16,
);

impl Memory {
    /// The memory that CPU code reads and writes.
    pub const HOST: Memory = Memory(0);

    /// Whether CPU code may read and write it.
    pub fn is_host(self) -> bool {
        self == Self::HOST
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { f.write_str("host") } else { write!(f, "device {}", self.0) }
    }
}

/// Bytes in a device's memory, released when dropped.
pub trait DeviceBuffer: Send + Sync {
    /// The memory it lies in; never the host.
    fn memory(&self) -> Memory;
    /// Its address in that memory.
    fn address(&self) -> usize;
    /// Its length in bytes.
    fn len(&self) -> usize;
    /// Whether it has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
