//! Transposes and scales around a matrix product are done by it.
//!
//! ```text
//! t = Transpose(k) {0, 1, 3, 2}; m = MatMul(q, t); y = Mul(m, 0.125)    →    y = com.microsoft.FusedMatMul(q, k) {alpha=0.125, transB=1}
//! t = Transpose(k) {0, 2, 3, 1}; y = MatMul(q, t)    →    t = Transpose(k) {0, 2, 1, 3}; y = com.microsoft.FusedMatMul(q, t) {transB=1}
//! ```
//!
//! In the second form the rows that a transpose moves stay whole.

use base::{DType, Result};
use ir::{Attribute, Attributes, Node, NodeId, OpKey, Patch, ValueId};

use crate::context::{MICROSOFT, float, int, is_microsoft};
use crate::transpose::{is_identity, perm_attribute, permutation};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "matmul_transpose",
    stands_for: &["MatmulTransposeFusion", "MatMulScaleFusion", "GemmTransposeFusion"],
    level: Level::Extended,
    what: "Transposes of the last two axes and scales around MatMul become FusedMatMul; transposes before Gemm its attributes.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    if is_product(node) || node.is("Gemm") {
        return Ok(transposed(cx, id, 0).or_else(|| transposed(cx, id, 1)).or_else(|| scaled_input(cx, id)));
    }
    Ok(scaled_output(cx, id))
}

fn is_product(node: &Node) -> bool {
    node.is("MatMul") || is_microsoft(node, "FusedMatMul")
}

/// The operator that takes the attributes: the node's own, or `FusedMatMul` for a `MatMul`.
fn fused_key(cx: &Context<'_>, node: &Node) -> Option<OpKey> {
    if node.is("MatMul") { cx.oracle.operator(MICROSOFT, "FusedMatMul") } else { Some(node.key.clone()) }
}

fn toggled(node: &Node, name: &str) -> Attributes {
    let mut attributes = node.attributes.clone();
    attributes.insert(name.to_owned(), Attribute::Int((int(node, name, 0) == 0).into()));
    attributes
}

/// Input `i` without its transpose, or with one that keeps the last axis in its place.
fn transposed(cx: &Context<'_>, id: NodeId, i: usize) -> Option<Patch> {
    let node = cx.graph.node(id);
    let key = fused_key(cx, node)?;
    let (name, batch) = if i == 0 { ("transA", "transBatchA") } else { ("transB", "transBatchB") };
    let v = node.input(i).filter(|_| int(node, batch, 0) == 0)?;
    let (transpose, before) = cx.writer(v, "Transpose")?;
    let source = before.input(0).filter(|x| cx.constant(*x).is_none())?;
    let mut perm = permutation(cx, before)?;
    let last = perm.len().checked_sub(1).filter(|n| *n > 0)?;
    perm.swap(last - 1, last);
    let mut patch = Patch::new(cx.graph);
    let input = if is_identity(&perm) {
        source
    } else if perm[last] == last && cx.is_private(v) {
        patch.node(cx.graph, &[transpose], before.key.clone(), &[Some(source)], perm_attribute(&perm), 1)[0]
    } else {
        return None;
    };
    let mut inputs = node.inputs.clone();
    inputs[i] = Some(input);
    let new = patch.node(cx.graph, &[id], key, &inputs, toggled(node, name), 1);
    patch.replace(node.output(0)?, new[0]);
    Some(patch)
}

/// For a `Mul` or `Div` by a number of 32 bits: what is scaled, and by how much.
fn scaled(cx: &Context<'_>, node: &Node) -> Option<(ValueId, f64)> {
    let y = node.output(0)?;
    let (x, scale) = match () {
        () if node.is("Mul") => cx.both_ways(node).into_iter().find_map(|(x, c)| Some((x, cx.number(c)?)))?,
        () if node.is("Div") => cx.pair(node).and_then(|(x, c)| Some((x, 1.0 / cx.number(c)?)))?,
        () => return None,
    };
    (scale.is_finite() && cx.dtype(y) == Some(DType::F32) && cx.same_dims(x, y)).then_some((x, scale))
}

fn with_alpha(cx: &Context<'_>, origins: &[NodeId], product: &Node, inputs: &[Option<ValueId>], scale: f64, y: ValueId) -> Option<Patch> {
    let mut attributes = product.attributes.clone();
    let alpha = (f64::from(float(product, "alpha", 1.0)) * scale) as f32;
    attributes.insert("alpha".to_owned(), Attribute::Float(alpha));
    let mut patch = Patch::new(cx.graph);
    let new = patch.node(cx.graph, origins, fused_key(cx, product)?, inputs, attributes, 1);
    patch.replace(y, new[0]);
    Some(patch)
}

fn scaled_output(cx: &Context<'_>, id: NodeId) -> Option<Patch> {
    let node = cx.graph.node(id);
    let (m, scale) = scaled(cx, node)?;
    let (product, n) = cx.any_writer(m).filter(|(_, n)| is_product(n) && cx.is_private(m))?;
    with_alpha(cx, &[product, id], n, &n.inputs, scale, node.output(0)?)
}

fn scaled_input(cx: &Context<'_>, id: NodeId) -> Option<Patch> {
    let node = cx.graph.node(id);
    (0..2).filter(|_| is_product(node)).find_map(|i| {
        let v = node.input(i).filter(|v| cx.is_private(*v))?;
        let (mul, n) = cx.any_writer(v)?;
        let (x, scale) = scaled(cx, n).filter(|(x, _)| cx.constant(*x).is_none())?;
        let mut inputs = node.inputs.clone();
        inputs[i] = Some(x);
        with_alpha(cx, &[id, mul], node, &inputs, scale, node.output(0)?)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn transposes_and_scales_go() {
        let text = "
            q: float[2, 3, n, 4]
            k: float[2, 3, m, 4]
            s: float[] = 0.5
            t = Transpose(k) {perm=[0, 1, 3, 2]}
            u = Mul(q, s)
            p = MatMul(u, t)
            y = Div(p, s)
            -> y";
        check(&["matmul_transpose"], text, "%y = com.microsoft.FusedMatMul-1(%q, %k) {alpha=1.0, transB=1}\noutputs %y");
    }

    #[test]
    fn rows_stay_whole() {
        let text = "
            q: float[2, 3, n, 4]
            k: float[2, m, 3, 4]
            t = Transpose(k) {perm=[0, 2, 3, 1]}
            y = MatMul(q, t)
            -> y";
        let after = "
            %#1 = Transpose-13(%k) {perm=[0, 2, 1, 3]}
            %y = com.microsoft.FusedMatMul-1(%q, %#1) {transB=1}
            outputs %y";
        check(&["matmul_transpose"], text, after);
    }

    #[test]
    fn gemm_has_attributes_for_it() {
        let text = "
            a: float[3, n]
            b: float[3, 4]
            t = Transpose(a)
            y = Gemm(t, b)
            -> y";
        check(&["matmul_transpose"], text, "%y = Gemm-13(%a, %b) {transA=1}\noutputs %y");
    }

    #[test]
    fn scales_that_are_no_numbers_stay() {
        check_unchanged(
            &["matmul_transpose"],
            "q: float[2, 4]
             k: float[4, 2]
             s: float[2] = 1 2
             p = MatMul(q, k)
             y = Mul(p, s)
             -> y",
        );
    }
}
