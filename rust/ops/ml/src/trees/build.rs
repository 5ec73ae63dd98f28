//! From trees as models write them to nodes that are walked.
//!
//! All comparisons become "at most": less than a threshold is at most its predecessor, the opposite comparisons swap their branches,
//! equality takes two nodes and membership two for each member. What NaN does in each is kept.

use base::{Result, bail, ensure, error};

use super::node::{Forest, Gives, NAN_GOES_YES, Node, Tree};
use super::number::Number;

/// What a node asks of its feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    AtMost(f64),
    Less(f64),
    AtLeast(f64),
    Greater(f64),
    Equal(f64),
    NotEqual(f64),
    Member(Vec<f64>),
}

/// Where a branch leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    Split(u32),
    Leaf(u32),
}

/// An inner node as models write it.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) feature: u32,
    pub(super) test: Test,
    /// Whether NaN passes the test, whatever it is.
    pub(super) missing: bool,
    pub(super) yes: Branch,
    pub(super) no: Branch,
}

/// Trees as models write them.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) splits: Vec<Split>,
    /// The weights of each leaf: target and weight.
    pub(super) leaves: Vec<Vec<(u32, f64)>>,
    pub(super) roots: Vec<Branch>,
    pub(super) targets: usize,
}

/// A node whose branches are not numbers yet.
struct Draft<T> {
    threshold: T,
    feature: u32,
    yes: Next,
    no: Next,
}

#[derive(Clone, Copy)]
enum Next {
    /// The node of the model.
    To(Branch),
    /// The draft that follows this one.
    Following,
}

const UNSEEN: u32 = u32::MAX;
const OPEN: u32 = u32::MAX - 1;

/// The forest of `written`.
///
/// # Errors
/// `InvalidGraph` when branches lead nowhere or in a circle, or a target is out of range.
pub(super) fn build<T: Number>(written: &Written) -> Result<Forest<T>> {
    check(written)?;
    let mut drafts: Vec<Draft<T>> = Vec::new();
    let mut place = vec![UNSEEN; written.splits.len()];
    for root in &written.roots {
        draft_tree(written, *root, &mut place, &mut drafts)?;
    }
    let inner = drafts.len();
    let total = inner + written.leaves.len();
    ensure!(total < OPEN as usize / 2, InvalidGraph, "{total} nodes are too many");
    let at = |branch| match branch {
        Branch::Split(i) => place[i as usize],
        Branch::Leaf(i) => inner as u32 + i,
    };
    let mut nodes = Vec::with_capacity(total);
    for (i, d) in drafts.iter().enumerate() {
        let next = |next| match next {
            Next::To(branch) => at(branch),
            Next::Following => i as u32 + 1,
        };
        nodes.push(Node { threshold: d.threshold, feature: d.feature, yes: next(d.yes), no: next(d.no) });
    }
    let nan = nodes.iter().any(|n| n.feature & NAN_GOES_YES != 0);
    let features = nodes.iter().map(|n| (n.feature & !NAN_GOES_YES) as usize + 1).max().unwrap_or(0);
    let (mut begins, mut weights) = (vec![0], Vec::new());
    for (i, leaf) in written.leaves.iter().enumerate() {
        let own = (inner + i) as u32;
        nodes.push(Node { threshold: leaf.first().map_or_else(T::zero, |w| T::near(w.1)), feature: 0, yes: own, no: own });
        weights.extend(leaf.iter().map(|w| (w.0, T::near(w.1))));
        begins.push(u32::try_from(weights.len()).map_err(|_| error!(InvalidGraph, "{} weights are too many", weights.len()))?);
    }
    let mut forest =
        Forest { nodes, inner: inner as u32, trees: Vec::new(), begins, weights, targets: written.targets, features, nan, work: 0 };
    forest.trees = written.roots.iter().map(|&root| tree(&forest, at(root))).collect();
    let leaves_of = written.leaves.len().max(1) / forest.trees.len().max(1);
    forest.work = forest.trees.len() * (leaves_of.max(2).ilog2() as usize + 1);
    Ok(forest)
}

/// Checks that branches and targets exist.
fn check(written: &Written) -> Result<()> {
    let known = |b: &Branch| match *b {
        Branch::Split(i) => (i as usize) < written.splits.len(),
        Branch::Leaf(i) => (i as usize) < written.leaves.len(),
    };
    for (i, split) in written.splits.iter().enumerate() {
        ensure!(known(&split.yes) && known(&split.no), InvalidGraph, "a branch of node {i} leads nowhere");
        ensure!(split.feature < NAN_GOES_YES, InvalidGraph, "feature {} of node {i} is too large", split.feature);
    }
    ensure!(written.roots.iter().all(known), InvalidGraph, "a tree has no root");
    let target = written.leaves.iter().flatten().map(|w| w.0).max();
    if let Some(target) = target.filter(|&t| t as usize >= written.targets) {
        bail!(InvalidGraph, "a leaf gives to target {target}, but there are {}", written.targets);
    }
    Ok(())
}

