//! QLinearReduceMean.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::Composed;
use op::{OpDef, since};

use super::{BYTES, of_one};

/// QLinearReduceMean of `com.microsoft`.
pub static Q_LINEAR_REDUCE_MEAN: OpDef = OpDef {
    name: "QLinearReduceMean",
    versions: &[since(
        1,
        "data:T, data_scale:float, data_zero_point:T?, reduced_scale:float, reduced_zero_point:T? -> reduced:T",
        &[("T", BYTES)],
    )],
    load: |a| {
        ["axes", "keepdims"].iter().for_each(|name| a.ignore(name));
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    of_one(node, facts, |b, x| Ok(b.node_like(node, ("", "ReduceMean", 13), &[Some(x)], &["axes", "keepdims"], &[])))
}
