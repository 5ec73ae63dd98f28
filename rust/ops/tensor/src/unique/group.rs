//! Finding equal slices by sorting.

use std::cmp::Ordering;

use base::threads::Pace;
use base::{Result, error};

use super::Slices;

/// The groups of equal slices.
pub(super) struct Groups {
    /// The first slice of each group.
    pub(super) first: Vec<i64>,
    /// The group of each slice.
    pub(super) inverse: Vec<i64>,
    /// How many slices each group has.
    pub(super) counts: Vec<i64>,
}

/// Groups equal slices; `compare` orders elements by their flat index. Groups ascend if `sorted`, else they go by their first slices.
///
/// # Errors
/// `Fail` when there is no memory for the lists.
pub(super) fn group(slices: Slices, sorted: bool, compare: impl Fn(usize, usize) -> Ordering) -> Result<Groups> {
    let Slices { outer, len, inner } = slices;
    let pace = Pace::default();
    let compare_slices = |a: usize, b: usize| {
        // Slices far from each other are waited for; most differ at once.
        pace.spend(16);
        let element = |slice: usize, o: usize, i: usize| (o * len + slice) * inner + i;
        let pairs = (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i)));
        let orders = pairs.map(|(o, i)| {
            pace.spend(4);
            compare(element(a, o, i), element(b, o, i))
        });
        orders.into_iter().find(|c| c.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut order: Vec<usize> = list(len)?;
    order.extend(0..len);
    order.sort_unstable_by(|&a, &b| compare_slices(a, b).then(a.cmp(&b)));
    let mut groups = Groups { first: Vec::new(), inverse: list(len)?, counts: Vec::new() };
    groups.inverse.resize(len, 0);
    for (i, &slice) in order.iter().enumerate() {
        if i == 0 || compare_slices(order[i - 1], slice).is_ne() {
            groups.first.push(slice as i64);
            groups.counts.push(0);
        }
        let group = groups.first.len() - 1;
        groups.counts[group] += 1;
        groups.inverse[slice] = group as i64;
    }
    if !sorted {
        by_first_slice(&mut groups)?;
    }
    Ok(groups)
}

fn by_first_slice(groups: &mut Groups) -> Result<()> {
    let count = groups.first.len();
    let mut order: Vec<usize> = list(count)?;
    order.extend(0..count);
    let pace = Pace::default();
    order.sort_unstable_by_key(|&g| {
        pace.spend(8);
        groups.first[g]
    });
    let mut place = list(count)?;
    place.resize(count, 0i64);
    for (new, &old) in order.iter().enumerate() {
        pace.spend(4);
        place[old] = new as i64;
    }
    for group in &mut groups.inverse {
        pace.spend(4);
        *group = place[*group as usize];
    }
    groups.first = order.iter().map(|&g| groups.first[g]).collect();
    groups.counts = order.iter().map(|&g| groups.counts[g]).collect();
    Ok(())
}

/// A list with room for `len` elements.
fn list<T>(len: usize) -> Result<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| error!(Fail, "there is no memory to sort {len} slices"))?;
    Ok(list)
}
