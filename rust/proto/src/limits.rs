//! How much a file may ask of its reader.

use std::cell::Cell;

/// Bounds on reading a message.
///
/// A few bytes of protobuf can stand for a large struct (an empty node takes two bytes), so counts of nodes, initializers and other
/// repeated elements are bounded together, by the memory that their structs take: at most
/// `memory_floor + memory_per_byte * input bytes`. Payloads are borrowed and cost nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages within messages, as a graph in an attribute of a node in a graph. Protobuf's own readers stop at 100, the default.
    pub depth: usize,
    /// Bytes of structs that any input may make. Default: 64 MiB, some hundred thousand nodes.
    pub memory_floor: usize,
    /// Bytes of structs per byte of input, above the floor. Default: 32; models of many small nodes come to 16.
    pub memory_per_byte: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 100, memory_floor: 64 << 20, memory_per_byte: 32 }
    }
}

/// The memory that a decode may still take.
pub(crate) struct Budget {
    total: usize,
    left: Cell<usize>,
}

impl Budget {
    /// The budget that `limits` grant to an input of `len` bytes.
    pub(crate) fn new(limits: &Limits, len: usize) -> Self {
        let total = limits.memory_per_byte.saturating_mul(len).saturating_add(limits.memory_floor);
        Self { total, left: Cell::new(total) }
    }

    /// Takes `bytes`, or says how many there were in all.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), usize> {
        let left = self.left.get().checked_sub(bytes).ok_or(self.total)?;
        self.left.set(left);
        Ok(())
    }
}
