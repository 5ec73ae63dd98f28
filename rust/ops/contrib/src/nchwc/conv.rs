//! Conv of `com.microsoft.nchwc`: FusedConv whose weights lie in blocks.

use base::{Result, bail, ensure};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed, shape_of};
use op::{Attrs, OpDef, since};

use super::{FLOAT, NCHWC, block};

/// Conv of `com.microsoft.nchwc`.
pub static CONV: OpDef = OpDef {
    name: "Conv",
    versions: &[since(1, "X:T, W:T, B:T?, Sum:T? -> Y:T", FLOAT)],
    load: |a| {
        KEPT.iter().chain(&["group"]).for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..NCHWC
};

/// The attributes that FusedConv has as well, with the same meaning.
const KEPT: [&str; 7] = ["activation", "activation_params", "auto_pad", "dilations", "kernel_shape", "pads", "strides"];

/// The axes of weights in blocks: those of shapes and transpositions around `[output, input, ..spatial]`.
struct Blocked {
    shape: Vec<i64>,
    perm: Vec<i64>,
}

impl Blocked {
    /// How weights of `[output, input, ..spatial]` lie.
    ///
    /// Blocks are as long as those of this machine, unless numbers of channels show that they are shorter. Input channels lie in blocks
    /// as well, unless there are fewer than a block holds: those of an image, or of a kernel for each channel.
    fn of(output: usize, input: usize, spatial: &[usize]) -> Result<Self> {
        let whole = |n: usize, block: usize| n < block || n.is_multiple_of(block);
        let block = if output.is_multiple_of(block()) && whole(input, block()) { block() } else { 8 };
        ensure!(output.is_multiple_of(block) && whole(input, block), InvalidGraph, "weights of {output}x{input} channels in no blocks");
        let count = spatial.len() as i64;
        let sizes = |front: [usize; 2], back: &[usize]| front.iter().chain(spatial).chain(back).map(|d| *d as i64).collect::<Vec<i64>>();
        let spatial_axes = 2..2 + count;
        Ok(if input < block {
            Self { shape: sizes([output / block, input], &[block]), perm: [0, 2 + count, 1].into_iter().chain(spatial_axes).collect() }
        } else {
            let shape = sizes([output / block, input / block], &[block, block]);
            Self { shape, perm: [0, 3 + count, 1, 2 + count].into_iter().chain(spatial_axes).collect() }
        })
    }
}

/// The weights as Conv has them.
fn plain(b: &mut Body, w: ValueId, shape: &[usize]) -> Result<ValueId> {
    let [output, input, spatial @ ..] = shape else { bail!(InvalidGraph, "weights of shape {shape:?}") };
    let blocked = Blocked::of(*output, *input, spatial)?;
    let (blocks, dense) = (b.ints(&blocked.shape)?, b.ints(&shape.iter().map(|d| *d as i64).collect::<Vec<_>>())?);
    let w = b.node(("Reshape", 13), &[w, blocks], &[]);
    let w = b.node(("Transpose", 13), &[w], &[("perm", Attribute::Ints(blocked.perm))]);
    Ok(b.node(("Reshape", 13), &[w, dense], &[]))
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let shape = shape_of(facts, 1)?;
    let w = b.required(1)?;
    let w = plain(&mut b, w, &shape)?;
    // A kernel for each channel: there are as many groups as channels, those that fill the last block included.
    let groups = match Attrs::new(node).int("group", 1)? {
        groups if groups > 1 && shape.get(1) == Some(&1) => shape.first().map_or(groups, |output| *output as i64),
        groups => groups,
    };
    let inputs = [b.input(0), Some(w), b.input(2), b.input(3)];
    let y = b.node_like(node, ("com.microsoft", "FusedConv", 1), &inputs, &KEPT, &[("group", groups.into())]);
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_of_blocks() {
        let b = Blocked::of(24, 8, &[3, 2]).unwrap();
        assert_eq!((b.shape, b.perm), (vec![3, 1, 3, 2, 8, 8], vec![0, 5, 1, 4, 2, 3]));
        let b = Blocked::of(8, 3, &[5, 5]).unwrap();
        assert_eq!((b.shape, b.perm), (vec![1, 3, 5, 5, 8], vec![0, 4, 1, 2, 3]));
        assert!(Blocked::of(12, 8, &[1, 1]).is_err());
        assert!(Blocked::of(8, 12, &[1, 1]).is_err());
    }
}
