//! The product of two matrices with a bias is one Gemm.
//!
//! ```text
//! m: float[n, 8] = MatMul(a, b); y = Add(m, c: float[8])    →    y = Gemm(a, b, c)
//! ```

use base::Result;
use ir::{Attributes, NodeId, Patch, ValueId};

use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "matmul_add",
    stands_for: &["MatMulAddFusion"],
    level: Level::Basic,
    what: "MatMul of two matrices and the Add of a bias become Gemm.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0).filter(|_| node.is("Add"))?;
        let key = cx.oracle.operator("", "Gemm").filter(|k| k.since >= 7)?;
        let sums = |(m, c): (ValueId, ValueId)| {
            let (product, n) = cx.writer(m, "MatMul").filter(|_| cx.is_private(m))?;
            let (a, b) = cx.pair(n)?;
            let matrices = cx.rank(a)? == 2 && cx.rank(b)? == 2 && cx.same_dims(m, y);
            (matrices && broadcasts_to(cx, c, y)).then_some((product, a, b, c))
        };
        let (product, a, b, c) = cx.both_ways(node).into_iter().find_map(sums)?;
        let mut patch = Patch::new(cx.graph);
        let new = patch.node(cx.graph, &[product, id], key, &[Some(a), Some(b), Some(c)], Attributes::new(), 1);
        patch.replace(y, new[0]);
        Some(patch)
    };
    Ok(found())
}

/// Whether `c` is known to broadcast to the shape of `y`.
fn broadcasts_to(cx: &Context<'_>, c: ValueId, y: ValueId) -> bool {
    let (Some(c), Some(y)) = (cx.dims(c), cx.dims(y)) else { return false };
    c.len() <= y.len() && c.iter().rev().zip(y.iter().rev()).all(|(c, y)| c.is(1) || c == y)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn becomes_a_gemm() {
        let text = "
            a: float[n, 3]
            b: float[3, 4]
            c: float[4] = 1 2 3 4
            m = MatMul(a, b)
            y = Add(c, m)
            -> y";
        check(&["matmul_add"], text, "%y = Gemm-13(%a, %b, %c)\noutputs %y");
    }

    #[test]
    fn more_axes_and_growing_sums_stay() {
        check_unchanged(
            &["matmul_add"],
            "a: float[2, n, 3]
             b: float[3, 4] = ~
             c: float[4] = 1 2 3 4
             d: float[1, 3]
             e: float[5, 1]
             m = MatMul(a, b)
             y = Add(c, m)
             o = MatMul(d, b)
             z = Add(o, e)
             -> y, z",
        );
    }
}
