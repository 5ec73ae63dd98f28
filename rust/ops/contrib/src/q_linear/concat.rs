//! QLinearConcat.

use base::{DType, Result, ensure};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{OpDef, TypeSet, since};

use super::{BYTES, dequantize, quantize};

/// QLinearConcat of `com.microsoft`: its inputs are tensors, each with scale and zero point.
pub static Q_LINEAR_CONCAT: OpDef = OpDef {
    name: "QLinearConcat",
    versions: &[since(
        1,
        "Y_scale:TF, Y_zero_point:T8, inputs:TV~ -> Y:T8",
        &[("TF", TypeSet::tensors(&[DType::F32])), ("T8", BYTES), ("TV", BYTES.or(TypeSet::tensors(&[DType::F32])))],
    )],
    load: |a| {
        a.required_int("axis")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let given = node.inputs.len().saturating_sub(2);
    ensure!(given > 0 && given.is_multiple_of(3), InvalidGraph, "{given} inputs are not tensors with scale and zero point each");
    let parts = (2..node.inputs.len()).step_by(3).map(|i| dequantize(&mut b, facts, i).map(Some)).collect::<Result<Vec<_>>>()?;
    let y = b.node_like(node, ("", "Concat", 13), &parts, &["axis"], &[]);
    let y = quantize(&mut b, facts, y, 0, dtype_of(facts, 1)?)?;
    Ok(b.finish(&[y]))
}
