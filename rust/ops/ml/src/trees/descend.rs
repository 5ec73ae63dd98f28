//! Walking down trees, several ways at once: each step waits for memory, and ways that have nothing to do with each other wait together.

use super::node::{Forest, NAN_GOES_YES};
use super::number::Number;

/// How many ways are walked at once.
pub(super) const WAYS: usize = 8;

/// The leaves that rows lead to. `at` holds the root of each way, and afterwards its leaf; `rows` says where in `features` its row begins.
///
/// # Panics
/// If a row does not lie in `features`.
pub(super) fn descend<T: Number>(forest: &Forest<T>, features: &[T], at: &mut [u32; WAYS], rows: &[usize; WAYS]) {
    let fits = rows.iter().all(|&r| r.checked_add(forest.features).is_some_and(|end| end <= features.len()));
    assert!(fits, "a row of {} features lies outside of {}", forest.features, features.len());
    assert!(at.iter().all(|&a| (a as usize) < forest.nodes.len()), "a root outside of the forest");
    // SAFETY: rows are as long as the forest needs, and roots are nodes, both checked above.
    unsafe { if forest.nan { walk::<T, true>(forest, features, at, rows) } else { walk::<T, false>(forest, features, at, rows) } }
}

/// # Safety
/// Each of `at` is a node of the forest, and from each of `rows` on there are as many features as the forest needs.
unsafe fn walk<T: Number, const NAN: bool>(forest: &Forest<T>, features: &[T], at: &mut [u32; WAYS], rows: &[usize; WAYS]) {
    while at.iter().any(|&a| a < forest.inner) {
        for (at, &row) in at.iter_mut().zip(rows) {
            // SAFETY: `at` is a node: at first by the contract, then because `build` gives nodes only branches to nodes.
            let node = unsafe { *forest.nodes.get_unchecked(*at as usize) };
            let index = if NAN { node.feature & !NAN_GOES_YES } else { node.feature };
            // A leaf says feature 0, which a forest that has inner nodes needs too; without inner nodes we do not come here.
            // SAFETY: `build` counts `forest.features` past the feature of every node.
            let x = unsafe { *features.get_unchecked(row + index as usize) };
            let yes = x <= node.threshold || (NAN && x.is_nan() && node.feature & NAN_GOES_YES != 0);
            *at = std::hint::select_unpredictable(yes, node.yes, node.no);
        }
    }
}
