//! Who is told of each node that ran.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use base::{DType, TensorRef};
use ir::{Graph, Node, NodeId};
use op::{Slot, Wires};

/// Is told of each node when it has run, with when it began and ended. Nodes of graphs within nodes count to the node that runs them.
#[derive(Clone)]
pub struct Observer(Arc<Tell>);

type Tell = dyn Fn(&Ran<'_>) + Send + Sync;

impl Observer {
    /// An observer that calls `tell` with the node, its begin and its end, on the thread that ran it.
    pub fn new(tell: impl Fn(&Node, Instant, Instant) + Send + Sync + 'static) -> Self {
        Self::of_values(move |ran| tell(ran.node, ran.start, ran.end))
    }

    /// An observer that calls `tell` with what is known of the node and its values, on the thread that ran it.
    pub fn of_values(tell: impl Fn(&Ran<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Passes on what another observer was told.
    pub fn pass(&self, ran: &Ran<'_>) {
        (self.0)(ran);
    }

    pub(crate) fn tell(&self, graph: &Graph, id: NodeId, start: Instant, slots: &[Slot], wires: &Wires) {
        (self.0)(&Ran { graph, node: graph.node(id), index: id.index(), start, end: Instant::now(), slots, wires });
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// A node that has run, its values still at hand.
pub struct Ran<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its number in the graph.
    pub index: usize,
    /// When it began.
    pub start: Instant,
    /// When it ended.
    pub end: Instant,
    graph: &'a Graph,
    slots: &'a [Slot],
    wires: &'a Wires,
}

/// What a tensor that a node read or wrote is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The element type.
    pub dtype: DType,
    /// The sizes of the axes.
    pub shape: Vec<usize>,
}

impl Seen {
    fn of(tensor: &TensorRef<'_>) -> Self {
        Self { dtype: tensor.dtype(), shape: tensor.shape().to_vec() }
    }

    /// Bytes that its elements take; 0 for strings.
    pub fn bytes(&self) -> usize {
        self.dtype.bytes_of(self.shape.iter().product()).unwrap_or(0)
    }
}

impl Ran<'_> {
    fn seen(&self, slots: &[Option<u32>]) -> Vec<Option<Seen>> {
        let tensor = |slot: &Option<u32>| self.slots.get((*slot)? as usize)?.tensor().ok().map(|t| Seen::of(&t));
        slots.iter().map(tensor).collect()
    }

    /// The tensors that it read; `None` for an input left out and for what is no tensor.
    pub fn inputs(&self) -> Vec<Option<Seen>> {
        self.seen(&self.wires.inputs[..self.wires.given])
    }

    /// The tensors that it wrote; `None` for an output left out and for what is no tensor.
    pub fn outputs(&self) -> Vec<Option<Seen>> {
        self.seen(&self.wires.outputs)
    }

    /// Output `i` as it lies in memory; `None` for one left out and for what is no tensor.
    pub fn output(&self, i: usize) -> Option<TensorRef<'_>> {
        let slot = self.wires.outputs.get(i).copied().flatten()?;
        self.slots.get(slot as usize)?.tensor().ok()
    }

    /// The graph that the node belongs to.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// Whether each input is fixed by the model.
    pub fn constants(&self) -> Vec<bool> {
        self.node.inputs.iter().map(|v| v.is_some_and(|v| self.graph.value(v).constant.is_some())).collect()
    }
}
