//! The graphs that nodes run, optimized with what is known outside: captured constants are constants inside.

use std::collections::HashSet;
use std::sync::Arc;

use base::Result;
use ir::{Fact, Facts, Graph, Loaded, Node, NodeId, Subgraph};

use crate::driver::Run;
use crate::stale::infer_stale;

impl Run<'_> {
    /// Optimizes the graphs that nodes of `graph` run. Says whether anything changed.
    pub(crate) fn subgraphs(&mut self, graph: &mut Graph, facts: &mut Facts) -> Result<bool> {
        let hosts: Vec<NodeId> = graph.nodes().filter(|(_, n)| !n.subgraphs.is_empty()).map(|(id, _)| id).collect();
        let mut changed = false;
        for id in hosts {
            if self.is_over() {
                break;
            }
            changed |= self.host(graph, facts, id)?;
        }
        Ok(changed)
    }

    fn host(&mut self, graph: &mut Graph, facts: &mut Facts, id: NodeId) -> Result<bool> {
        let node = graph.node(id);
        let reads = node.inputs.iter().copied().chain(node.subgraphs.iter().flat_map(|s| &s.captures).map(|v| Some(*v)));
        let inputs: Vec<Option<&Fact>> = reads.map(|v| v.and_then(|v| facts.get(v))).collect();
        let inside = match self.oracle.inside(node, &inputs) {
            Ok(Some(inside)) if inside.len() == node.subgraphs.len() => inside,
            Ok(_) => return Ok(false),
            Err(e) => {
                (self.log)(&format!("the graphs of {} '{}' stay as they are: {}", node.key, node.name, e.message()));
                return Ok(false);
            }
        };
        let before = self.report.total();
        let mut subgraphs = node.subgraphs.clone();
        let mut pruned = false;
        for (sub, mut known) in subgraphs.iter_mut().zip(inside) {
            let mut inner = Graph::clone(&sub.graph);
            self.graph(&mut inner, &mut known)?;
            pruned |= drop_unread_captures(&mut inner, sub);
            sub.graph = Arc::new(inner);
        }
        if self.report.total() == before && !pruned {
            return Ok(false);
        }
        let id = replace_subgraphs(graph, id, subgraphs);
        infer_stale(graph, facts, self.oracle, HashSet::from([id]), self.log)?;
        Ok(true)
    }
}

/// Takes captured values that nobody inside reads off the list, so that the graph around need not keep them. Says whether there were any.
fn drop_unread_captures(inner: &mut Graph, sub: &mut Subgraph) -> bool {
    let read: HashSet<_> = inner.captures.iter().copied().filter(|v| !inner.uses(*v).is_empty() || inner.is_output(*v)).collect();
    let count = inner.captures.len();
    let pairs = inner.captures.iter().copied().zip(sub.captures.iter().copied());
    let (inside, outside) = pairs.filter(|(v, _)| read.contains(v)).unzip();
    (inner.captures, sub.captures) = (inside, outside);
    inner.captures.len() < count
}

/// Puts a node with other graphs in the place of node `id`: what it captures may have changed, so it is added anew.
fn replace_subgraphs(graph: &mut Graph, id: NodeId, subgraphs: Vec<Subgraph>) -> NodeId {
    match graph.remove_node(id) {
        Some(node) => graph.add_node(Node { subgraphs, loaded: Loaded::default(), ..node }),
        None => id,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{only, optimized};

    const BRANCHES: &str = "
        graph then:
        one: float[2] = 1 1
        a = Mul(x, one)
        b = Add(a, t)
        -> b
        graph else:
        d = Mul(u, x)
        -> d
        graph main:
        x: float[2]
        c: bool[]
        w: float[2] = 3 4
        o: float[2] = 1 1
        t = Neg(w)
        u = Exp(o)
        v = Sub(x, x)
        y = If(c) {then_branch=@then, else_branch=@else}
        -> y";

    #[test]
    fn graphs_within_are_optimized() {
        let after = "
            %y = If-19(%c)
            then_branch:
            inputs
            %b = Add-14(%x, %t)
            outputs %b
            else_branch:
            inputs
            %d = Mul-14(%u, %x)
            outputs %d
            outputs %y";
        let (model, report) = optimized(BRANCHES, &only(&["identity", "fold", "dead"]));
        assert_eq!(model.lines().lines().map(str::trim).collect::<Vec<_>>(), after.trim().lines().map(str::trim).collect::<Vec<_>>());
        assert_eq!((report.of("identity"), report.of("fold"), report.of("dead")), (1, 2, 1));
    }

    #[test]
    fn captured_constants_are_constants() {
        let text = BRANCHES.replace("d = Mul(u, x)", "e = Mul(w, o)\nd = Mul(u, e)");
        let (model, _) = optimized(&text, &only(&["fold"]));
        let (_, node) = model.graph.nodes().find(|(_, n)| n.is("If")).unwrap();
        assert_eq!(node.subgraphs[1].graph.nodes().count(), 0);
        assert_eq!(node.subgraphs[1].captures.len(), 0);
    }

    #[test]
    fn loops_keep_what_changes() {
        let text = "
            graph body:
            i: int64[]
            go: bool[]
            s: float[2]
            one: float[] = 1
            also = Identity(go)
            p = Mul(s, one)
            q = Add(p, x)
            -> also, q
            graph main:
            x: float[2]
            n: int64[] = 3
            z: float[2] = 0 0
            y = Loop(n, _, z) {body=@body}
            -> y";
        let (model, report) = optimized(text, &only(&["identity", "fold"]));
        assert_eq!(report.of("identity"), 1);
        assert!(model.lines().contains("%q = Add-14(%s, %x)"), "{}", model.lines());
    }
}
