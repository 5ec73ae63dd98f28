//! The scores of a forest: the weights of the leaves of all trees, put together for each row.
//!
//! Chunks are blocks of rows, for few rows also groups of trees. A block of rows goes through one tree after another, so that the tree and
//! the rows stay in the cache.

use base::threads::try_parallel_for;
use base::{Result, ensure, error};

use super::descend::{WAYS, descend};
use super::node::{Forest, Gives, Tree};
use super::number::Number;

/// How the weights for one target are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

/// The aggregates, as TreeEnsemble counts them.
pub(super) const AGGREGATES: [&str; 4] = ["AVERAGE", "SUM", "MIN", "MAX"];

impl Aggregate {
    /// The aggregate that is number `i` of [`AGGREGATES`].
    ///
    /// # Errors
    /// `InvalidGraph` when there is none.
    pub(super) fn of(i: usize) -> Result<Self> {
        let all = [Self::Average, Self::Sum, Self::Min, Self::Max];
        all.get(i).copied().ok_or_else(|| error!(InvalidGraph, "attribute 'aggregate_function' is {i}"))
    }

    /// What changes nothing.
    fn neutral<T: Number>(self) -> T {
        match self {
            Self::Average | Self::Sum => T::zero(),
            Self::Min => T::infinity(),
            Self::Max => T::neg_infinity(),
        }
    }

    #[inline(always)]
    fn add<T: Number>(self, to: &mut T, weight: T) {
        match self {
            Self::Average | Self::Sum => *to += weight,
            Self::Min if weight < *to => *to = weight,
            Self::Max if weight > *to => *to = weight,
            Self::Min | Self::Max => {}
        }
    }
}

/// Trees that one chunk walks when there are few rows.
const GROUP: usize = 512;
/// Inner nodes that a chunk should pass, so that it is worth a thread and still short.
const WORK: usize = 40_000;
/// The most rows in a block: their features stay in the first cache beside a tree.
const BLOCK: usize = 64;

/// The scores of some rows: of each row and target, and whether any leaf gave to it.
pub(super) struct Scores<T> {
    pub(super) values: Vec<T>,
    pub(super) given: Vec<bool>,
}

impl<T: Number> Scores<T> {
    fn new(len: usize, aggregate: Aggregate) -> Self {
        Self { values: vec![aggregate.neutral(); len], given: vec![false; len] }
    }

    fn merge(&mut self, other: &Self, aggregate: Aggregate) {
        self.values.iter_mut().zip(&other.values).for_each(|(a, &b)| aggregate.add(a, b));
        self.given.iter_mut().zip(&other.given).for_each(|(a, b)| *a |= b);
    }
}

/// Features: so many rows of so many columns.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, T> {
    pub(super) data: &'a [T],
    pub(super) count: usize,
    pub(super) columns: usize,
}

/// Gives the scores of all rows, block by block, to `finish(first row, scores)`, which runs on many threads.
///
/// # Errors
/// `InvalidArgument` when rows have fewer features than the trees ask for; what `finish` says.
pub(super) fn evaluate<T: Number>(
    forest: &Forest<T>,
    aggregate: Aggregate,
    rows: Rows<'_, T>,
    finish: &(dyn Fn(usize, &Scores<T>) -> Result<()> + Sync),
) -> Result<()> {
    ensure!(
        forest.features <= rows.columns,
        InvalidArgument,
        "the trees ask for {} features, but rows have {}",
        forest.features,
        rows.columns
    );
    let groups = forest.trees.len().div_ceil(GROUP);
    if rows.count < WAYS && groups > 1 {
        return by_groups(forest, aggregate, rows, finish);
    }
    let block = (WORK / forest.work.max(1)).clamp(WAYS, BLOCK).next_multiple_of(WAYS);
    try_parallel_for(rows.count.div_ceil(block), &|chunk| {
        let range = chunk * block..((chunk + 1) * block).min(rows.count);
        let mut scores = Scores::new(range.len() * forest.targets, aggregate);
        if range.len() < WAYS {
            one_by_one(forest, &forest.trees, aggregate, rows, range.clone(), &mut scores);
        } else {
            together(forest, aggregate, rows, range.clone(), &mut scores);
        }
        finish(range.start, &scores)
    })
}

