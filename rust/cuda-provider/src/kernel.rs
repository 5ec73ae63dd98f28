//! A kernel of a node, ready to be launched.

use std::sync::Arc;

use base::Result;
use op::cuda::{Cuda, CudaKernel, Tools};
use op::{Prepared, Run};

/// A kernel of a node, ready to be launched.
pub(crate) struct Launch {
    pub(crate) kernel: Box<dyn CudaKernel>,
    pub(crate) tools: Arc<Tools>,
    /// The operator of the node.
    pub(crate) op: String,
    /// The number by which kernels report the node.
    pub(crate) node: u32,
}

impl Prepared for Launch {
    fn name(&self) -> &'static str {
        self.kernel.name()
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        self.kernel.launch(&mut Cuda::new(cx, &self.tools, self.node, &self.op))
    }
}
