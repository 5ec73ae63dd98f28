//! The numbers of devices' memories.

use base::Memory;

/// Memories of CUDA devices are numbered from here on.
const FIRST: u16 = 0x100;

/// The memory of device `ordinal`.
pub fn memory_of(ordinal: u16) -> Memory {
    Memory(FIRST + ordinal % FIRST)
}

/// The device whose memory `memory` is, if it is one.
pub fn device_of(memory: Memory) -> Option<u16> {
    memory.0.checked_sub(FIRST).filter(|ordinal| *ordinal < FIRST)
}
