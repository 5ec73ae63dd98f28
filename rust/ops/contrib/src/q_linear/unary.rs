//! QLinearSigmoid and QLinearLeakyRelu.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{OpDef, Since, since};

use super::{BYTES, dequantize, quantize};

const VERSIONS: &[Since] = &[since(1, "X:T, X_scale:float, X_zero_point:T?, Y_scale:float, Y_zero_point:T? -> Y:T", &[("T", BYTES)])];

/// QLinearSigmoid of `com.microsoft`.
pub static Q_LINEAR_SIGMOID: OpDef = definition("QLinearSigmoid");
/// QLinearLeakyRelu of `com.microsoft`.
pub static Q_LINEAR_LEAKY_RELU: OpDef = definition("QLinearLeakyRelu");

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| {
            a.opt_float("alpha")?;
            Ok(Box::new(Composed))
        },
        body: Some(body),
        ..OpDef::MICROSOFT
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let x = dequantize(&mut b, facts, 0)?;
    let (name, since) = if &*node.key.name == "QLinearSigmoid" { ("Sigmoid", 13) } else { ("LeakyRelu", 16) };
    let y = b.node_like(node, ("", name, since), &[Some(x)], &["alpha"], &[]);
    let y = quantize(&mut b, facts, y, 3, dtype_of(facts, 0)?)?;
    Ok(b.finish(&[y]))
}