/// Drafts the nodes below `root`, each once, depth first: a node, then what it leads to when the test is passed.
fn draft_tree<T: Number>(written: &Written, root: Branch, place: &mut [u32], drafts: &mut Vec<Draft<T>>) -> Result<()> {
    // What is to be done: drafting a node, or closing it once all below it is drafted.
    let mut stack = vec![(root, false)];
    let mut first: Vec<u32> = Vec::new();
    while let Some((branch, close)) = stack.pop() {
        let Branch::Split(i) = branch else { continue };
        let (i, split) = (i as usize, &written.splits[i as usize]);
        if close {
            place[i] = first.pop().unwrap_or(UNSEEN);
            continue;
        }
        match place[i] {
            UNSEEN => {}
            OPEN => bail!(InvalidGraph, "node {i} of the trees leads back to itself"),
            _ => continue,
        }
        place[i] = OPEN;
        first.push(drafts.len() as u32);
        draft(split, drafts);
        stack.extend([(branch, true), (split.no, false), (split.yes, false)]);
    }
    Ok(())
}

/// Drafts the nodes that stand for `split`.
fn draft<T: Number>(split: &Split, drafts: &mut Vec<Draft<T>>) {
    let (yes, no) = (Next::To(split.yes), Next::To(split.no));
    let flag = |on: bool| if on { NAN_GOES_YES } else { 0 };
    let mut node = |threshold: T, nan_goes_yes: bool, yes, no| {
        drafts.push(Draft { threshold, feature: split.feature | flag(nan_goes_yes), yes, no });
    };
    let near = T::near;
    match &split.test {
        Test::AtMost(t) => node(near(*t), split.missing, yes, no),
        Test::Less(t) => node(near(*t).below(), split.missing, yes, no),
        // Nothing is above NaN; so the branches must not be swapped.
        Test::Greater(t) | Test::AtLeast(t) if t.is_nan() => node(near(*t), split.missing, yes, no),
        Test::Greater(t) => node(near(*t), !split.missing, no, yes),
        Test::AtLeast(t) => node(near(*t).below(), !split.missing, no, yes),
        Test::NotEqual(t) => {
            node(near(*t), false, Next::Following, yes);
            node(near(*t).below(), false, yes, no);
        }
        Test::Equal(t) => members(&[*t], split, &mut node),
        Test::Member(set) => members(set, split, &mut node),
    }
}

/// The nodes for membership in `set`: in ascending order, each asks whether the value is at most a member, then whether it is below it.
fn members<T: Number>(set: &[f64], split: &Split, node: &mut impl FnMut(T, bool, Next, Next)) {
    let (yes, no) = (Next::To(split.yes), Next::To(split.no));
    let mut set: Vec<T> = set.iter().map(|&t| T::near(t)).filter(|t| !t.is_nan()).collect();
    set.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    set.dedup();
    if split.missing || set.is_empty() {
        // Only NaN passes the first node, which is at most nothing.
        node(T::nan(), split.missing, yes, if set.is_empty() { no } else { Next::Following });
    }
    let last = set.len().saturating_sub(1);
    for (i, &t) in set.iter().enumerate() {
        // Whoever comes here is above the members before, or NaN: not below `t` and not above it means equal. Members ascend, so that a
        // value below `t` is none of them. The order of the two nodes lets the chain go on from the second.
        node(t.below(), false, no, Next::Following);
        node(t, false, yes, if i == last { no } else { Next::Following });
    }
}

