//! Putting a graph in the place of a node.

use std::collections::HashMap;

use base::{Result, ensure};

use crate::{Graph, Node, NodeId, Subgraph, ValueId};

impl Graph {
    /// Replaces node `id` by `body`, whose inputs and outputs are those of the node, in order. What the node leaves out, the nodes of
    /// the body that would read it leave out. Gives the new nodes.
    ///
    /// # Errors
    /// `InvalidGraph` when the node gives more inputs or takes more outputs than the body has.
    pub fn inline(&mut self, id: NodeId, body: &Graph) -> Result<Vec<NodeId>> {
        let call = self.node(id).clone();
        let (given, takes) = (call.inputs.len(), body.inputs.len());
        ensure!(given <= takes, InvalidGraph, "{given} inputs are given, but the function has {takes}");
        let (taken, gives) = (call.outputs.len(), body.outputs.len());
        ensure!(taken <= gives, InvalidGraph, "{taken} outputs are taken, but the function has {gives}");
        self.remove_node(id);
        let mut map: HashMap<ValueId, Option<ValueId>> = HashMap::new();
        for (i, v) in body.inputs.iter().enumerate() {
            map.insert(*v, call.input(i));
        }
        for (v, info) in body.values() {
            map.entry(v).or_insert_with(|| {
                let new = self.add_value("");
                self.value_mut(new).constant.clone_from(&info.constant);
                Some(new)
            });
        }
        let added = body.nodes().map(|(_, node)| self.add_node(renamed(node, &call, &map))).collect();
        for (old, inner) in call.outputs.iter().zip(&body.outputs) {
            let Some(old) = *old else { continue };
            let Some(new) = map[inner] else { base::bail!(InvalidGraph, "an output of the function is an input that is left out") };
            if self.value(new).name.is_empty() {
                let name = std::mem::replace(&mut self.value_mut(old).name, "".into());
                self.value_mut(new).name = name;
            }
            self.replace_uses(old, new);
        }
        Ok(added)
    }
}

/// `node` of a body, with the values of the graph it moves to.
fn renamed(node: &Node, call: &Node, map: &HashMap<ValueId, Option<ValueId>>) -> Node {
    let to = |v: &Option<ValueId>| v.and_then(|v| map[&v]);
    let subgraphs = node.subgraphs.iter().map(|s| {
        // A captured input that the call leaves out cannot be expressed; the verifier will name it.
        Subgraph { captures: s.captures.iter().filter_map(|v| map[v]).collect(), ..s.clone() }
    });
    let name = if node.name.is_empty() { call.name.clone() } else { node.name.clone() };
    Node {
        name,
        inputs: node.inputs.iter().map(to).collect(),
        outputs: node.outputs.iter().map(to).collect(),
        subgraphs: subgraphs.collect(),
        origins: call.origins.clone(),
        ..node.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpKey;

    #[test]
    fn values_are_renamed_and_left_out() {
        let mut body = Graph::default();
        let (a, b, y) = (body.add_value("a"), body.add_value("b"), body.add_value("y"));
        (body.inputs, body.outputs) = (vec![a, b].into(), vec![y].into());
        body.add_node(Node { inputs: vec![Some(a), Some(b)], outputs: vec![Some(y)], ..Node::new(OpKey::new("", "Add", 14)) });

        let mut g = Graph::default();
        let (x, out) = (g.add_value("x"), g.add_value("out"));
        (g.inputs, g.outputs) = (vec![x].into(), vec![out].into());
        let call = g.add_node(Node { inputs: vec![Some(x)], outputs: vec![Some(out)], ..Node::new(OpKey::new("my", "F", 1)) });
        let added = g.inline(call, &body).unwrap();
        assert_eq!(g.node(added[0]).inputs, [Some(x), None]);
        assert_eq!(&*g.value(g.outputs[0]).name, "out");
        crate::verify(&g).unwrap();
    }
}
