//! The numbers and the names of devices' memories.

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

/// A memory as users know it.
pub fn memory_name(memory: Memory) -> String {
    match device_of(memory) {
        Some(ordinal) => format!("the memory of CUDA device {ordinal}"),
        None if memory.is_host() => "the memory of the host".into(),
        None => format!("the memory of {memory}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_have_names() {
        assert_eq!(memory_name(memory_of(3)), "the memory of CUDA device 3");
        assert_eq!(memory_name(Memory::HOST), "the memory of the host");
        assert_eq!(memory_name(Memory(7)), "the memory of device 7");
    }
}
