//! A kernel of a node, ready to be launched.

use std::sync::Arc;

use base::Result;
use cuda::{Modules, Stream};
use op::cuda::{Cuda, CudaKernel, Faults};
use op::{Prepared, Run};

/// What the kernels of a provider share.
pub(crate) struct Shared {
    pub(crate) stream: Arc<Stream>,
    pub(crate) modules: Modules,
    pub(crate) faults: Faults,
}

/// A kernel of a node, ready to be launched.
pub(crate) struct Launch {
    pub(crate) kernel: Box<dyn CudaKernel>,
    pub(crate) shared: Arc<Shared>,
    /// The operator of the node.
    pub(crate) op: String,
    /// The number by which kernels report the node.
    pub(crate) node: u32,
}

impl Prepared for Launch {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let Shared { stream, modules, faults } = &*self.shared;
        self.kernel.launch(&mut Cuda::new(cx, stream, modules, faults, self.node, &self.op))
    }
}
