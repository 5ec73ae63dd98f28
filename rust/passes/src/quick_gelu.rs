//! `x * Sigmoid(a * x)`: Swish, SiLU, the quick Gelu.
//!
//! ```text
//! s = Sigmoid(x); y = Mul(x, s)                     →    y = com.microsoft.QuickGelu(x) {alpha=1.0}, or Swish from opset 24 on
//! m = Mul(x, 1.702); s = Sigmoid(m); y = Mul(x, s)  →    y = com.microsoft.QuickGelu(x) {alpha=1.702}
//! ```

use base::Result;
use ir::{Attribute, Attributes, NodeId, Patch, ValueId};

use crate::context::MICROSOFT;
use crate::product::Product;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "quick_gelu",
    stands_for: &["QuickGeluFusion"],
    level: Level::Extended,
    what: "Mul of a value by the Sigmoid of its multiple becomes Swish (com.microsoft QuickGelu before opset 24).",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0).filter(|_| node.is("Mul"))?;
        let key = cx.oracle.operator("", "Swish").or_else(|| cx.oracle.operator(MICROSOFT, "QuickGelu"))?;
        let gated = |(x, s): (ValueId, ValueId)| {
            let (sigmoid, n) = cx.writer(s, "Sigmoid").filter(|_| cx.is_private(s))?;
            let argument = n.input(0)?;
            if argument == x {
                return Some((sigmoid, x, 1.0));
            }
            let product = Product::of(cx, argument);
            (product.single() == Some(x)).then_some((sigmoid, x, product.scale as f32))
        };
        let (sigmoid, x, alpha) = cx.both_ways(node).into_iter().find_map(gated)?;
        let mut patch = Patch::new(cx.graph);
        let attributes = Attributes::from([("alpha".to_owned(), Attribute::Float(alpha))]);
        let new = patch.node(cx.graph, &[sigmoid, id], key, &[Some(x)], attributes, 1);
        patch.replace(y, new[0]);
        cx.same_dims(x, y).then_some(patch)
    };
    Ok(found())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_for, check_unchanged};

    #[test]
    fn every_form() {
        let text = "
            x: float[2, n]
            k: float[] = 1.702
            s = Sigmoid(x)
            y = Mul(s, x)
            t = Mul(x, k)
            u = Sigmoid(t)
            z = Mul(x, u)
            -> y, z";
        let after = "
            %y = com.microsoft.QuickGelu-1(%x) {alpha=1.0}
            %z = com.microsoft.QuickGelu-1(%x) {alpha=1.702}
            outputs %y, %z";
        check(&["quick_gelu"], text, after);
        check_for(24, &["quick_gelu"], text, &after.replace("com.microsoft.QuickGelu-1", "Swish-24"));
    }

    #[test]
    fn the_gate_of_another_value_stays() {
        check_unchanged(
            &["quick_gelu"],
            "x: float[2, n]
             g: float[2, n]
             s = Sigmoid(g)
             y = Mul(x, s)
             -> y",
        );
    }
}
