//! Applying patches one by one: facts are kept true, the work is counted and bounded.

use std::collections::{HashSet, VecDeque};

use base::{ErrorKind, Result};
use ir::{Applied, Facts, Graph, NodeId, Oracle, Patch};

use crate::stale::infer_stale;
use crate::{Context, Pass, Report, Rule};

/// A graph in the hands of a pass.
pub struct Rewriter<'a> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) facts: &'a mut Facts,
    pub(crate) oracle: &'a dyn Oracle,
    /// As [`Options::fold_limit`](crate::Options).
    pub(crate) fold_limit: Option<usize>,
    pub(crate) pass: &'static Pass,
    pub(crate) report: &'a mut Report,
    pub(crate) log: &'a mut dyn FnMut(&str),
    /// Rewrites that may still be done.
    pub(crate) budget: &'a mut usize,
    /// Nodes of whose inputs something else is known since they were inferred.
    pub(crate) stale: HashSet<NodeId>,
}

impl Rewriter<'_> {
    /// The graph as rules see it.
    pub fn context(&self) -> Context<'_> {
        Context { graph: self.graph, facts: self.facts, oracle: self.oracle, fold_limit: self.fold_limit }
    }

    /// Whether no further rewrite may be done.
    pub fn is_over(&self) -> bool {
        *self.budget == 0
    }

    /// Applies `patch`, found at node `at`. `None` when the budget is used up, or the patch is refused: then the graph is as it was.
    pub fn apply(&mut self, patch: Patch, at: NodeId) -> Option<Applied> {
        if self.is_over() {
            return None;
        }
        let place = place(self.graph, at);
        match patch.apply(self.graph, self.facts, self.oracle) {
            Ok(applied) => {
                self.stale.extend(&applied.stale);
                self.count(&place);
                Some(applied)
            }
            Err(e) => {
                self.refuse(&place, &e);
                None
            }
        }
    }

    /// Removes node `id`, whose outputs nobody reads.
    pub fn remove(&mut self, id: NodeId) {
        if !self.is_over() {
            let place = place(self.graph, id);
            self.graph.remove_node(id);
            self.count(&place);
        }
    }

    fn count(&mut self, place: &str) {
        *self.budget -= 1;
        self.report.count(self.pass.name);
        (self.log)(&format!("{}: {} at {place}", self.report.total(), self.pass.name));
    }

    /// A new operator that has no kernel for these types is nothing to speak of; any other refusal is.
    fn refuse(&mut self, place: &str, e: &base::Error) {
        let line = format!("{} at {place} refused: {}", self.pass.name, e.message());
        (self.log)(&line);
        if e.kind() != ErrorKind::NotImplemented {
            self.report.refused.push(line);
        }
    }

    /// Lets the pass work until it finds nothing more.
    ///
    /// # Errors
    /// `InvalidGraph` when the graph has a cycle.
    pub(crate) fn run(&mut self) -> Result<()> {
        match self.pass.rule {
            Rule::Global(rule) => rule(self)?,
            Rule::Local(rule) => self.run_local(rule)?,
        }
        infer_stale(self.graph, self.facts, self.oracle, std::mem::take(&mut self.stale), self.log)
    }

    fn run_local(&mut self, rule: fn(&Context<'_>, NodeId) -> Result<Option<Patch>>) -> Result<()> {
        let mut queue: VecDeque<NodeId> = self.graph.order()?.into();
        let mut queued: HashSet<NodeId> = queue.iter().copied().collect();
        while let Some(id) = queue.pop_front().filter(|_| !self.is_over()) {
            queued.remove(&id);
            if self.graph.get_node(id).is_none() {
                continue;
            }
            let applied = match rule(&self.context(), id) {
                Ok(None) => continue,
                Ok(Some(patch)) => self.apply(patch, id),
                Err(e) => {
                    let place = place(self.graph, id);
                    self.refuse(&place, &e);
                    None
                }
            };
            let Some(applied) = applied else { continue };
            let around = self.writers_of(&applied.added);
            for id in around.into_iter().chain(applied.added).chain(applied.readers) {
                if queued.insert(id) {
                    queue.push_back(id);
                }
            }
        }
        Ok(())
    }

    /// The nodes that write what `nodes` read: fewer may read them now.
    fn writers_of(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let reads = nodes.iter().filter_map(|id| self.graph.get_node(*id)).flat_map(ir::Node::reads);
        reads.filter_map(|v| self.graph.producer(v).map(|(id, _)| id)).collect()
    }
}

fn place(graph: &Graph, id: NodeId) -> String {
    match graph.get_node(id) {
        Some(node) => format!("{} '{}'", node.key, node.name),
        None => format!("{id:?}"),
    }
}

#[cfg(test)]
mod tests {
    use base::{ErrorKind, Tensor};
    use ir::{Attributes, OpKey, Patch, verify};

    use crate::testing::{OPSET, Operators, parse};

    const TEXT: &str = "
        x: float[2, 3]
        y = Neg(x)
        -> y";

    #[test]
    fn a_patch_that_does_not_fit_changes_nothing() {
        let operators = Operators::new(OPSET);
        let mut model = parse(TEXT, &operators);
        let before = model.lines();
        let y = model.graph.outputs[0];
        let mut patch = Patch::new(&model.graph);
        let other = patch.constant(Tensor::from_slice([3, 2], &[0f32; 6]).unwrap());
        patch.replace(y, other);
        let e = patch.apply(&mut model.graph, &mut model.facts, &*operators).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Fail);
        let mut patch = Patch::new(&model.graph);
        let x = model.graph.inputs[0];
        let new = patch.node(&model.graph, &[], OpKey::new("", "NoSuchOperator", 1), &[Some(x)], Attributes::new(), 1);
        patch.replace(y, new[0]);
        patch.apply(&mut model.graph, &mut model.facts, &*operators).unwrap_err();
        assert_eq!(model.lines(), before);
        verify(&model.graph).unwrap();
    }

    #[test]
    fn a_patch_for_another_state_of_the_graph_is_refused() {
        let operators = Operators::new(OPSET);
        let mut model = parse(TEXT, &operators);
        let patch = Patch::new(&model.graph);
        model.graph.add_value("more");
        assert!(patch.apply(&mut model.graph, &mut model.facts, &*operators).is_err());
    }
}
