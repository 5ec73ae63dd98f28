//! `CastLike` whose target type is known is a `Cast`.
//!
//! ```text
//! y = CastLike(x, t: int64)    →    y = Cast(x) {to=7}
//! ```

use base::Result;
use ir::{Attribute, NodeId, Patch};

use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "cast_like",
    stands_for: &[],
    level: Level::Basic,
    what: "CastLike becomes a Cast to the type of its second input.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let (x, like) = cx.pair(node).filter(|_| node.is("CastLike"))?;
        Some((x, node.output(0)?, cx.dtype(like)?, cx.oracle.operator("", "Cast")?))
    };
    let Some((x, y, dtype, cast)) = found() else { return Ok(None) };
    let mut attributes = node.attributes.clone();
    attributes.insert("to".to_owned(), Attribute::Int(dtype as i64));
    let mut patch = Patch::new(cx.graph);
    let new = patch.node(cx.graph, &[id], cast, &[Some(x)], attributes, 1);
    patch.replace(y, new[0]);
    Ok(Some(patch))
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn becomes_a_cast() {
        let text = "
            x: float[2]
            t: int64[3]
            y = CastLike(x, t)
            -> y";
        check(&["cast_like"], text, "%y = Cast-19(%x) {to=7}\noutputs %y");
    }
}
