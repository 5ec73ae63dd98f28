//! Checked changes of a graph: new nodes, and values that take the place of others.

use base::{Result, Value, ensure};

use crate::settle::{same, settle};
use crate::{Attributes, Fact, Facts, Graph, Node, NodeId, OpKey, Oracle, ValueId, infer_node};

/// A change of a graph, built aside and applied at once or not at all.
///
/// The new values are checked against those they replace: type, rank and known sizes must agree.
#[derive(Debug, Default)]
pub struct Patch {
    nodes: Vec<Node>,
    /// New values, numbered from the end of the graph's; the constant, if it is one.
    values: Vec<Option<Value>>,
    replacements: Vec<(ValueId, ValueId)>,
    first_value: usize,
}

/// What became of a patch.
#[derive(Debug, Default)]
pub struct Applied {
    /// The new nodes.
    pub added: Vec<NodeId>,
    /// The nodes that read a value now that took the place of another, and are still there.
    pub readers: Vec<NodeId>,
    /// Those of the readers of whose inputs something else is known than before: they should be inferred again.
    pub stale: Vec<NodeId>,
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

    /// A new node of `outputs` outputs that stands for the nodes `origins` of `graph`, and for those that nobody reads any more once
    /// its outputs have taken the place of others.
    pub fn node(
        &mut self,
        graph: &Graph,
        origins: &[NodeId],
        key: OpKey,
        inputs: &[Option<ValueId>],
        attributes: Attributes,
        outputs: usize,
    ) -> Vec<ValueId> {
        let node = Node { inputs: inputs.to_vec(), attributes, ..self.standing_for(graph, origins, key) };
        self.push(node, outputs)
    }

    /// A node of operator `key`, yet without inputs and outputs, that stands for the nodes `origins` of `graph`.
    pub fn standing_for(&self, graph: &Graph, origins: &[NodeId], key: OpKey) -> Node {
        let mut node = Node::new(key);
        for origin in origins.iter().map(|id| graph.node(*id)) {
            add_origins(&mut node, origin);
            if node.name.is_empty() {
                node.name.clone_from(&origin.name);
            }
            if node.provider.is_none() {
                node.provider.clone_from(&origin.provider);
            }
        }
        node
    }

    /// Adds a copy of `node`, already complete but for its outputs, which become new values.
    pub fn push(&mut self, mut node: Node, outputs: usize) -> Vec<ValueId> {
        let written: Vec<ValueId> = (0..outputs).map(|_| self.value(None)).collect();
        node.outputs = written.iter().copied().map(Some).collect();
        self.nodes.push(node);
        written
    }

    /// Adds a copy of `node`, already complete but for its outputs: those it has become new values, those left out stay so.
    pub fn copy(&mut self, mut node: Node) -> Vec<Option<ValueId>> {
        let written: Vec<Option<ValueId>> = node.outputs.iter().map(|v| v.map(|_| self.value(None))).collect();
        node.outputs.clone_from(&written);
        self.nodes.push(node);
        written
    }

    /// Adds copies of all nodes of `inner`, a graph whose inputs, then captures, are the values `given`. Gives its outputs.
    ///
    /// # Errors
    /// `InvalidGraph` when `given` has another length, or a value of `inner` is never written.
    pub fn graft(&mut self, inner: &Graph, given: &[ValueId]) -> Result<Vec<ValueId>> {
        let needed = inner.inputs.len() + inner.captures.len();
        ensure!(given.len() == needed, InvalidGraph, "graph '{}' takes {needed} values but is given {}", inner.name, given.len());
        let mut outer: Vec<Option<ValueId>> = vec![None; inner.value_count()];
        for (v, g) in inner.inputs.iter().chain(&inner.captures).zip(given) {
            outer[v.index()] = Some(*g);
        }
        for (v, info) in inner.values() {
            if let (None, Some(constant)) = (outer[v.index()], &info.constant) {
                outer[v.index()] = Some(self.constant(constant.clone()));
            }
        }
        let find = |outer: &[Option<ValueId>], v: ValueId| {
            outer[v.index()].ok_or_else(|| base::error!(InvalidGraph, "value '{}' is read but nothing writes it", inner.value(v).name))
        };
        for id in inner.order()? {
            let mut node = inner.node(id).clone();
            let captures = node.subgraphs.iter_mut().flat_map(|s| &mut s.captures);
            for v in node.inputs.iter_mut().flatten().chain(captures) {
                *v = find(&outer, *v)?;
            }
            let written = self.copy(node);
            for (v, w) in inner.node(id).outputs.iter().zip(written) {
                if let Some(v) = v {
                    outer[v.index()] = w;
                }
            }
        }
        inner.outputs.iter().map(|v| find(&outer, *v)).collect()
    }

