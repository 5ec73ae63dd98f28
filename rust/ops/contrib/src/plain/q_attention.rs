//! QAttention: Attention whose input and weights are bytes.

use base::{DType, Result};
use ir::{Attribute, Fact, Graph, Node};
use op::body::{Body, Composed};
use op::{OpDef, TypeSet, since};

use crate::q_linear::{BYTES, dequantize_at};

/// QAttention of `com.microsoft`.
pub static Q_ATTENTION: OpDef = OpDef {
    name: "QAttention",
    versions: &[since(
        1,
        "input:T1, weight:T2, bias:T3, input_scale:T3, weight_scale:T3, mask_index:T4?, input_zero_point:T1?, weight_zero_point:T2?, \
         past:T3? -> output:T3, present:T3?",
        &[("T1", BYTES), ("T2", BYTES), ("T3", TypeSet::tensors(&[DType::F32])), ("T4", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| {
        a.required_int("num_heads")?;
        KEPT.iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

/// The attributes that Attention has as well.
const KEPT: [&str; 6] = ["do_rotary", "mask_filter_value", "num_heads", "past_present_share_buffer", "scale", "unidirectional"];

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let input = dequantize_at(&mut b, facts, [0, 3, 6], 0)?;
    // The weights of each column may have a scale of their own.
    let weight = dequantize_at(&mut b, facts, [1, 4, 7], 1)?;
    let inputs = [Some(input), Some(weight), b.input(2), b.input(5), b.input(8)];
    let given = node.attributes.iter().filter(|(name, _)| KEPT.contains(&name.as_str()));
    let attributes: Vec<(&str, Attribute)> = given.map(|(name, a)| (name.as_str(), a.clone())).collect();
    let asked: Vec<bool> = node.outputs.iter().map(|_| true).collect();
    let outputs = b.nodes_of(("com.microsoft", "Attention", 1), &inputs, &attributes, &asked);
    Ok(b.finish(&outputs))
}
