//! QLinearConv of `com.microsoft`, and NhwcMaxPool: QLinearConv and MaxPool of channels that come last.

use base::{DType, Result};
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dims_of};
use op::{Attrs, OpDef, TypeSet, since};

use super::BYTES;

/// QLinearConv of `com.microsoft`.
pub static Q_LINEAR_CONV: OpDef = OpDef {
    name: "QLinearConv",
    versions: &[since(
        1,
        "x:T1, x_scale:float, x_zero_point:T1, w:T2, w_scale:float, w_zero_point:T2, y_scale:float, y_zero_point:T3, B:T4? -> y:T3",
        &[("T1", BYTES), ("T2", BYTES), ("T3", BYTES), ("T4", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| {
        KEPT.iter().chain(&["channels_last"]).for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(conv),
    ..OpDef::MICROSOFT
};

/// NhwcMaxPool of `com.microsoft`.
pub static NHWC_MAX_POOL: OpDef = OpDef {
    name: "NhwcMaxPool",
    versions: &[since(1, "x:T -> y:T", &[("T", BYTES)])],
    load: |a| {
        KEPT.iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(max_pool),
    ..OpDef::MICROSOFT
};

/// The attributes that the operators of ONNX have as well.
const KEPT: [&str; 7] = ["auto_pad", "ceil_mode", "dilations", "group", "kernel_shape", "pads", "strides"];

/// The node `key` of `ai.onnx` on the inputs of `node`, whose channels come last if `last`.
fn around(node: &Node, facts: &[Option<&Fact>], (name, since): (&str, u32), last: bool) -> Result<Graph> {
    let mut b = Body::of(node);
    let mut inputs: Vec<_> = (0..node.inputs.len()).map(|i| b.input(i)).collect();
    let rank = dims_of(facts, 0)?.len();
    if last {
        let x = b.required(0)?;
        inputs[0] = Some(b.move_channels(x, rank, true));
    }
    let mut y = b.node_like(node, ("", name, since), &inputs, &KEPT, &[]);
    if last {
        y = b.move_channels(y, rank, false);
    }
    Ok(b.finish(&[y]))
}

fn conv(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    around(node, facts, ("QLinearConv", 10), Attrs::new(node).flag("channels_last", false)?)
}

fn max_pool(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    around(node, facts, ("MaxPool", 12), true)
}
