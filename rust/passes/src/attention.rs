//! Scaled dot product attention, as exporters write it out.
//!
//! ```text
//! s = com.microsoft.FusedMatMul(q, k) {alpha=0.125, transB=1}; m = Add(s, mask); p = Softmax(m) {axis=-1}; y = MatMul(p, v)
//!     →    y = Attention(q, k, v, mask) {scale=0.125}
//! ```
//!
//! The pass `matmul_transpose` brings the many ways of scaling and transposing to this one form first. The quadratic scores need
//! never be in memory as a whole then.

use base::Result;
use ir::{Attribute, Attributes, Dim, Node, NodeId, OpKey, Patch, ValueId};

use crate::context::{float, int, is_microsoft};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "attention",
    stands_for: &["AttentionFusion"],
    level: Level::Extended,
    what: "Scaled products of queries and keys, their mask, Softmax and the product with values become Attention.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    Ok(found(cx, id))
}

fn found(cx: &Context<'_>, id: NodeId) -> Option<Patch> {
    let node = cx.graph.node(id);
    let (weights, v) = cx.pair(node).filter(|_| node.is("MatMul"))?;
    let y = node.output(0)?;
    let (softmax, n) = cx.writer(weights, "Softmax").filter(|(_, n)| cx.is_private(weights) && is_over_last_axis(cx, n))?;
    let masked = n.input(0)?;
    let (scores, mask, add) = match cx.any_writer(masked) {
        Some((add, n)) if n.is("Add") => {
            let (scores, mask) = cx.both_ways(n).into_iter().find(|(s, m)| product(cx, *s).is_some() && is_mask(cx, *m, *s))?;
            (scores, Some(mask), Some(add))
        }
        _ => (masked, None, None),
    };
    let (matmul, n) = product(cx, scores).filter(|_| cx.is_private(masked) && cx.is_private(scores))?;
    let (q, k) = cx.pair(n)?;
    let heads = |v: ValueId| cx.dims(v).filter(|d| d.len() == 4).map(|d| &d[..2]);
    if heads(q).is_none() || heads(q) != heads(k) || heads(q) != heads(v) {
        return None;
    }
    // Models of older opsets get it too: it means the same there, and has a body to be saved as.
    let key = cx.oracle.operator("", "Attention").unwrap_or_else(|| OpKey::new("", "Attention", 23));
    let attributes = Attributes::from([("scale".to_owned(), Attribute::Float(float(n, "alpha", 1.0)))]);
    let mut inputs = vec![Some(q), Some(k), Some(v)];
    inputs.extend(mask.map(Some));
    let mut patch = Patch::new(cx.graph);
    let origins: Vec<NodeId> = [Some(id), Some(softmax), add, Some(matmul)].into_iter().flatten().collect();
    let new = patch.node(cx.graph, &origins, key, &inputs, attributes, 1);
    patch.replace(y, new[0]);
    Some(patch)
}

/// The product of queries with transposed keys that `v` is.
fn product<'a>(cx: &Context<'a>, v: ValueId) -> Option<(NodeId, &'a Node)> {
    let plain = |n: &Node, name: &str| int(n, name, 0) == 0;
    cx.any_writer(v).filter(|(_, n)| {
        let batch = plain(n, "transBatchA") && plain(n, "transBatchB");
        is_microsoft(n, "FusedMatMul") && batch && plain(n, "transA") && !plain(n, "transB")
    })
}

/// Until opset 13 the default is axis 1, and all axes from it on are one.
fn is_over_last_axis(cx: &Context<'_>, node: &Node) -> bool {
    let rank = node.input(0).and_then(|x| cx.rank(x)).unwrap_or(0);
    let axis = int(node, "axis", if node.key.since >= 13 { -1 } else { 1 });
    base::axis_index(axis, rank).is_ok_and(|axis| axis + 1 == rank)
}

/// Whether `mask` can be the mask of attention with these scores: of their type, with all of the last axis, and no larger elsewhere.
fn is_mask(cx: &Context<'_>, mask: ValueId, scores: ValueId) -> bool {
    let (Some(m), Some(s)) = (cx.dims(mask), cx.dims(scores)) else { return false };
    let fits = |(m, s): (&Dim, &Dim)| m.is(1) || m == s;
    cx.dtype(mask) == cx.dtype(scores)
        && (2..=s.len()).contains(&m.len())
        && m.last() == s.last()
        && m.iter().rev().zip(s.iter().rev()).all(fits)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_for, check_unchanged};

    const HEAD: &str = "
        q: float[2, 3, n, 4]
        k: float[2, m, 3, 4]
        v: float[2, 3, m, 5]
        mask: float[2, 1, 1, m]
        c: float[] = 2
        t = Transpose(k) {perm=[0, 2, 3, 1]}
        p = MatMul(q, t)
        s = Div(p, c)";

    #[test]
    fn with_a_mask_and_without() {
        let text = format!("{HEAD}\na = Add(s, mask)\nw = Softmax(a)\ny = MatMul(w, v)\n-> y");
        let after = "
            %#1 = Transpose-13(%k) {perm=[0, 2, 1, 3]}
            %y = Attention-23(%q, %#1, %v, %mask) {scale=0.5}
            outputs %y";
        let passes = ["matmul_transpose", "attention"];
        check(&passes, &text, after);
        let text = text.replace("a = Add(s, mask)\n", "").replace("Softmax(a)", "Softmax(s)");
        check_for(23, &passes, &text, &after.replace(", %mask", "").replace("Transpose-13", "Transpose-23"));
    }

    #[test]
    fn other_axes_and_shapes_stay() {
        let passes = ["attention"];
        check_unchanged(&passes, &format!("{HEAD}\nw = Softmax(s) {{axis=2}}\ny = MatMul(w, v)\n-> y"));
        let grown = "q: float[1, 3, 2, 4]\nk: float[1, 3, 5, 4]\nv: float[2, 3, 5, 4]";
        let text = format!("{grown}\ns = com.microsoft.FusedMatMul(q, k) {{transB=1}}\nw = Softmax(s)\ny = MatMul(w, v)\n-> y");
        check_unchanged(&passes, &text);
    }
}
