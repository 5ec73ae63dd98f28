//! DynamicQuantizeMatMul: a product whose left operand is quantized by its own range.

use base::{DType, Result};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed};
use op::{OpDef, TypeSet, since};

use crate::q_linear::BYTES;

/// DynamicQuantizeMatMul of `com.microsoft`.
pub static DYNAMIC_QUANTIZE_MAT_MUL: OpDef = OpDef {
    name: "DynamicQuantizeMatMul",
    versions: &[since(
        1,
        "A:T1, B:T2, b_scale:T1, b_zero_point:T2?, bias:T1? -> Y:T1",
        &[("T1", TypeSet::tensors(&[DType::F32])), ("T2", BYTES)],
    )],
    load: |_| Ok(Box::new(Composed)),
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let quantized = b.nodes_of(("", "DynamicQuantizeLinear", 11), &[b.input(0)], &[], &[true; 3]);
    let [a, scale, zero] = quantized[..] else { base::bail!(Fail, "DynamicQuantizeLinear gives three values") };
    let inputs = [Some(a), b.input(1), Some(scale), b.input(2), Some(zero), b.input(3), b.input(4)];
    let y = b.node_of(("com.microsoft", "MatMulIntegerToFloat", 1), &inputs, &[]);
    Ok(b.finish(&[y]))
}
