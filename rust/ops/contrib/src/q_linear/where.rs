//! QLinearWhere.

use base::{DType, Result};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{OpDef, TypeSet, since};

use super::{BYTES, dequantize, quantize};

/// QLinearWhere of `com.microsoft`.
pub static Q_LINEAR_WHERE: OpDef = OpDef {
    name: "QLinearWhere",
    versions: &[since(
        1,
        "condition:B, X:T, x_scale:TF, x_zero_point:T, Y:T, y_scale:TF, y_zero_point:T, z_scale:TF, z_zero_point:T -> Z:T",
        &[("B", TypeSet::tensors(&[DType::Bool])), ("TF", TypeSet::tensors(&[DType::F32])), ("T", BYTES)],
    )],
    load: |_| Ok(Box::new(Composed)),
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (condition, x, y) = (b.required(0)?, dequantize(&mut b, facts, 1)?, dequantize(&mut b, facts, 4)?);
    let z = b.node(("Where", 16), &[condition, x, y], &[]);
    let z = quantize(&mut b, facts, z, 7, dtype_of(facts, 1)?)?;
    Ok(b.finish(&[z]))
}
