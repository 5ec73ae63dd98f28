//! `If` whose condition is known is the branch it takes.
//!
//! ```text
//! y = If(true) {then_branch: t = Relu(x), else_branch: ..}    →    y = Relu(x)
//! ```

use base::Result;
use ir::{NodeId, Patch, ValueId};

use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "inline_if",
    stands_for: &[],
    level: Level::Basic,
    what: "If with a known condition becomes the branch that it takes.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let condition = cx.ints(node.input(0).filter(|_| node.is("If"))?)?;
        let [condition] = condition[..] else { return None };
        let branch = if condition != 0 { "then_branch" } else { "else_branch" };
        let sub = node.subgraphs.iter().find(|s| s.attribute == branch)?;
        let outputs: Vec<ValueId> = node.outputs.iter().copied().collect::<Option<_>>()?;
        (sub.graph.outputs.len() == outputs.len()).then_some((sub, outputs))
    };
    let Some((sub, outputs)) = found() else { return Ok(None) };
    let mut patch = Patch::new(cx.graph);
    let results = patch.graft(&sub.graph, &sub.captures)?;
    outputs.into_iter().zip(results).for_each(|(old, new)| patch.replace(old, new));
    Ok(Some(patch))
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    const BRANCHES: &str = "
        graph then:
        one: float[] = 1
        a = Add(x, one)
        -> a
        graph else:
        b = Neg(x)
        -> b
        graph main:
        x: float[2]";

    #[test]
    fn takes_the_branch() {
        let text = format!("{BRANCHES}\nc: bool[] = 1\ny = If(c) {{then_branch=@then, else_branch=@else}}\nz = Neg(y)\n-> y, z");
        check(&["inline_if"], &text, "%y = Add-14(%x, float{})\n%z = Neg-13(%y)\noutputs %y, %z");
        let text = text.replace("bool[] = 1", "bool[] = 0");
        check(&["inline_if"], &text, "%y = Neg-13(%x)\n%z = Neg-13(%y)\noutputs %y, %z");
    }

    #[test]
    fn an_unknown_condition_stays() {
        check_unchanged(&["inline_if"], &format!("{BRANCHES}\nc: bool[]\ny = If(c) {{then_branch=@then, else_branch=@else}}\n-> y"));
    }
}
