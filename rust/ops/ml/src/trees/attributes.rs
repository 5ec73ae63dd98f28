//! Reading trees: the long form, in which every node is named by tree and number.

use std::collections::HashMap;

use base::{DType, Result, Tensor, bail, ensure, error};
use half::f16;
use op::Attrs;

use super::build::{Branch, Split, Test, Written};

/// Numbers that come as floats or as a tensor.
///
/// # Errors
/// `InvalidGraph` when both are given.
pub(super) fn numbers(a: &Attrs<'_>, name: &str) -> Result<Vec<f64>> {
    let floats = a.opt_floats(name)?.unwrap_or_default();
    let as_tensor = format!("{name}_as_tensor");
    match a.opt_tensor(&as_tensor)? {
        Some(t) if floats.is_empty() => wide(&as_tensor, t),
        Some(_) => bail!(InvalidGraph, "both '{name}' and '{as_tensor}' are given"),
        None => Ok(floats.iter().map(|&x| x.into()).collect()),
    }
}

/// The elements of an attribute that is a tensor of floats.
///
/// # Errors
/// `InvalidGraph` when it is none.
pub(super) fn wide(name: &str, t: &Tensor) -> Result<Vec<f64>> {
    Ok(match t.dtype() {
        DType::F32 => t.slice::<f32>()?.iter().map(|&x| x.into()).collect(),
        DType::F64 => t.slice::<f64>()?.to_vec(),
        DType::F16 => t.slice::<f16>()?.iter().map(|x| x.to_f64()).collect(),
        other => bail!(InvalidGraph, "attribute '{name}' is a tensor of {other}"),
    })
}

/// Integers `name`; as many as `len` if that is given.
fn ints<'a>(a: &Attrs<'a>, name: &str, len: Option<usize>) -> Result<&'a [i64]> {
    let list = a.opt_ints(name)?.unwrap_or_default();
    if let Some(len) = len {
        ensure!(list.len() == len, InvalidGraph, "attribute '{name}' has {} elements, not {len}", list.len());
    }
    Ok(list)
}

/// The test of a node.
fn test(mode: &str, threshold: f64) -> Result<Option<Test>> {
    Ok(Some(match mode {
        "BRANCH_LEQ" => Test::AtMost(threshold),
        "BRANCH_LT" => Test::Less(threshold),
        "BRANCH_GTE" => Test::AtLeast(threshold),
        "BRANCH_GT" => Test::Greater(threshold),
        "BRANCH_EQ" => Test::Equal(threshold),
        "BRANCH_NEQ" => Test::NotEqual(threshold),
        "LEAF" => return Ok(None),
        other => bail!(InvalidGraph, "attribute 'nodes_modes' holds '{other}'"),
    }))
}

/// The trees that the attributes `nodes_*` and `{gives}_*` describe, with `targets` targets.
///
/// # Errors
/// `InvalidGraph` when attributes disagree.
pub(super) fn trees(a: &Attrs<'_>, gives: &str, targets: usize) -> Result<Written> {
    a.ignore("nodes_hitrates");
    a.ignore("nodes_hitrates_as_tensor");
    let modes = a.opt_strings("nodes_modes")?.unwrap_or_default();
    let count = Some(modes.len());
    ensure!(!modes.is_empty(), InvalidGraph, "attribute 'nodes_modes' must not be empty");
    let (ids, owners) = (ints(a, "nodes_nodeids", count)?, ints(a, "nodes_treeids", count)?);
    let (yes, no) = (ints(a, "nodes_truenodeids", count)?, ints(a, "nodes_falsenodeids", count)?);
    let features = ints(a, "nodes_featureids", count)?;
    let missing = ints(a, "nodes_missing_value_tracks_true", None)?;
    ensure!(
        missing.is_empty() || missing.len() == modes.len(),
        InvalidGraph,
        "attribute 'nodes_missing_value_tracks_true' has {} elements, not {}",
        missing.len(),
        modes.len()
    );
    let thresholds: Vec<f64> = numbers(a, "nodes_values")?;
    ensure!(
        thresholds.len() == modes.len(),
        InvalidGraph,
        "attribute 'nodes_values' has {} elements, not {}",
        thresholds.len(),
        modes.len()
    );

    let tests = modes.iter().zip(&thresholds).map(|(m, &t)| test(m, t)).collect::<Result<Vec<_>>>()?;
    let (mut splits, mut leaves) = (0, 0);
    let branches: Vec<Branch> = tests.iter().map(|t| numbered(t.is_some(), &mut splits, &mut leaves)).collect();
    let mut places = HashMap::with_capacity(modes.len());
    for (i, key) in owners.iter().zip(ids).enumerate() {
        ensure!(places.insert(key, branches[i]).is_none(), InvalidGraph, "Node {} in tree {} is already there.", key.1, key.0);
    }
    let find = |i: usize, id: &i64, what: &str| {
        let found = places.get(&(&owners[i], id)).copied();
        found.ok_or_else(|| error!(InvalidGraph, "Unable to find node {id} of tree {} ({what} of node {}).", owners[i], ids[i]))
    };
    let mut written = Written { splits: Vec::new(), leaves: vec![Vec::new(); leaves as usize], roots: Vec::new(), targets };
    for (i, test) in tests.into_iter().enumerate() {
        // The first node of each tree is its root.
        if i == 0 || owners[i] != owners[i - 1] {
            written.roots.push(branches[i]);
        }
        let Some(test) = test else { continue };
        let Ok(feature) = u32::try_from(features[i]) else { bail!(InvalidGraph, "attribute 'nodes_featureids' holds {}", features[i]) };
        let missing = missing.get(i).is_some_and(|&m| m != 0);
        written.splits.push(Split { feature, test, missing, yes: find(i, &yes[i], "true branch")?, no: find(i, &no[i], "false branch")? });
    }
    weights(a, gives, &mut written, |key| places.get(&key).copied())?;
    Ok(written)
}

fn numbered(split: bool, splits: &mut u32, leaves: &mut u32) -> Branch {
    let counter = if split { splits } else { leaves };
    *counter += 1;
    if split { Branch::Split(*counter - 1) } else { Branch::Leaf(*counter - 1) }
}

/// Reads the weights of leaves; those of inner nodes have no effect.
fn weights<'k>(a: &Attrs<'k>, gives: &str, written: &mut Written, find: impl Fn((&'k i64, &'k i64)) -> Option<Branch>) -> Result<()> {
    let targets = ints(a, &format!("{gives}_ids"), None)?;
    let count = Some(targets.len());
    let (ids, owners) = (ints(a, &format!("{gives}_nodeids"), count)?, ints(a, &format!("{gives}_treeids"), count)?);
    let weights: Vec<f64> = numbers(a, &format!("{gives}_weights"))?;
    ensure!(
        weights.len() == targets.len(),
        InvalidGraph,
        "attribute '{gives}_weights' has {} elements, not {}",
        weights.len(),
        targets.len()
    );
    for (i, weight) in weights.into_iter().enumerate() {
        let Ok(target) = u32::try_from(targets[i]) else { bail!(InvalidGraph, "attribute '{gives}_ids' holds {}", targets[i]) };
        match find((&owners[i], &ids[i])) {
            Some(Branch::Leaf(leaf)) => written.leaves[leaf as usize].push((target, weight)),
            Some(Branch::Split(_)) => {}
            None => bail!(InvalidGraph, "Unable to find node {} of tree {} (weights).", ids[i], owners[i]),
        }
    }
    Ok(())
}
