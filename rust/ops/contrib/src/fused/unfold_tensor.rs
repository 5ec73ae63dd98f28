//! UnfoldTensor: all slices of one length along an axis, as an axis of their own.

use base::{Result, Tensor, axis_index, ensure};
use ir::{Attribute, Fact, Graph, Node};
use op::body::{Body, Composed, dims_of};
use op::types::ANY_V13;
use op::{Attrs, OpDef, since};

/// UnfoldTensor of `com.microsoft`.
pub static UNFOLD_TENSOR: OpDef = OpDef {
    name: "UnfoldTensor",
    versions: &[since(1, "input:T -> output:T", &[("T", ANY_V13)])],
    load: |a| {
        let (size, step) = (a.required_int("size")?, a.int("step", 1)?);
        ensure!(size > 0 && step > 0, InvalidGraph, "slices of {size} elements, {step} apart");
        a.opt_int("dim")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, attributes) = (Body::of(node), Attrs::new(node));
    let dims = dims_of(facts, 0)?;
    let axis = axis_index(attributes.int("dim", -1)?, dims.len())?;
    let (size, step) = (attributes.required_int("size")?, attributes.int("step", 1)?);
    let Some(len) = dims[axis].known() else { base::bail!(InvalidGraph, "axis {axis} has no known size") };
    ensure!(len >= size, InvalidGraph, "slices of {size} of an axis of {len}");
    let count = (len - size) / step + 1;
    let places: Vec<i64> = (0..count).flat_map(|i| (0..size).map(move |j| i * step + j)).collect();
    let places = b.constant(Tensor::from_slice([count as usize, size as usize], &places)?);
    let x = b.required(0)?;
    let y = b.node(("Gather", 13), &[x, places], &[("axis", Attribute::Int(axis as i64))]);
    // The elements of a slice come last.
    let mut perm: Vec<i64> = (0..=dims.len() as i64).collect();
    let elements = perm.remove(axis + 1);
    perm.push(elements);
    let y = b.node(("Transpose", 13), &[y], &[("perm", Attribute::Ints(perm))]);
    Ok(b.finish(&[y]))
}
