//! QLinearAdd and QLinearMul.

use base::Result;
use ir::{Fact, Graph, Node};
use op::body::{Body, Composed, dtype_of};
use op::{OpDef, Since, since};

use super::{BYTES, dequantize, quantize};

const VERSIONS: &[Since] = &[since(
    1,
    "A:T, A_scale:float, A_zero_point:T?, B:T, B_scale:float, B_zero_point:T?, C_scale:float, C_zero_point:T? -> C:T",
    &[("T", BYTES)],
)];

/// QLinearAdd of `com.microsoft`.
pub static Q_LINEAR_ADD: OpDef = definition("QLinearAdd");
/// QLinearMul of `com.microsoft`.
pub static Q_LINEAR_MUL: OpDef = definition("QLinearMul");

const fn definition(name: &'static str) -> OpDef {
    OpDef { name, versions: VERSIONS, load: |_| Ok(Box::new(Composed)), body: Some(body), ..OpDef::MICROSOFT }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let operands = [dequantize(&mut b, facts, 0)?, dequantize(&mut b, facts, 3)?];
    let c = b.node((node.key.name.trim_start_matches("QLinear"), 14), &operands, &[]);
    let c = quantize(&mut b, facts, c, 6, dtype_of(facts, 0)?)?;
    Ok(b.finish(&[c]))
}
