//! Who is told of each node that ran.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ir::Node;

/// Is told of each node when it has run, with when it began and ended. Nodes of graphs within nodes count to the node that runs them.
#[derive(Clone)]
pub struct Observer(Arc<Tell>);

type Tell = dyn Fn(&Node, Instant, Instant) + Send + Sync;

impl Observer {
    /// An observer that calls `tell`, on the thread of the run.
    pub fn new(tell: impl Fn(&Node, Instant, Instant) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, node: &Node, start: Instant) {
        (self.0)(node, start, Instant::now());
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
