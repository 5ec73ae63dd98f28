//! A forest as it is walked: small nodes in one array, all of one kind.

use super::number::Number;

/// The bit of [`Node::feature`] that says that NaN goes to `yes`.
pub(super) const NAN_GOES_YES: u32 = 1 << 31;

/// A node: on to `yes` if the feature is at most `threshold`, else (also for NaN) to `no`. With `f32` it takes 16 bytes, so that four lie
/// in a cache line. A leaf leads to itself, and keeps its weight as its threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(super) struct Node<T> {
    pub(super) threshold: T,
    pub(super) feature: u32,
    pub(super) yes: u32,
    pub(super) no: u32,
}

/// What the leaves of a tree add to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gives {
    /// One weight, to this target; it is kept in the leaf.
    One(u32),
    /// A weight to every target, in order.
    All,
    /// Any weights to any targets.
    Some,
}

/// A tree of a forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) root: u32,
    pub(super) gives: Gives,
}

/// A forest: inner nodes first, then leaves.
#[derive(Clone, Debug)]
pub(super) struct Forest<T> {
    pub(super) nodes: Vec<Node<T>>,
    /// The number of inner nodes; nodes from here on are leaves.
    pub(super) inner: u32,
    pub(super) trees: Vec<Tree>,
    /// Where the weights of each leaf begin; one more than there are leaves.
    pub(super) begins: Vec<u32>,
    /// The weights of all leaves: target and weight.
    pub(super) weights: Vec<(u32, T)>,
    pub(super) targets: usize,
    /// How many features a row must have.
    pub(super) features: usize,
    /// Whether NaN goes to `yes` anywhere.
    pub(super) nan: bool,
    /// The inner nodes on a way down, added up over the trees; about.
    pub(super) work: usize,
}

impl<T: Number> Forest<T> {
    /// The weights of leaf `node`.
    pub(super) fn weights_of(&self, node: u32) -> &[(u32, T)] {
        let leaf = (node - self.inner) as usize;
        &self.weights[self.begins[leaf] as usize..self.begins[leaf + 1] as usize]
    }

    /// Whether target `t` gets a weight from every row, told without walking; `None` if that depends on the row.
    pub(super) fn reaches(&self, t: u32) -> Option<bool> {
        let sure = self.trees.iter().any(|tree| tree.gives == Gives::One(t) || tree.gives == Gives::All);
        let open = self.trees.iter().any(|tree| tree.gives == Gives::Some);
        (sure || !open).then_some(sure)
    }
}
