//! Chains of operators that work on blocks of channels keep their values blocked.
//!
//! ```text
//! a = Conv(x, W); b = Relu(a); y = Conv(b, V)
//!     →    x' = ai.ort_rs.Reorder(x) {block=8}; a' = Conv(x', W); b' = Relu(a'); y' = Conv(b', V); y = ai.ort_rs.Reorder(y') {block=0}
//! ```
//!
//! A chain is worth it when its nodes with weights outnumber half of the reorders at its borders.

use std::collections::{BTreeSet, HashMap, HashSet};

use base::{DType, Layout, Result};
use ir::{Attribute, Attributes, Fact, Layouts, Loaded, Node, NodeId, OpKey, Patch, ValueId};

use crate::{Context, Level, Pass, Rewriter, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "layout",
    level: Level::Layout,
    what: "Values between convolutions keep their channels in blocks; Reorder nodes stand at the borders.",
    rule: Rule::Global(block_chains),
};

/// The domain of operators that only this runtime has.
pub(crate) const DOMAIN: &str = "ai.ort_rs";

fn block_chains(rewriter: &mut Rewriter<'_>) -> Result<()> {
    let block = rewriter.context().oracle.block();
    if block == 0 {
        return Ok(());
    }
    let cx = rewriter.context();
    let order = cx.graph.order()?;
    for chain in chains(&cx, &order, block) {
        let patch = chain.blocked(&rewriter.context(), block);
        rewriter.apply(patch, chain.nodes[0]);
    }
    Ok(())
}

/// The inputs of `node` that it would take blocked; `None` when it cannot work on blocks, or does already.
fn blocked_inputs(cx: &Context<'_>, node: &Node, block: u8) -> Option<Vec<usize>> {
    let y = node.output(0)?;
    let is_plain = |v: ValueId| cx.dtype(v) == Some(DType::F32) && cx.fact(v).is_some_and(|f| f.layout == Layout::Dense);
    let others = node.outputs.iter().skip(1).flatten().any(|v| cx.is_read(*v));
    if others || !is_plain(y) || cx.rank(y)? < 3 || !node.subgraphs.is_empty() || node.provider.is_some() {
        return None;
    }
    let facts: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.and_then(|v| cx.fact(v))).collect();
    let given = || node.inputs.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?)));
    let taken: Vec<usize> = match cx.oracle.layouts(node, &facts) {
        Layouts::Plain => return None,
        Layouts::Blocked => given().filter(|(i, v)| *i == 0 || (*i > 1 && cx.same_dims(*v, y))).map(|(i, _)| i).collect(),
        Layouts::Follows => {
            // Element-wise work on padding lanes would not leave zeros in them.
            let padded = cx.dims(y)?[1].known()? % i64::from(block) != 0;
            let (taken, rest): (Vec<_>, Vec<_>) = given().partition(|(_, v)| cx.same_dims(*v, y));
            let settings = rest.iter().all(|(_, v)| cx.number(*v).is_some());
            (!padded && settings).then_some(taken)?.into_iter().map(|(i, _)| i).collect()
        }
    };
    let usable = |i: &usize| node.input(*i).is_some_and(|v| is_plain(v) && cx.rank(v) == cx.rank(y));
    (!taken.is_empty() && taken.iter().all(usable)).then_some(taken)
}

/// Nodes that hand blocked values to each other.
struct Chain {
    /// In the order they run.
    nodes: Vec<NodeId>,
    /// For each node the inputs that it takes blocked.
    taken: HashMap<NodeId, Vec<usize>>,
}

