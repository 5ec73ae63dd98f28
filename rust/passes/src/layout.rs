//! Chains of operators that work on blocks of channels keep their values blocked.
//!
//! ```text
//! a = Conv(x, W); b = Relu(a); y = Conv(b, V)
//!     →    x' = ai.ort_rs.Reorder(x) {block=8}; a' = Conv(x', W); b' = Relu(a'); y' = Conv(b', V); y = ai.ort_rs.Reorder(y') {block=0}
//! ```
//!
//! A chain is worth it when its nodes with weights outnumber half of the reorders at its borders; kernels of one element count a quarter,
//! since without blocks they are matrix products. Convolutions of fewer channels than a block has read them as they are:
//! `y' = ai.ort_rs.ConvReorder(x, W) {block=8}`.

use std::collections::{BTreeSet, HashMap, HashSet};

use base::{DType, Layout, Result};
use ir::{Attribute, Attributes, Fact, Layouts, Loaded, Node, NodeId, OpKey, Patch, ValueId};

use crate::context::is_microsoft;
use crate::{Context, Level, Pass, Rewriter, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "layout",
    stands_for: &["NchwcTransformer"],
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

/// What `node` gains by blocks, in quarters of a reorder of both its sides.
fn weight(cx: &Context<'_>, node: &Node) -> usize {
    let Some(weights) = node.input(1).filter(|w| cx.constant(*w).is_some_and(|w| w.len() > 1)) else { return 0 };
    let is_point = cx.dims(weights).is_some_and(|d| d.len() > 2 && d[2..].iter().all(|k| k.is(1)));
    let strides = node.attributes.get("strides");
    let in_steps_of_one = strides.is_none_or(|s| matches!(s, Attribute::Ints(s) if s.iter().all(|s| *s == 1)));
    if is_point && in_steps_of_one { 1 } else { 4 }
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
        let borders = self.entering(cx).len() + self.written(cx).filter(|v| self.leaves(cx, *v)).count();
        let quarters = self.nodes.iter().map(|id| weight(cx, cx.graph.node(*id))).sum::<usize>();
        2 * borders < quarters
    }

    /// Whether node `id` is a convolution of few channels that come from outside, which it reads dense.
    fn begins(&self, cx: &Context<'_>, id: NodeId, block: u8) -> bool {
        let node = cx.graph.node(id);
        let Some(x) = node.input(0).filter(|_| self.taken[&id] == [0]) else { return false };
        let few = || cx.dims(x)?.get(1)?.known().map(|channels| channels < i64::from(block));
        let alone = matches!(node.attributes.get("group"), None | Some(Attribute::Int(1)));
        let outside = cx.any_writer(x).is_none_or(|(w, n)| !self.taken.contains_key(&w) && &*n.key.domain != DOMAIN);
        (node.is("Conv") || is_microsoft(node, "FusedConv")) && alone && outside && few() == Some(true)
    }

    /// The chain with blocked values, and reorders where values enter and leave it.
    fn blocked(&self, cx: &Context<'_>, block: u8) -> Patch {
        let mut patch = Patch::new(cx.graph);
        let mut blocked: HashMap<ValueId, ValueId> = HashMap::new();
        for id in &self.nodes {
            let mut node = Node { loaded: Loaded::default(), ..cx.graph.node(*id).clone() };
            let begins = self.begins(cx, *id, block);
            if begins {
                node.key = OpKey::new(DOMAIN, "ConvReorder", 1);
                node.attributes.insert("block".to_owned(), Attribute::Int(block.into()));
            }
            for i in self.taken[id].iter().filter(|_| !begins) {
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
        v: float[16, 3, 3, 3] = ~
        w: float[16, 16, 3, 3] = ~
        k: float[] = 2";
    const PADS: &str = "{pads=[1, 1, 1, 1]}";

    #[test]
    fn chains_stay_blocked() {
        let text = format!("{HEAD}\na = Conv(x, v) {PADS}\nb = Relu(a)\nc = Conv(b, w) {PADS}\nd = Add(c, a)\ny = Conv(d, w) {PADS}\n-> y");
        let (model, _) = optimized(&text, &only(&["layout"]));
        let after = "
            %#1 = ai.ort_rs.ConvReorder-1(%x, %v) {block=BLOCK, pads=[1, 1, 1, 1]}
            %#2 = Relu-14(%#1)
            %#3 = Conv-11(%#2, %w) {pads=[1, 1, 1, 1]}
            %#4 = Add-14(%#3, %#1)
            %#5 = Conv-11(%#4, %w) {pads=[1, 1, 1, 1]}
            %y = ai.ort_rs.Reorder-1(%#5) {block=0}
            outputs %y";
        let block = ops_nn::channel_block();
        assert_eq!(model.lines(), after.trim().replace("            ", "").replace("BLOCK", &block.to_string()));
        let layout = |n: &ir::Node| model.facts.fact(n.output(0).unwrap()).unwrap().layout.clone();
        assert_eq!(model.graph.nodes().filter(|(_, n)| layout(n) == base::Layout::Blocked(block)).count(), 5);
    }

    #[test]
    fn values_that_others_read_come_back() {
        let text = format!("{HEAD}\na = Conv(x, v) {PADS}\nb = Conv(a, w) {PADS}\nc = Conv(b, w) {PADS}\nd = Softmax(b)\n-> c, d");
        let (model, _) = optimized(&text, &only(&["layout"]));
        assert_eq!(model.lines().matches(&format!("ConvReorder-1(%x, %v) {{block={}, pads", ops_nn::channel_block())).count(), 1);
        assert_eq!(model.lines().matches("{block=0}").count(), 2);
        assert!(model.lines().ends_with("outputs %c, %d"));
    }

    #[test]
    fn one_convolution_alone_is_not_worth_it() {
        check_unchanged(&["layout"], &format!("{HEAD}\na = Conv(x, v) {PADS}\ny = Softmax(a)\n-> y"));
    }

    #[test]
    fn matrix_products_stay_dense() {
        let head = HEAD.replace("3, 3]", "1, 1]");
        check_unchanged(&["layout"], &format!("{head}\na = Conv(x, v)\nb = Relu(a)\nc = Conv(b, w)\ny = Conv(c, w)\n-> y"));
    }

    #[test]
    fn padding_lanes_stay_zero() {
        let weights = "u: float[12, 3, 3, 3] = ~\nt: float[16, 12, 3, 3] = ~";
        let nodes = format!("a = Conv(x, u) {PADS}\nb = Sigmoid(a)\ny = Conv(b, t) {PADS}");
        check_unchanged(&["layout"], &format!("{HEAD}\n{weights}\n{nodes}\n-> y"));
    }
}
