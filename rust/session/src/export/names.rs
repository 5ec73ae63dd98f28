//! Names for what a saved graph consists of.

use std::collections::{BTreeMap, BTreeSet};

use ir::{Graph, NodeId, Subgraph, ValueId};
use proto::Text;

/// A name of its own for every value and node of a graph.
pub(super) struct Names {
    values: BTreeMap<ValueId, String>,
    nodes: BTreeMap<NodeId, String>,
    /// The names of the values of this graph and those around.
    taken: BTreeSet<String>,
}

impl Names {
    /// Names for `graph`, which no other is around.
    pub(super) fn new(graph: &Graph) -> Self {
        Self::for_graph(graph, BTreeMap::new(), BTreeSet::new())
    }

    /// Names for the graph of a node of this one.
    pub(super) fn within(&self, sub: &Subgraph) -> Self {
        let pairs = sub.graph.captures.iter().zip(&sub.captures);
        let captured = pairs.filter_map(|(inner, outer)| Some((*inner, self.values.get(outer)?.clone()))).collect();
        Self::for_graph(&sub.graph, captured, self.taken.clone())
    }

    fn for_graph(graph: &Graph, captured: BTreeMap<ValueId, String>, taken: BTreeSet<String>) -> Self {
        let mut names = Self { values: captured, nodes: BTreeMap::new(), taken };
        // What callers know comes first, then what has a name, so that no name that is made up is one that a later value has.
        names.keep(graph, &mut graph.inputs.iter().chain(&graph.outputs).copied());
        names.keep(graph, &mut graph.values().map(|(id, _)| id));
        for (id, _) in graph.values() {
            if !names.values.contains_key(&id) {
                let name = fresh(&names.taken, "value", id.index());
                names.taken.insert(name.clone());
                names.values.insert(id, name);
            }
        }
        names.name_nodes(graph);
        names
    }

    /// Lets those of `values` that have a name which is free keep it.
    fn keep(&mut self, graph: &Graph, values: &mut dyn Iterator<Item = ValueId>) {
        for id in values {
            let name = &graph.value(id).name;
            if !name.is_empty() && !self.values.contains_key(&id) && self.taken.insert(name.to_string()) {
                self.values.insert(id, name.to_string());
            }
        }
    }

    /// Nodes that one node became have its name; other runtimes want each but once.
    fn name_nodes(&mut self, graph: &Graph) {
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let (mut first, mut others) = (Vec::new(), Vec::new());
        for (id, node) in graph.nodes().filter(|(_, n)| !n.name.is_empty()) {
            if taken.insert(node.name.clone()) { first.push((id, node)) } else { others.push((id, node)) }
        }
        self.nodes.extend(first.into_iter().map(|(id, node)| (id, node.name.clone())));
        for (id, node) in others {
            let name = fresh(&taken, &node.name, id.index());
            taken.insert(name.clone());
            self.nodes.insert(id, name);
        }
    }

    /// The name of `value`; empty for one left out.
    pub(super) fn of(&self, value: Option<ValueId>) -> Text<'static> {
        value.and_then(|v| self.values.get(&v)).cloned().unwrap_or_default().into()
    }

    /// The name of node `id`; empty if it has none.
    pub(super) fn of_node(&self, id: NodeId) -> &str {
        self.nodes.get(&id).map_or("", String::as_str)
    }
}

/// A name that begins with `stem` and is not taken; numbers are tried from `index` on.
fn fresh(taken: &BTreeSet<String>, stem: &str, index: usize) -> String {
    (index..).map(|i| format!("{stem}_{i}")).find(|n| !taken.contains(n)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ir::{Node, OpKey};

    use super::*;

    fn name(names: &Names, v: ValueId) -> String {
        names.of(Some(v)).to_string()
    }

    #[test]
    fn names_that_are_made_up_are_no_others() {
        let mut graph = Graph::default();
        let [unnamed, twin, twice, output] = ["", "a", "a", "value_0"].map(|n| graph.add_value(n));
        (graph.inputs, graph.outputs) = (vec![twice].into(), vec![output].into());
        let names = Names::new(&graph);
        assert_eq!([twice, output].map(|v| name(&names, v)), ["a", "value_0"]);
        assert_eq!([unnamed, twin].map(|v| name(&names, v)), ["value_1", "value_2"]);
    }

    #[test]
    fn values_within_hide_none_of_those_around() {
        let mut inner = Graph::default();
        let [captured, own] = ["x", "y"].map(|n| inner.add_value(n));
        inner.captures = vec![captured].into();
        let mut graph = Graph::default();
        let [y, z] = ["y", "z"].map(|n| graph.add_value(n));
        let names = Names::new(&graph);
        let within = names.within(&Subgraph { attribute: "body".into(), graph: Arc::new(inner), captures: vec![z] });
        assert_eq!([captured, own].map(|v| name(&within, v)), ["z", "value_1"]);
        assert_eq!(name(&names, y), "y");
    }

    #[test]
    fn nodes_of_one_name_get_others() {
        let mut graph = Graph::default();
        let ids = ["n", "n", "", "n_1", "n"].map(|n| graph.add_node(Node { name: n.into(), ..Node::new(OpKey::new("", "Relu", 14)) }));
        let names = Names::new(&graph);
        assert_eq!(ids.map(|id| names.of_node(id)), ["n", "n_2", "", "n_1", "n_4"]);
    }
}
