//! Execution providers: who runs nodes, and in which memory.

use std::any::Any;
use std::sync::Arc;

use base::{Buffer, Memory, Result, TensorMut, TensorRef};
use ir::{Fact, Node};

use crate::{Mask, OpDef, Prepare, Prepared};

/// What a provider says to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It runs the node; the host reads and writes what the mask names.
    Yes(Mask),
    /// It does not, and why.
    No(String),
}

/// What a provider keeps for one run.
pub trait RunState: Any + Send + Sync {
    /// Ends the run: waits for the work that it started, and tells what kernels found wrong meanwhile.
    ///
    /// # Errors
    /// That, naming the node, and what the device says.
    fn finish(&self) -> Result<()>;
}

/// An execution provider: it claims nodes, builds their kernels, and owns a memory.
pub trait Provider: Send + Sync {
    /// The name, such as `CUDAExecutionProvider`.
    fn name(&self) -> &str;

    /// The memory its kernels read and write.
    fn memory(&self) -> Memory;

    /// Whether it runs `node`, whose inputs and outputs have these facts. `def` is `None` for a function of the model.
    fn claim(&self, node: &Node, def: Option<&OpDef>, inputs: &[Option<&Fact>], outputs: &[Option<&Fact>]) -> Claim;

    /// Builds the kernel of a node it claimed.
    ///
    /// # Errors
    /// `NotImplemented` and whatever the kernel says of its constants.
    fn prepare(&self, op: &dyn crate::Op, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>>;

    /// The graph passes, by name, that make nodes it would leave to others.
    fn unwanted_passes(&self) -> &'static [&'static str] {
        &[]
    }

    /// What else there is to say of how it runs nodes, for whoever asks.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What it keeps for a run that begins, if anything: kernels find it by [`Run::state`](crate::Run::state).
    ///
    /// # Errors
    /// What its device says.
    fn begin(&self) -> Result<Option<Arc<dyn RunState>>> {
        Ok(None)
    }

    /// Waits until all work on its device is done, that of others too.
    ///
    /// # Errors
    /// What its device says.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// `bytes` bytes of its memory.
    ///
    /// # Errors
    /// `Fail` when there are not enough.
    fn allocate(&self, bytes: usize) -> Result<Buffer>;

    /// Copies a tensor between its memory and the host's, or within its memory.
    ///
    /// # Errors
    /// `Fail` when it reaches neither.
    fn copy(&self, from: TensorRef<'_>, to: TensorMut<'_>) -> Result<()>;
}

/// Makes providers of one name, as sessions ask for them with options of their own.
pub trait ProviderFactory: Send + Sync {
    /// The name of the providers.
    fn name(&self) -> &str;

    /// Why there can be none here, if so.
    fn absent(&self) -> Option<String>;

    /// A provider with `options`, by name.
    ///
    /// # Errors
    /// `InvalidArgument` for an option that it does not know or take; what its device says.
    fn make(&self, options: &[(String, String)]) -> Result<Arc<dyn Provider>>;
}