/// The chains of the graph that are worth it.
fn chains(cx: &Context<'_>, order: &[NodeId], block: u8) -> Vec<Chain> {
    let able: Vec<(NodeId, Vec<usize>)> =
        order.iter().filter_map(|id| Some((*id, blocked_inputs(cx, cx.graph.node(*id), block)?))).collect();
    // The chain of each node; a node that reads from several chains makes them one.
    let mut chain_of: HashMap<NodeId, usize> = HashMap::new();
    let mut chains: Vec<Chain> = Vec::new();
    for (id, taken) in able {
        let node = cx.graph.node(id);
        let sources = taken.iter().filter_map(|i| cx.any_writer(node.input(*i)?)).filter_map(|(w, _)| chain_of.get(&w).copied());
        let sources: BTreeSet<usize> = sources.collect();
        // The largest stays, so that no node moves often.
        let home = sources.iter().copied().max_by_key(|c| chains[*c].nodes.len()).unwrap_or(chains.len());
        if home == chains.len() {
            chains.push(Chain { nodes: Vec::new(), taken: HashMap::new() });
        }
        for other in sources.into_iter().filter(|c| *c != home) {
            let merged = std::mem::replace(&mut chains[other], Chain { nodes: Vec::new(), taken: HashMap::new() });
            chain_of.extend(merged.nodes.iter().map(|n| (*n, home)));
            chains[home].nodes.extend(merged.nodes);
            chains[home].taken.extend(merged.taken);
        }
        chain_of.insert(id, home);
        chains[home].nodes.push(id);
        chains[home].taken.insert(id, taken);
    }
    let place: HashMap<NodeId, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    chains.iter_mut().for_each(|c| c.nodes.sort_by_key(|id| place[id]));
    chains.into_iter().filter(|c| c.is_worth_it(cx)).collect()
}

impl Chain {
    fn takes(&self, node: &Node, id: NodeId, v: ValueId) -> bool {
        self.taken
            .get(&id)
            .is_some_and(|taken| taken.iter().filter(|i| node.input(**i) == Some(v)).count() == node.reads().filter(|r| *r == v).count())
    }

    /// The values that enter the chain.
    fn entering(&self, cx: &Context<'_>) -> HashSet<ValueId> {
        let inputs = self.nodes.iter().flat_map(|id| self.taken[id].iter().filter_map(|i| cx.graph.node(*id).input(*i)));
        inputs.filter(|v| cx.any_writer(*v).is_none_or(|(w, _)| !self.taken.contains_key(&w))).collect()
    }

    /// Whether somebody outside reads the value that node `id` of the chain writes.
    fn leaves(&self, cx: &Context<'_>, v: ValueId) -> bool {
        cx.graph.is_output(v) || cx.graph.uses(v).iter().any(|id| !self.takes(cx.graph.node(*id), *id, v))
    }

    fn written<'a>(&'a self, cx: &'a Context<'_>) -> impl Iterator<Item = ValueId> + 'a {
        self.nodes.iter().filter_map(|id| cx.graph.node(*id).output(0))
    }

    fn is_worth_it(&self, cx: &Context<'_>) -> bool {
        let weighted =
            self.nodes.iter().filter(|id| cx.graph.node(**id).input(1).is_some_and(|w| cx.constant(w).is_some_and(|w| w.len() > 1)));
        let borders = self.entering(cx).len() + self.written(cx).filter(|v| self.leaves(cx, *v)).count();
        borders < 2 * weighted.count()
    }

    /// The chain with blocked values, and reorders where values enter and leave it.
    fn blocked(&self, cx: &Context<'_>, block: u8) -> Patch {
        let mut patch = Patch::new(cx.graph);
        let mut blocked: HashMap<ValueId, ValueId> = HashMap::new();
        for id in &self.nodes {
            let mut node = Node { loaded: Loaded::default(), ..cx.graph.node(*id).clone() };
            for i in &self.taken[id] {
                if let Some(Some(v)) = node.inputs.get_mut(*i) {
                    *v = *blocked.entry(*v).or_insert_with(|| entered(cx, &mut patch, *v, block));
                }
            }
            let old = node.output(0);
            let new = patch.copy(node).first().copied().flatten();
            if let (Some(old), Some(new)) = (old, new) {
                blocked.insert(old, new);
            }
        }
        for v in self.written(cx).filter(|v| self.leaves(cx, *v)) {
            let plain = reorder(cx, &mut patch, blocked[&v], 0);
            patch.replace(v, plain);
        }
        patch
    }
}