    /// Lets everything that reads `old` read `new` instead.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        self.replacements.push((old, new));
    }

    /// Applies the change to `graph`, infers the facts of what is new, and removes nodes that nobody reads any more.
    ///
    /// Names that callers know stay: a value that takes the place of an output takes its name. One that has a name of its own that
    /// callers know (an input, another output) is copied by an `Identity` instead.
    ///
    /// # Errors
    /// What inference says of the new nodes; `NotImplemented` when no kernel runs one; `Fail` when a new value does not agree with
    /// the one it replaces. The graph is then as it was, but for values that nobody reads.
    pub fn apply(self, graph: &mut Graph, facts: &mut Facts, oracle: &dyn Oracle) -> Result<Applied> {
        ensure!(graph.value_count() == self.first_value, Fail, "the patch was made for another state of the graph");
        for constant in self.values {
            let id = graph.add_value("");
            if let Some(constant) = constant {
                facts.set(id, Fact::constant(constant.clone()));
                graph.value_mut(id).constant = Some(constant);
            }
        }
        let (first_value, first_symbol) = (self.first_value, facts.symbols.len());
        let mut applied = Applied { added: self.nodes.into_iter().map(|n| graph.add_node(n)).collect(), ..Applied::default() };
        let checked = applied
            .added
            .iter()
            .try_for_each(|id| infer_new(graph, *id, facts, oracle))
            .and_then(|()| self.replacements.iter().try_for_each(|(old, new)| check(facts, *old, *new)));
        if let Err(e) = checked {
            applied.added.iter().for_each(|id| drop(graph.remove_node(*id)));
            return Err(e);
        }
        for (old, new) in self.replacements {
            if new.index() >= first_value {
                facts.set(new, settle(facts.fact(old)?, facts.fact(new)?.clone(), first_symbol, &facts.symbols));
            }
            let readers = graph.uses(old).to_vec();
            if !same(facts.fact(old)?, facts.fact(new)?) {
                applied.stale.extend(&readers);
            }
            applied.readers.extend(readers);
            applied.added.extend(substitute(graph, facts, oracle, old, new)?);
            let removed = remove_dead(graph, old);
            if let Some((id, _)) = graph.producer(new).filter(|_| new.index() >= first_value) {
                removed.iter().for_each(|origin| add_origins(graph.node_mut(id), origin));
            }
        }
        for list in [&mut applied.added, &mut applied.readers, &mut applied.stale] {
            list.retain(|id| graph.get_node(*id).is_some());
        }
        Ok(applied)
    }
}

fn infer_new(graph: &Graph, id: NodeId, facts: &mut Facts, oracle: &dyn Oracle) -> Result<()> {
    infer_node(graph, id, facts, oracle)?;
    let node = graph.node(id);
    let inputs: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| facts.get(v))).collect();
    ensure!(oracle.runs(node, &inputs), NotImplemented, "no kernel runs {}", node.key);
    Ok(())
}

fn check(facts: &Facts, old: ValueId, new: ValueId) -> Result<()> {
    let (was, is) = (facts.fact(old)?, facts.fact(new)?);
    ensure!(is.agrees_with(was), Fail, "{} {:?} cannot replace {} {:?}", is.ty, is.shape, was.ty, was.shape);
    Ok(())
}

/// Lets everything that reads `old` read `new`. Gives the node that copies `new` under the name of `old`, if there has to be one.
fn substitute(graph: &mut Graph, facts: &mut Facts, oracle: &dyn Oracle, old: ValueId, new: ValueId) -> Result<Option<NodeId>> {
    if !graph.is_output(old) {
        if graph.value(new).name.is_empty() {
            graph.value_mut(new).name = std::mem::replace(&mut graph.value_mut(old).name, "".into());
        }
        graph.replace_uses(old, new);
        return Ok(None);
    }
    let known = graph.inputs.contains(&new) || graph.captures.contains(&new) || graph.is_output(new);
    let mut copying = None;
    let shown = if known {
        let copy = graph.add_value("");
        facts.set(copy, Fact { constant: None, ..facts.fact(new)?.clone() });
        let key = oracle.operator("", "Identity").unwrap_or_else(|| OpKey::new("", "Identity", 25));
        copying = Some(graph.add_node(Node { inputs: vec![Some(new)], outputs: vec![Some(copy)], ..Node::new(key) }));
        copy
    } else {
        new
    };
    graph.outputs.replace(old, shown);
    graph.replace_uses(old, new);
    graph.value_mut(shown).name = std::mem::replace(&mut graph.value_mut(old).name, "".into());
    Ok(copying)
}

/// Lets `node` stand for what `origin` stands for too.
fn add_origins(node: &mut Node, origin: &Node) {
    for o in &origin.origins {
        if !node.origins.contains(o) {
            node.origins.push(o.clone());
        }
    }
}

/// Removes the node that writes `value` if nobody reads any of its outputs, and then those that only it read. Gives what it removed.
pub(crate) fn remove_dead(graph: &mut Graph, value: ValueId) -> Vec<Node> {
    let (mut candidates, mut removed) = (vec![value], Vec::new());
    while let Some(v) = candidates.pop() {
        let Some((id, node)) = graph.producer(v) else { continue };
        let needed = node.outputs.iter().flatten().any(|o| !graph.uses(*o).is_empty() || graph.is_output(*o));
        if !needed && let Some(node) = graph.remove_node(id) {
            candidates.extend(node.reads());
            removed.push(node);
        }
    }
    removed
}