/// For few rows: the trees in groups, whose scores are put together in order.
fn by_groups<T: Number>(
    forest: &Forest<T>,
    aggregate: Aggregate,
    rows: Rows<'_, T>,
    finish: &(dyn Fn(usize, &Scores<T>) -> Result<()> + Sync),
) -> Result<()> {
    let mut parts: Vec<Scores<T>> = forest.trees.chunks(GROUP).map(|_| Scores::new(rows.count * forest.targets, aggregate)).collect();
    base::threads::parallel_chunks_mut(&mut parts, 1, &|i, part| {
        let trees = &forest.trees[i * GROUP..((i + 1) * GROUP).min(forest.trees.len())];
        one_by_one(forest, trees, aggregate, rows, 0..rows.count, &mut part[0]);
    });
    base::threads::check()?;
    let mut parts = parts.into_iter();
    let Some(mut scores) = parts.next() else { return Ok(()) };
    parts.for_each(|part| scores.merge(&part, aggregate));
    finish(0, &scores)
}

/// Adds what the leaf gives to the scores of one row.
#[inline(always)]
fn give<T: Number>(forest: &Forest<T>, tree: Tree, leaf: u32, aggregate: Aggregate, row: usize, scores: &mut Scores<T>) {
    let first = row * forest.targets;
    match tree.gives {
        Gives::One(target) => aggregate.add(&mut scores.values[first + target as usize], forest.nodes[leaf as usize].threshold),
        Gives::All => {
            let scores = scores.values[first..first + forest.targets].iter_mut();
            scores.zip(forest.weights_of(leaf)).for_each(|(to, w)| aggregate.add(to, w.1));
        }
        Gives::Some => {
            for &(target, weight) in forest.weights_of(leaf) {
                aggregate.add(&mut scores.values[first + target as usize], weight);
                scores.given[first + target as usize] = true;
            }
        }
    }
}

/// Marks the targets that trees surely give to.
fn mark<T: Number>(forest: &Forest<T>, rows: usize, scores: &mut Scores<T>) {
    for target in (0..forest.targets).filter(|&t| forest.reaches(t as u32) == Some(true)) {
        (0..rows).for_each(|row| scores.given[row * forest.targets + target] = true);
    }
}

/// Row by row, several trees at once.
fn one_by_one<T: Number>(
    forest: &Forest<T>,
    trees: &[Tree],
    aggregate: Aggregate,
    rows: Rows<'_, T>,
    range: std::ops::Range<usize>,
    scores: &mut Scores<T>,
) {
    mark(forest, range.len(), scores);
    for (i, row) in range.enumerate() {
        for trees in trees.chunks(WAYS) {
            let mut at: [u32; WAYS] = std::array::from_fn(|k| trees[k % trees.len()].root);
            descend(forest, rows.data, &mut at, &[row * rows.columns; WAYS]);
            trees.iter().zip(at).for_each(|(tree, leaf)| give(forest, *tree, leaf, aggregate, i, scores));
        }
    }
}

/// Tree by tree, several rows at once.
fn together<T: Number>(forest: &Forest<T>, aggregate: Aggregate, rows: Rows<'_, T>, range: std::ops::Range<usize>, scores: &mut Scores<T>) {
    mark(forest, range.len(), scores);
    for tree in &forest.trees {
        for first in (0..range.len()).step_by(WAYS) {
            let count = WAYS.min(range.len() - first);
            let mut at = [tree.root; WAYS];
            // Ways beyond the last row go with the first one.
            let begins = std::array::from_fn(|k| (range.start + first + if k < count { k } else { 0 }) * rows.columns);
            descend(forest, rows.data, &mut at, &begins);
            for (k, &leaf) in at[..count].iter().enumerate() {
                give(forest, *tree, leaf, aggregate, first + k, scores);
            }
        }
    }
}