/// The blocked form of `v`: what it was made of, if it just left another chain.
fn entered(cx: &Context<'_>, patch: &mut Patch, v: ValueId, block: u8) -> ValueId {
    let left = cx.any_writer(v).filter(|(_, n)| &*n.key.domain == DOMAIN && &*n.key.name == "Reorder").and_then(|(_, n)| n.input(0));
    let same = left.filter(|v| cx.fact(*v).is_some_and(|f| f.layout == Layout::Blocked(block)));
    same.unwrap_or_else(|| reorder(cx, patch, v, block))
}

fn reorder(cx: &Context<'_>, patch: &mut Patch, v: ValueId, block: u8) -> ValueId {
    let attributes = Attributes::from([("block".to_owned(), Attribute::Int(block.into()))]);
    patch.node(cx.graph, &[], OpKey::new(DOMAIN, "Reorder", 1), &[Some(v)], attributes, 1)[0]
}

#[cfg(test)]
mod tests {
    use crate::testing::{check_unchanged, only, optimized};

    const HEAD: &str = "
        x: float[1, 3, 8, 8]
        z: float[1, 16, 8, 8]
        v: float[16, 3, 1, 1] = ~
        w: float[16, 16, 1, 1] = ~
        k: float[] = 2";

    #[test]
    fn chains_stay_blocked() {
        let text = format!("{HEAD}\na = Conv(x, v)\nb = Relu(a)\nc = Conv(b, w)\nd = Add(c, a)\ny = Conv(d, w)\n-> y");
        let (model, _) = optimized(&text, &only(&["layout"]));
        let after = "
            %#1 = ai.ort_rs.Reorder-1(%x) {block=BLOCK}
            %#2 = Conv-11(%#1, %v)
            %#3 = Relu-14(%#2)
            %#4 = Conv-11(%#3, %w)
            %#5 = Add-14(%#4, %#2)
            %#6 = Conv-11(%#5, %w)
            %y = ai.ort_rs.Reorder-1(%#6) {block=0}
            outputs %y";
        let block = ops_nn::channel_block();
        assert_eq!(model.lines(), after.trim().replace("            ", "").replace("BLOCK", &block.to_string()));
        let layout = |n: &ir::Node| model.facts.fact(n.output(0).unwrap()).unwrap().layout.clone();
        assert_eq!(model.graph.nodes().filter(|(_, n)| layout(n) == base::Layout::Blocked(block)).count(), 6);
    }

    #[test]
    fn values_that_others_read_come_back() {
        let text = format!("{HEAD}\na = Conv(x, v)\nb = Conv(a, w)\nc = Conv(b, w)\nd = Softmax(b)\n-> c, d");
        let (model, _) = optimized(&text, &only(&["layout"]));
        assert_eq!(model.lines().matches(&format!("{{block={}}}", ops_nn::channel_block())).count(), 1);
        assert_eq!(model.lines().matches("{block=0}").count(), 2);
        assert!(model.lines().ends_with("outputs %c, %d"));
    }

    #[test]
    fn one_convolution_alone_is_not_worth_it() {
        check_unchanged(&["layout"], &format!("{HEAD}\na = Conv(x, v)\ny = Softmax(a)\n-> y"));
    }

    #[test]
    fn padding_lanes_stay_zero() {
        let text =
            format!("{HEAD}\nu: float[12, 3, 1, 1] = ~\nt: float[16, 12, 1, 1] = ~\na = Conv(x, u)\nb = Sigmoid(a)\ny = Conv(b, t)\n-> y");
        check_unchanged(&["layout"], &text);
    }
}
