//! QLinearSigmoid and QLinearLeakyRelu.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::Composed;
use op::{OpDef, Since, since};

use super::{BYTES, of_one};

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
    let (name, since) = if &*node.key.name == "QLinearSigmoid" { ("Sigmoid", 13) } else { ("LeakyRelu", 16) };
    of_one(node, facts, |b, x| Ok(b.node_like(node, ("", name, since), &[Some(x)], &["alpha"], &[])))
}
