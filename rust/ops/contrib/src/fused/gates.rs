//! GatedAdd, ScaledSiLU and LinearAttentionGate.

use base::{DType, Result, ensure};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{Attrs, OpDef, TypeSet, since};

use super::{TYPES, wide};

/// GatedAdd of `com.microsoft`: `X + Y gate`.
pub static GATED_ADD: OpDef = OpDef {
    name: "GatedAdd",
    versions: &[since(1, "X:T, Y:T, gate:T -> output:T", &[("T", TYPES)])],
    load: |_| Ok(Box::new(Composed)),
    body: Some(|node, _| {
        let mut b = Body::of(node);
        let (x, y, gate) = (b.required(0)?, b.required(1)?, b.required(2)?);
        let product = b.node(("Mul", 14), &[y, gate], &[]);
        let output = b.node(("Add", 14), &[x, product], &[]);
        Ok(b.finish(&[output]))
    }),
    ..OpDef::MICROSOFT
};

/// ScaledSiLU of `com.microsoft`: `z sigmoid(z)` of `z = scale X`.
pub static SCALED_SI_LU: OpDef = OpDef {
    name: "ScaledSiLU",
    versions: &[since(1, "X:T, scale:M? -> Y:T", &[("T", TYPES), ("M", TYPES)])],
    load: |a| {
        a.opt_float("alpha")?;
        Ok(Box::new(Composed))
    },
    body: Some(scaled_silu),
    ..OpDef::MICROSOFT
};

/// LinearAttentionGate of `com.microsoft`: `decay_scale softplus(a + dt_bias)`, and `sigmoid(b)`.
pub static LINEAR_ATTENTION_GATE: OpDef = OpDef {
    name: "LinearAttentionGate",
    versions: &[since(
        1,
        "a:T, dt_bias:TF, decay_scale:TF, b:T? -> decay:T, beta:T?",
        &[("T", TYPES), ("TF", TypeSet::tensors(&[DType::F32]))],
    )],
    load: |_| Ok(Box::new(Composed)),
    body: Some(linear_attention_gate),
    ..OpDef::MICROSOFT
};

fn scaled_silu(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, dtype) = (Body::of(node), dtype_of(facts, 0)?);
    let x = wide(&mut b, 0)?;
    let scale = match b.input(1) {
        Some(_) => wide(&mut b, 1)?,
        None => b.float(Attrs::new(node).float("alpha", 1.0)?)?,
    };
    let z = b.node(("Mul", 14), &[x, scale], &[]);
    let z = b.cast(z, dtype);
    let sigmoid = b.node(("Sigmoid", 13), &[z], &[]);
    let y = b.node(("Mul", 14), &[z, sigmoid], &[]);
    Ok(b.finish(&[y]))
}

fn linear_attention_gate(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (mut b, dtype) = (Body::of(node), dtype_of(facts, 0)?);
    let (a, bias, scale) = (wide(&mut b, 0)?, b.required(1)?, b.required(2)?);
    let sum = b.node(("Add", 14), &[a, bias], &[]);
    let soft = b.node(("Softplus", 1), &[sum], &[]);
    let decay = b.node(("Mul", 14), &[soft, scale], &[]);
    let mut outputs = vec![b.cast(decay, dtype)];
    if node.outputs.len() > 1 {
        ensure!(b.input(3).is_some(), InvalidGraph, "beta needs input b");
        let rate = wide(&mut b, 3)?;
        let beta = b.node(("Sigmoid", 13), &[rate], &[]);
        outputs.push(b.cast(beta, dtype));
    }
    Ok(b.finish(&outputs))
}
