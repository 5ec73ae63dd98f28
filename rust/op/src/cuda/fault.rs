//! What kernels find wrong while the host does not look.

use std::sync::{Mutex, PoisonError};

use ::cuda::Pinned;
use base::{Error, Result, error};

/// The first index out of range that a kernel met: `Fault` of `movement.cu`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Fault {
    /// The node that it befell, counted from 1; 0 as long as there is none.
    node: u32,
    /// The input that holds the index.
    input: u32,
    index: i64,
    /// The size of the axis that it does not lie on.
    len: u64,
}

/// A place where kernels report, and the names of the nodes that they speak of.
pub struct Faults {
    memory: Pinned,
    address: u64,
    nodes: Mutex<Vec<(String, String)>>,
}

impl Faults {
    /// A place in `memory`, which is pinned and zero.
    ///
    /// # Errors
    /// `Fail` when it is too small, and what the driver says.
    pub fn new(memory: Pinned) -> Result<Self> {
        base::ensure!(memory.len() >= size_of::<Fault>(), Fail, "{} bytes do not hold a report", memory.len());
        Ok(Self { address: memory.device_address()?, memory, nodes: Mutex::default() })
    }

    /// Where kernels find it.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The number of a node, by operator and name.
    pub fn number(&self, op: &str, name: &str) -> u32 {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push((op.to_owned(), name.to_owned()));
        nodes.len() as u32
    }

    /// The error that kernels reported, if any, naming the node; it is told once. To be asked after waiting for the stream.
    ///
    /// # Errors
    /// `InvalidArgument` with the index.
    pub fn check(&self) -> Result<()> {
        let place = self.memory.address().cast::<Fault>();
        // SAFETY: `new` found room for a fault, which pinned memory aligns; any bytes are one. Kernels write it only while it is zero,
        // and the read may not be moved before the wait for them.
        let fault = unsafe { place.read_volatile() };
        if fault.node == 0 {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { place.write_volatile(Fault::default()) };
        Err(self.error(fault))
    }

    fn error(&self, fault: Fault) -> Error {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let Fault { index, len, input, .. } = fault;
        let last = len as i64 - 1;
        let e = error!(
            InvalidArgument,
            "indices element out of data bounds, idx={index} must be within the inclusive range [{},{last}] (input {input})",
            -(len as i64)
        );
        match nodes.get(fault.node as usize - 1) {
            Some((op, name)) => e.at(op, name),
            None => e,
        }
    }
}
