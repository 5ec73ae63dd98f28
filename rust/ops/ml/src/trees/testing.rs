//! Trees for tests: stumps that compare feature 0, 1, 0, 1, … with one half.

use ir::Attribute;
use op::OpDef;
use testkit::{Single, single};

/// Stumps with the weights of their leaves, and more attributes.
pub(super) struct Stumps {
    leaves: Vec<Vec<(i64, f32)>>,
    attributes: Vec<(String, Attribute)>,
}

/// Two stumps with four leaves.
pub(super) fn stumps(leaves: &[&[(i64, f32)]]) -> Stumps {
    Stumps { leaves: leaves.iter().map(|l| l.to_vec()).collect(), attributes: Vec::new() }
}

impl Stumps {
    /// So many stumps, each with weights of its own for target 0.
    pub(super) fn many(trees: usize) -> Self {
        let weight = |i: usize| (i * 31 % 17) as f32 / 4.0 - 2.0;
        Self { leaves: (0..trees * 2).map(|i| vec![(0, weight(i))]).collect(), attributes: Vec::new() }
    }

    pub(super) fn attr(mut self, name: &str, value: impl Into<Attribute>) -> Self {
        self.attributes.push((name.to_owned(), value.into()));
        self
    }

    /// The sum of the weights for target 0.
    pub(super) fn plain(&self, row: &[f64]) -> f64 {
        let leaf = |(t, pair): (usize, &[Vec<(i64, f32)>])| f64::from(pair[usize::from(row[t % 2] > 0.5)][0].1);
        self.leaves.chunks(2).enumerate().map(leaf).sum()
    }

    /// The operator with these trees; `gives` is `class` or `target`.
    pub(super) fn single(self, def: &OpDef, gives: &str) -> Single {
        let trees = self.leaves.len() / 2;
        let per_node = |f: &dyn Fn(usize, usize) -> i64| Attribute::Ints((0..trees * 3).map(|i| f(i / 3, i % 3)).collect());
        let modes = (0..trees * 3).map(|i| if i % 3 == 0 { "BRANCH_LEQ" } else { "LEAF" }.as_bytes().into()).collect();
        let root = |n: usize, v: i64| if n == 0 { v } else { 0 };
        let mut s = single(def, 3)
            .attr("nodes_treeids", per_node(&|t, _| t as i64))
            .attr("nodes_nodeids", per_node(&|_, n| n as i64))
            .attr("nodes_featureids", per_node(&|t, n| root(n, t as i64 % 2)))
            .attr("nodes_truenodeids", per_node(&|_, n| root(n, 1)))
            .attr("nodes_falsenodeids", per_node(&|_, n| root(n, 2)))
            .attr("nodes_values", Attribute::Floats(vec![0.5; trees * 3]))
            .attr("nodes_modes", Attribute::Strings(modes));
        let weights = || self.leaves.iter().enumerate().flat_map(|(l, w)| w.iter().map(move |w| (l as i64, w.0, w.1)));
        let ints = |f: fn((i64, i64, f32)) -> i64| Attribute::Ints(weights().map(f).collect());
        s = s.attr(&format!("{gives}_treeids"), ints(|(l, ..)| l / 2)).attr(&format!("{gives}_nodeids"), ints(|(l, ..)| l % 2 + 1));
        s = s.attr(&format!("{gives}_ids"), ints(|(_, t, _)| t));
        s = s.attr(&format!("{gives}_weights"), Attribute::Floats(weights().map(|w| w.2).collect()));
        self.attributes.into_iter().fold(s, |s, (name, value)| s.attr(&name, value))
    }
}
