//! QLinearAveragePool and QLinearGlobalAveragePool, of channels at the front or at the end.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::{Composed, dims_of};
use op::{Attrs, OpDef, Since, since};

use super::{BYTES, of_one};

/// QLinearAveragePool of `com.microsoft`.
pub static Q_LINEAR_AVERAGE_POOL: OpDef = definition("QLinearAveragePool");
/// QLinearGlobalAveragePool of `com.microsoft`.
pub static Q_LINEAR_GLOBAL_AVERAGE_POOL: OpDef = definition("QLinearGlobalAveragePool");

const VERSIONS: &[Since] = &[since(1, "X:T, x_scale:float, x_zero_point:T?, y_scale:float, y_zero_point:T? -> Y:T", &[("T", BYTES)])];
/// The attributes that AveragePool has as well.
const KEPT: [&str; 6] = ["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"];

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| {
            KEPT.iter().chain(&["channels_last"]).for_each(|name| a.ignore(name));
            Ok(Box::new(Composed))
        },
        body: Some(body),
        ..OpDef::MICROSOFT
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let (last, rank) = (Attrs::new(node).flag("channels_last", false)?, dims_of(facts, 0)?.len());
    let name = node.key.name.trim_start_matches("QLinear");
    of_one(node, facts, |b, x| {
        let x = if last { b.move_channels(x, rank, true) } else { x };
        let y = b.node_like(node, ("", name, if name == "AveragePool" { 19 } else { 1 }), &[Some(x)], &KEPT, &[]);
        Ok(if last { b.move_channels(y, rank, false) } else { y })
    })
}
