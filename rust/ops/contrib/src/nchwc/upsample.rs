//! Upsample of `com.microsoft.nchwc`: Resize by whole factors.

use base::{Result, Tensor, error};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed};
use op::{Attrs, OpDef, since};

use super::{FLOAT, NCHWC};

/// Upsample of `com.microsoft.nchwc`.
pub static UPSAMPLE: OpDef = OpDef {
    name: "Upsample",
    versions: &[since(1, "X:T -> Y:T", FLOAT)],
    load: |a| {
        ["coordinate_transformation_mode", "mode", "scales"].iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..NCHWC
};

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let attributes = Attrs::new(node);
    let scales = attributes.opt_ints("scales")?.ok_or_else(|| error!(InvalidGraph, "Required attribute 'scales' is missing"))?;
    let scales: Vec<f32> = scales.iter().map(|s| *s as f32).collect();
    let scales = b.constant(Tensor::from_slice([scales.len()], &scales)?);
    let more = [
        ("mode", attributes.string("mode", "nearest")?.into()),
        ("coordinate_transformation_mode", attributes.string("coordinate_transformation_mode", "asymmetric")?.into()),
        ("nearest_mode", "floor".into()),
    ];
    let y = b.node_of(("", "Resize", 13), &[b.input(0), None, Some(scales)], &more);
    Ok(b.finish(&[y]))
}
