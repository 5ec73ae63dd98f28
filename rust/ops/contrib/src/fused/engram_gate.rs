//! EngramGate: values let through as far as keys and queries agree.

use base::{Result, ensure};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed, dtype_of};
use op::{Attrs, OpDef, since};

use super::{TYPES, last, root_mean_square, wide};

const SIGNATURE: &str =
    "key:T, query:T, value:T, key_norm_scale:T, query_norm_scale:T, conv_norm_scale:T? -> output:T, gated_value_normed:T?";

/// EngramGate of `com.microsoft`.
pub static ENGRAM_GATE: OpDef = OpDef {
    name: "EngramGate",
    versions: &[since(1, SIGNATURE, &[("T", TYPES)])],
    load: |a| {
        a.opt_float("epsilon")?;
        Ok(Box::new(Composed))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

/// The root of the size of `x`, at least 1e-6 under the root, with the sign of `x`.
fn signed_root(b: &mut Body, x: ValueId) -> Result<ValueId> {
    let (sign, size, least) = (b.node(("Sign", 13), &[x], &[]), b.node(("Abs", 13), &[x], &[]), b.float(1e-6)?);
    let size = b.node(("Max", 13), &[size, least], &[]);
    let root = b.node(("Sqrt", 13), &[size], &[]);
    Ok(b.node(("Mul", 14), &[sign, root], &[]))
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (epsilon, dtype, width) = (Attrs::new(node).float("epsilon", 1e-5)?, dtype_of(facts, 0)?, last(facts, 0)?);
    let normed = |b: &mut Body, x: ValueId, scale: usize| {
        let (x, scale) = (root_mean_square(b, x, epsilon)?, wide(b, scale)?);
        Ok::<_, base::Error>(b.node(("Mul", 14), &[x, scale], &[]))
    };
    let (key, query) = (wide(&mut b, 0)?, wide(&mut b, 1)?);
    let (key, query) = (normed(&mut b, key, 3)?, normed(&mut b, query, 4)?);
    let product = b.node(("Mul", 14), &[key, query], &[]);
    let axes = b.ints(&[-1])?;
    let dot = b.node(("ReduceSum", 13), &[product, axes], &[("keepdims", Attribute::Int(1))]);
    let factor = b.float(1.0 / (width as f32).sqrt())?;
    let dot = b.node(("Mul", 14), &[dot, factor], &[]);
    let root = signed_root(&mut b, dot)?;
    let gate = b.node(("Sigmoid", 13), &[root], &[]);
    let (value, axes) = (wide(&mut b, 2)?, b.ints(&[-2])?);
    let value = b.node(("Unsqueeze", 13), &[value, axes], &[]);
    let gated = b.node(("Mul", 14), &[gate, value], &[]);
    let mut outputs = vec![b.cast(gated, dtype)];
    if node.outputs.len() > 1 {
        ensure!(b.input(5).is_some(), InvalidGraph, "gated_value_normed needs input conv_norm_scale");
        let again = normed(&mut b, gated, 5)?;
        outputs.push(b.cast(again, dtype));
    }
    Ok(b.finish(&outputs))
}
