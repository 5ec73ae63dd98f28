//! ReorderInput and ReorderOutput of `com.microsoft.nchwc`: into blocks of channels, and out of them.

use base::{Result, ensure};
use ir::{Dim, Fact, Graph, Node};
use op::body::{Body, Composed, dims_of};
use op::{Attrs, OpDef, since};

use super::{FLOAT, NCHWC, block};

/// ReorderInput of `com.microsoft.nchwc`: channels come first, and fill whole blocks.
pub static REORDER_INPUT: OpDef = OpDef {
    name: "ReorderInput",
    versions: &[since(1, "X:T -> Y:T", FLOAT)],
    load: |a| {
        a.ignore("channels_last");
        Ok(Box::new(Composed))
    },
    body: Some(input),
    ..NCHWC
};

/// ReorderOutput of `com.microsoft.nchwc`: the first `channels` channels, which come last if asked to.
pub static REORDER_OUTPUT: OpDef = OpDef {
    name: "ReorderOutput",
    versions: &[since(1, "X:T -> Y:T", FLOAT)],
    load: |a| {
        a.required_int("channels")?;
        a.ignore("channels_last");
        Ok(Box::new(Composed))
    },
    body: Some(output),
    ..NCHWC
};

fn rank(facts: &[Option<&Fact>]) -> Result<usize> {
    let rank = dims_of(facts, 0)?.len();
    ensure!(rank >= 3, InvalidGraph, "an image is needed, not {rank} axes");
    Ok(rank)
}

fn input(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, rank) = (Body::of(node), rank(facts)?);
    let last = Attrs::new(node).flag("channels_last", false)?;
    let mut x = b.required(0)?;
    if last {
        x = b.move_channels(x, rank, true);
    }
    let channels = &dims_of(facts, 0)?[if last { rank - 1 } else { 1 }];
    let Dim::Known(channels) = channels else { base::bail!(InvalidGraph, "the number of channels is not known") };
    let missing = (*channels as usize).next_multiple_of(block()) as i64 - *channels;
    let mut pads = vec![0; 2 * rank];
    pads[rank + 1] = missing;
    let pads = b.ints(&pads)?;
    let y = if missing > 0 { b.node(("Pad", 13), &[x, pads], &[]) } else { b.node(("Identity", 13), &[x], &[]) };
    Ok(b.finish(&[y]))
}

fn output(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, rank) = (Body::of(node), rank(facts)?);
    let attributes = Attrs::new(node);
    let (channels, last) = (attributes.required_int("channels")?, attributes.flag("channels_last", false)?);
    let (start, end, axis) = (b.ints(&[0])?, b.ints(&[channels])?, b.ints(&[1])?);
    let x = b.required(0)?;
    let mut y = b.node(("Slice", 13), &[x, start, end, axis], &[]);
    if last {
        y = b.move_channels(y, rank, false);
    }
    Ok(b.finish(&[y]))
}
