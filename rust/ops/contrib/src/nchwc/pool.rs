//! The pools of `com.microsoft.nchwc`, each one of ONNX.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed};
use op::{OpDef, Since, since};

use super::{FLOAT, NCHWC};

/// MaxPool of `com.microsoft.nchwc`.
pub static MAX_POOL: OpDef = definition("MaxPool");
/// AveragePool of `com.microsoft.nchwc`.
pub static AVERAGE_POOL: OpDef = definition("AveragePool");
/// GlobalMaxPool of `com.microsoft.nchwc`.
pub static GLOBAL_MAX_POOL: OpDef = definition("GlobalMaxPool");
/// GlobalAveragePool of `com.microsoft.nchwc`.
pub static GLOBAL_AVERAGE_POOL: OpDef = definition("GlobalAveragePool");

const VERSIONS: &[Since] = &[since(1, "X:T -> Y:T", FLOAT)];
/// The attributes that they share with the pools of ONNX.
const KEPT: [&str; 7] = ["auto_pad", "ceil_mode", "count_include_pad", "dilations", "kernel_shape", "pads", "strides"];

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| {
            // The order of indices, which there are none of.
            KEPT.iter().chain(&["storage_order"]).for_each(|name| a.ignore(name));
            Ok(Box::new(Composed))
        },
        body: Some(body),
        ..NCHWC
    }
}

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let since = match &*node.key.name {
        "MaxPool" => 12,
        "AveragePool" => 19,
        _ => 1,
    };
    let y = b.node_like(node, ("", &node.key.name, since), &[b.input(0)], &KEPT, &[]);
    Ok(b.finish(&[y]))
}
