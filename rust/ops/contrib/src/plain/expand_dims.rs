//! ExpandDims: Unsqueeze at an axis that is a scalar.

use base::{DType, Result};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed};
use op::types::ANY_V13;
use op::{OpDef, since};

/// ExpandDims of `com.microsoft`.
pub static EXPAND_DIMS: OpDef = OpDef {
    name: "ExpandDims",
    versions: &[since(1, "X:T, axis:int32 -> Y:T", &[("T", ANY_V13)])],
    load: |_| Ok(Box::new(Composed)),
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (x, axis, one) = (b.required(0)?, b.required(1)?, b.ints(&[1])?);
    let axis = b.cast(axis, DType::I64);
    let axes = b.node(("Reshape", 13), &[axis, one], &[]);
    let y = b.node(("Unsqueeze", 13), &[x, axes], &[]);
    Ok(b.finish(&[y]))
}
