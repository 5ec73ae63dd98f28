//! Checked changes of a graph: new nodes, and values that take the place of others.

use base::{Result, Value, ensure};

use crate::{Attributes, Facts, Graph, Node, NodeId, OpKey, Oracle, ValueId, infer_node};

/// A change of a graph, built aside and applied at once or not at all.
///
/// The new values are checked against those they replace: type, rank and known sizes must agree.
#[derive(Debug, Default)]
pub struct Patch {
    nodes: Vec<Node>,
    /// New values, numbered from the end of the graph's: `(name, constant)`.
    values: Vec<Option<Value>>,
    replacements: Vec<(ValueId, ValueId)>,
    first_value: usize,
}

impl Patch {
    /// An empty change of `graph`.
    pub fn new(graph: &Graph) -> Self {
        Self { first_value: graph.value_count(), ..Self::default() }
    }

    fn value(&mut self, constant: Option<Value>) -> ValueId {
        self.values.push(constant);
        ValueId::from_index(self.first_value + self.values.len() - 1)
    }

    /// A new constant.
    pub fn constant(&mut self, value: impl Into<Value>) -> ValueId {
        self.value(Some(value.into()))
    }

    /// A new node of `outputs` outputs that stands for the nodes `origins` of `graph`.
    pub fn node(
        &mut self,
        graph: &Graph,
        origins: &[NodeId],
        key: OpKey,
        inputs: &[Option<ValueId>],
        attributes: Attributes,
        outputs: usize,
    ) -> Vec<ValueId> {
        let mut node = Node { inputs: inputs.to_vec(), attributes, ..Node::new(key) };
        for origin in origins.iter().map(|id| graph.node(*id)) {
            node.origins.extend(origin.origins.iter().cloned());
            if node.name.is_empty() {
                node.name.clone_from(&origin.name);
            }
        }
        let written: Vec<ValueId> = (0..outputs).map(|_| self.value(None)).collect();
        node.outputs = written.iter().copied().map(Some).collect();
        self.nodes.push(node);
        written
    }

    /// Adds a copy of `node`, already complete but for its outputs, which become new values.
    pub fn push(&mut self, mut node: Node, outputs: usize) -> Vec<ValueId> {
        let written: Vec<ValueId> = (0..outputs).map(|_| self.value(None)).collect();
        node.outputs = written.iter().copied().map(Some).collect();
        self.nodes.push(node);
        written
    }

    /// Lets everything that reads `old` read `new` instead.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        self.replacements.push((old, new));
    }

    /// Applies the change to `graph`, infers the facts of what is new, and removes nodes that nobody reads any more.
    /// Gives the new nodes.
    ///
    /// # Errors
    /// What inference says of the new nodes; `Fail` when a new value does not agree with the one it replaces.
    /// The graph is then as it was, but for values that nobody reads.
    pub fn apply(self, graph: &mut Graph, facts: &mut Facts, oracle: &dyn Oracle) -> Result<Vec<NodeId>> {
        ensure!(graph.value_count() == self.first_value, Fail, "the patch was made for another state of the graph");
        for constant in self.values {
            let id = graph.add_value("");
            if let Some(constant) = constant {
                facts.set(id, crate::Fact::constant(constant.clone()));
                graph.value_mut(id).constant = Some(constant);
            }
        }
        let added: Vec<NodeId> = self.nodes.into_iter().map(|n| graph.add_node(n)).collect();
        let checked = added
            .iter()
            .try_for_each(|id| infer_node(graph, *id, facts, oracle))
            .and_then(|()| self.replacements.iter().try_for_each(|(old, new)| check(facts, *old, *new)));
        if let Err(e) = checked {
            added.iter().for_each(|id| drop(graph.remove_node(*id)));
            return Err(e);
        }
        for (old, new) in self.replacements {
            keep_name(graph, old, new);
            graph.replace_uses(old, new);
            remove_dead(graph, old);
        }
        Ok(added)
    }
}

fn check(facts: &Facts, old: ValueId, new: ValueId) -> Result<()> {
    let (was, is) = (facts.fact(old)?, facts.fact(new)?);
    ensure!(is.agrees_with(was), Fail, "{} {:?} cannot replace {} {:?}", is.ty, is.shape, was.ty, was.shape);
    Ok(())
}

/// The new value takes the name of the old one, under which it may be fetched, unless it has one that callers know.
fn keep_name(graph: &mut Graph, old: ValueId, new: ValueId) {
    if graph.value(new).name.is_empty() {
        let name = std::mem::replace(&mut graph.value_mut(old).name, "".into());
        graph.value_mut(new).name = name;
    }
}

/// Removes the node that writes `value` if nobody reads any of its outputs, and then those that only it read.
pub(crate) fn remove_dead(graph: &mut Graph, value: ValueId) {
    let mut candidates = vec![value];
    while let Some(v) = candidates.pop() {
        let Some((id, node)) = graph.producer(v) else { continue };
        let needed = node.outputs.iter().flatten().any(|o| !graph.uses(*o).is_empty() || graph.is_output(*o));
        if !needed && let Some(node) = graph.remove_node(id) {
            candidates.extend(node.reads());
        }
    }
}
