//! The bias before a Gelu is added by it.
//!
//! ```text
//! a = Add(x, bias: [C]); y = Gelu(a)                             →    y = com.microsoft.BiasGelu(x, bias)
//! a = Add(x, bias: [C]); y = Gelu(a) {approximate="tanh"}        →    y = com.microsoft.FastGelu(x, bias)
//! ```

use base::Result;
use ir::{Attribute, Attributes, Node, NodeId, Patch};

use crate::context::{MICROSOFT, is_microsoft};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "bias_gelu",
    stands_for: &["BiasGeluFusion"],
    level: Level::Extended,
    what: "Add of a bias before Gelu becomes BiasGelu or FastGelu.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let key = cx.oracle.operator(MICROSOFT, fused_name(node)?)?;
        let (sum, y) = (node.input(0)?, node.output(0)?);
        let (add, n) = cx.writer(sum, "Add").filter(|_| cx.is_private(sum))?;
        let (x, bias) = cx.both_ways(n).into_iter().find(|(x, b)| cx.same_dims(*x, sum) && cx.is_bias(*b, sum))?;
        let mut patch = Patch::new(cx.graph);
        let new = patch.node(cx.graph, &[add, id], key, &[Some(x), Some(bias)], Attributes::new(), 1);
        patch.replace(y, new[0]);
        Some(patch)
    };
    Ok(found())
}

fn fused_name(node: &Node) -> Option<&'static str> {
    let tanh = matches!(node.attributes.get("approximate"), Some(Attribute::String(s)) if **s == *b"tanh");
    match () {
        () if node.is("Gelu") && !tanh || is_microsoft(node, "Gelu") => Some("BiasGelu"),
        () if node.is("Gelu") || is_microsoft(node, "FastGelu") && node.input(1).is_none() => Some("FastGelu"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn adds_the_bias() {
        let text = "
            x: float[2, n, 4]
            b: float[4] = ~
            a = Add(b, x)
            y = Gelu(a)
            -> y";
        check(&["bias_gelu"], text, "%y = com.microsoft.BiasGelu-1(%x, %b)\noutputs %y");
        let text = text.replace("Gelu(a)", "Gelu(a) {approximate=\"tanh\"}");
        check(&["bias_gelu"], &text, "%y = com.microsoft.FastGelu-1(%x, %b)\noutputs %y");
    }

    #[test]
    fn a_sum_that_others_read_stays() {
        check_unchanged(
            &["bias_gelu"],
            "x: float[2, n, 4]
             b: float[4] = ~
             a = Add(b, x)
             y = Gelu(a)
             -> y, a",
        );
    }
}