/// The tree below `root`, with what its leaves give.
fn tree<T: Number>(forest: &Forest<T>, root: u32) -> Tree {
    let (mut one, mut all) = (None, true);
    let mut single = true;
    let (mut stack, mut seen) = (vec![root], std::collections::HashSet::new());
    while let Some(i) = stack.pop() {
        if !seen.insert(i) {
            continue;
        }
        if i < forest.inner {
            let node = &forest.nodes[i as usize];
            stack.extend([node.yes, node.no]);
            continue;
        }
        let weights = forest.weights_of(i);
        single &= weights.len() == 1 && *one.get_or_insert(weights[0].0) == weights[0].0;
        all &= weights.len() == forest.targets && weights.iter().enumerate().all(|(t, w)| w.0 as usize == t);
    }
    let gives = match one {
        Some(target) if single => Gives::One(target),
        _ if all => Gives::All,
        _ => Gives::Some,
    };
    Tree { root, gives }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump(test: Test, missing: bool) -> Forest<f32> {
        let split = Split { feature: 0, test, missing, yes: Branch::Leaf(0), no: Branch::Leaf(1) };
        let leaves = vec![vec![(0, 1.0)], vec![(0, 0.0)]];
        build(&Written { splits: vec![split], leaves, roots: vec![Branch::Split(0)], targets: 1 }).unwrap()
    }

    fn passes(forest: &Forest<f32>, x: f32) -> bool {
        let mut at = forest.trees[0].root;
        while at < forest.inner {
            let n = &forest.nodes[at as usize];
            let yes = x <= n.threshold || (x.is_nan() && n.feature & NAN_GOES_YES != 0);
            at = if yes { n.yes } else { n.no };
        }
        forest.nodes[at as usize].threshold == 1.0
    }

    #[test]
    fn every_test_at_every_kind_of_value() {
        let values = [f32::NEG_INFINITY, -1.5, -0.0, 0.0, f32::MIN_POSITIVE, 1.0, f32::INFINITY, f32::NAN];
        let set = vec![1.0f32, -1.5, f32::NEG_INFINITY, 1.0];
        for missing in [false, true] {
            for t in values {
                for x in values {
                    let or = |pass: bool| pass || (missing && x.is_nan());
                    assert_eq!(passes(&stump(Test::AtMost(t.into()), missing), x), or(x <= t), "{x} <= {t}");
                    assert_eq!(passes(&stump(Test::Less(t.into()), missing), x), or(x < t), "{x} < {t}");
                    assert_eq!(passes(&stump(Test::AtLeast(t.into()), missing), x), or(x >= t), "{x} >= {t}");
                    assert_eq!(passes(&stump(Test::Greater(t.into()), missing), x), or(x > t), "{x} > {t}");
                    assert_eq!(passes(&stump(Test::Equal(t.into()), missing), x), or(x == t), "{x} == {t}");
                    assert_eq!(passes(&stump(Test::NotEqual(t.into()), missing), x), or(x != t), "{x} != {t}");
                    let wide = set.iter().map(|&t| t.into()).collect();
                    assert_eq!(passes(&stump(Test::Member(wide), missing), x), or(set.contains(&x)), "{x} in {set:?}");
                    assert_eq!(passes(&stump(Test::Member(vec![]), missing), x), or(false));
                }
            }
        }
    }

    #[test]
    fn circles_and_ways_to_nowhere_are_refused() {
        let split = |yes, no| Split { feature: 0, test: Test::AtMost(0.0), missing: false, yes, no };
        let forest = |splits, leaves| build::<f32>(&Written { splits, leaves, roots: vec![Branch::Split(0)], targets: 1 });
        let leaf = vec![vec![(0, 1.0)]];
        let circle = vec![split(Branch::Split(1), Branch::Leaf(0)), split(Branch::Leaf(0), Branch::Split(0))];
        assert!(forest(circle, leaf.clone()).unwrap_err().detail().contains("leads back to itself"));
        assert!(forest(vec![split(Branch::Leaf(0), Branch::Leaf(7))], leaf.clone()).unwrap_err().detail().contains("leads nowhere"));
        assert!(forest(vec![split(Branch::Leaf(0), Branch::Leaf(0))], vec![vec![(1, 1.0)]]).unwrap_err().detail().contains("target 1"));
        // Two ways to one node are no circle.
        let shared = vec![split(Branch::Split(1), Branch::Split(1)), split(Branch::Leaf(0), Branch::Leaf(0))];
        assert_eq!(forest(shared, leaf).unwrap().inner, 2);
    }

    #[test]
    fn a_deep_tree_takes_no_stack() {
        let count = 200_000u32;
        let next = |i| if i + 1 < count { Branch::Split(i + 1) } else { Branch::Leaf(0) };
        let split = |i| Split { feature: 0, test: Test::AtMost(0.0), missing: false, yes: next(i), no: Branch::Leaf(0) };
        let written =
            Written { splits: (0..count).map(split).collect(), leaves: vec![vec![(0, 1.0)]], roots: vec![Branch::Split(0)], targets: 1 };
        assert_eq!(build::<f32>(&written).unwrap().inner, count);
    }
}
