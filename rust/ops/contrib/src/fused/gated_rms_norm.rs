//! GatedRMSNorm and BranchwiseRMSNorm: normalization by the root of the mean square of parts of the last axis.

use base::{Result, ensure};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dims_of, dtype_of, shape_of};
use op::{Attrs, OpDef, since};

use super::{TYPES, grouped, last, root_mean_square, shaped_like, wide};

/// GatedRMSNorm of `com.microsoft`: parts as long as `scale`, times an activation of `gate`.
pub static GATED_RMS_NORM: OpDef = OpDef {
    name: "GatedRMSNorm",
    versions: &[since(1, "X:T, scale:T, gate:T -> Y:T", &[("T", TYPES)])],
    load: |a| {
        a.choice("activation", &ACTIVATIONS, "silu")?;
        a.opt_float("epsilon")?;
        Ok(Box::new(Composed))
    },
    body: Some(gated),
    ..OpDef::MICROSOFT
};

/// BranchwiseRMSNorm of `com.microsoft`: branches are the last but one axis, or `num_branches` parts of the last one.
pub static BRANCHWISE_RMS_NORM: OpDef = OpDef {
    name: "BranchwiseRMSNorm",
    versions: &[since(1, "X:T, scale:M? -> Y:T", &[("T", TYPES), ("M", TYPES)])],
    load: |a| {
        a.opt_int("num_branches")?;
        a.opt_float("epsilon")?;
        Ok(Box::new(Composed))
    },
    body: Some(branchwise),
    ..OpDef::MICROSOFT
};

const ACTIVATIONS: [&str; 3] = ["silu", "swish", "sigmoid"];

fn gated(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, attributes) = (Body::of(node), Attrs::new(node));
    let (rank, len, width) = (dims_of(facts, 0)?.len(), last(facts, 1)?, last(facts, 0)?);
    ensure!(len > 0 && width % len == 0, InvalidGraph, "a scale of {len} elements for rows of {width}");
    let x = wide(&mut b, 0)?;
    let parts = grouped(&mut b, x, rank, width / len)?;
    let normed = root_mean_square(&mut b, parts, attributes.float("epsilon", 1e-5)?)?;
    let scale = wide(&mut b, 1)?;
    let normed = b.node(("Mul", 14), &[normed, scale], &[]);
    let normed = shaped_like(&mut b, normed, x);
    let gate = wide(&mut b, 2)?;
    let mut activated = b.node(("Sigmoid", 13), &[gate], &[]);
    if attributes.choice("activation", &ACTIVATIONS, "silu")? < 2 {
        activated = b.node(("Mul", 14), &[gate, activated], &[]);
    }
    let y = b.node(("Mul", 14), &[normed, activated], &[]);
    let y = b.cast(y, dtype_of(facts, 0)?);
    Ok(b.finish(&[y]))
}

fn branchwise(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, attributes) = (Body::of(node), Attrs::new(node));
    let (rank, count) = (dims_of(facts, 0)?.len(), attributes.int("num_branches", 0)?);
    let x = wide(&mut b, 0)?;
    let parts = if count > 0 { grouped(&mut b, x, rank, count)? } else { x };
    let mut y = root_mean_square(&mut b, parts, attributes.float("epsilon", 1e-5)?)?;
    if b.input(1).is_some() {
        let mut scale = wide(&mut b, 1)?;
        let width = last(facts, 0)? / count.max(1);
        let shape = shape_of(facts, 1)?;
        // A scale for each element of each branch in a row.
        if shape.len() == 1 && shape.first().is_some_and(|n| *n as i64 != width) {
            let matrix = b.ints(&[-1, width])?;
            scale = b.node(("Reshape", 13), &[scale, matrix], &[]);
        }
        y = b.node(("Mul", 14), &[y, scale], &[]);
    }
    let y = shaped_like(&mut b, y, x);
    let y = b.cast(y, dtype_of(facts, 0)?);
    Ok(b.finish(&[y]))
}
