//! QLinearSoftmax, with the meaning that Softmax had in opset `opset`.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::Composed;
use op::{Attrs, OpDef, since};

use super::{BYTES, of_one};

/// QLinearSoftmax of `com.microsoft`.
pub static Q_LINEAR_SOFTMAX: OpDef = OpDef {
    name: "QLinearSoftmax",
    versions: &[since(1, "X:T, X_scale:float, x_zero_point:T?, y_scale:float, y_zero_point:T -> Y:T", &[("T", BYTES)])],
    load: |a| {
        a.required_int("opset")?;
        a.opt_int("axis")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let since = if Attrs::new(node).required_int("opset")? < 13 { 11 } else { 13 };
    of_one(node, facts, |b, x| Ok(b.node_like(node, ("", "Softmax", since), &[Some(x)], &["axis"], &[])))
}
