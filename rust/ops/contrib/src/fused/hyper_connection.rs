//! HyperConnectionPreMix and HyperConnectionPostMix: streams made one, and one made streams again.

use base::Result;
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed, dims_of, dtype_of};
use op::{Attrs, OpDef, since};

use super::{TYPES, grouped, last, shaped_like, wide};

/// HyperConnectionPreMix of `com.microsoft`: the sum of the streams, each times its gate.
pub static HYPER_CONNECTION_PRE_MIX: OpDef = OpDef {
    name: "HyperConnectionPreMix",
    versions: &[since(1, "streams:T, pre_mix:M -> output:T", &[("T", TYPES), ("M", TYPES)])],
    load: |a| {
        a.opt_float("reduction_scale")?;
        a.opt_int("num_branches")?;
        Ok(Box::new(Composed))
    },
    body: Some(pre_mix),
    ..OpDef::MICROSOFT
};

/// HyperConnectionPostMix of `com.microsoft`: the streams mixed, and the output of a block times a gate for each.
pub static HYPER_CONNECTION_POST_MIX: OpDef = OpDef {
    name: "HyperConnectionPostMix",
    versions: &[since(1, "streams:T, block_output:T, post_mix:M, stream_mix:M? -> output:T", &[("T", TYPES), ("M", TYPES)])],
    load: |a| {
        a.opt_int("num_branches")?;
        Ok(Box::new(Composed))
    },
    body: Some(post_mix),
    ..OpDef::MICROSOFT
};

/// The streams in 32 bits as `[.., stream, element]`, and how many axes that are.
fn streams(b: &mut Body, node: &Node, facts: &[Option<&Fact>]) -> Result<(ValueId, usize)> {
    let (rank, count) = (dims_of(facts, 0)?.len(), Attrs::new(node).int("num_branches", 0)?);
    let x = wide(b, 0)?;
    Ok(if count > 0 { (grouped(b, x, rank, count)?, rank + 1) } else { (x, rank) })
}

/// Input `i`, gates, as `[.., stream, 1]` or `[.., stream, element]`; the streams have `rank` axes.
fn gates(b: &mut Body, facts: &[Option<&Fact>], i: usize, rank: usize, count: i64) -> Result<ValueId> {
    let given = dims_of(facts, i)?.len();
    let gate = wide(b, i)?;
    if given >= rank {
        return Ok(gate);
    }
    if count > 0 && last(facts, i)? != count {
        return grouped(b, gate, given, count);
    }
    let axes = b.ints(&[-1])?;
    Ok(b.node(("Unsqueeze", 13), &[gate, axes], &[]))
}

fn pre_mix(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, attributes) = (Body::of(node), Attrs::new(node));
    let (x, rank) = streams(&mut b, node, facts)?;
    let gate = gates(&mut b, facts, 1, rank, attributes.int("num_branches", 0)?)?;
    let product = b.node(("Mul", 14), &[x, gate], &[]);
    let axes = b.ints(&[-2])?;
    let sum = b.node(("ReduceSum", 13), &[product, axes], &[("keepdims", Attribute::Int(0))]);
    let scale = b.float(attributes.float("reduction_scale", 1.0)?)?;
    let y = b.node(("Mul", 14), &[sum, scale], &[]);
    let y = b.cast(y, dtype_of(facts, 0)?);
    Ok(b.finish(&[y]))
}

fn post_mix(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (x, rank) = streams(&mut b, node, facts)?;
    let gate = gates(&mut b, facts, 2, rank, Attrs::new(node).int("num_branches", 0)?)?;
    let mut mixed = x;
    if b.input(3).is_some() {
        let mix = wide(&mut b, 3)?;
        let mut perm: Vec<i64> = (0..rank as i64).collect();
        perm.swap(rank - 2, rank - 1);
        let mix = b.node(("Transpose", 13), &[mix], &[("perm", Attribute::Ints(perm))]);
        mixed = b.node(("MatMul", 13), &[mix, x], &[]);
    }
    let (block, axes) = (wide(&mut b, 1)?, b.ints(&[-2])?);
    let block = b.node(("Unsqueeze", 13), &[block, axes], &[]);
    let injected = b.node(("Mul", 14), &[gate, block], &[]);
    let y = b.node(("Add", 14), &[mixed, injected], &[]);
    let like = b.required(0)?;
    let y = shaped_like(&mut b, y, like);
    let y = b.cast(y, dtype_of(facts, 0)?);
    Ok(b.finish(&[y]))
}
