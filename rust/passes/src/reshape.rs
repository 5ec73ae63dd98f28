//! Chains of nodes that only change the shape.
//!
//! ```text
//! a = Reshape(x, ..); y = Reshape(a, {-1, 8})         →    y = Reshape(x, {-1, 8})
//! a = Unsqueeze(x, {0}); y = Squeeze(a, {0})          →    whoever read y reads x
//! a = Reshape(x, ..); y: float[n, 4] = Flatten(a)     →    y = Reshape(x, {-1, 4})
//! ```

use base::{Result, Tensor};
use ir::{Attributes, Node, NodeId, Patch, ValueId};

use crate::context::int;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "reshape",
    stands_for: &["ReshapeFusion"],
    level: Level::Basic,
    what: "Chains of Reshape, Squeeze, Unsqueeze and Flatten become one Reshape, or nothing.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0).filter(|_| only_shapes(node))?;
        let (inner, before) = cx.any_writer(node.input(0)?).filter(|(_, n)| only_shapes(n))?;
        Some((y, inner, before.input(0)?))
    };
    let Some((y, inner, x)) = found() else { return Ok(None) };
    let mut patch = Patch::new(cx.graph);
    if cx.same_dims(x, y) {
        patch.replace(y, x);
        return Ok(Some(patch));
    }
    let Some(key) = cx.oracle.operator("", "Reshape").filter(|k| k.since >= 5) else { return Ok(None) };
    let shape = match kept_shape(cx, node) {
        Some(shape) => shape,
        None => match target(cx, y) {
            Some(dims) => patch.constant(Tensor::from_slice([dims.len()], &dims)?),
            None => return Ok(None),
        },
    };
    let new = patch.node(cx.graph, &[id, inner], key, &[Some(x), Some(shape)], Attributes::new(), 1);
    patch.replace(y, new[0]);
    Ok(Some(patch))
}

fn only_shapes(node: &Node) -> bool {
    (node.is("Reshape") && node.key.since >= 5) || node.is("Squeeze") || node.is("Unsqueeze") || node.is("Flatten")
}

/// The shape input of a `Reshape`, if it means the same whatever is reshaped: a zero in it copies a size of the input.
fn kept_shape(cx: &Context<'_>, node: &Node) -> Option<ValueId> {
    let shape = node.input(1).filter(|_| node.is("Reshape") && int(node, "allowzero", 0) == 0)?;
    cx.ints(shape)?.iter().all(|d| *d != 0).then_some(shape)
}

/// The sizes of `y` as a shape to be reshaped to, when at most one is not a number.
fn target(cx: &Context<'_>, y: ValueId) -> Option<Vec<i64>> {
    let dims = cx.dims(y)?;
    let unknown = dims.iter().filter(|d| d.known().is_none()).count();
    let zero = dims.iter().any(|d| d.is(0));
    (unknown <= 1 && !zero).then(|| dims.iter().map(|d| d.known().unwrap_or(-1)).collect())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn chains_become_one() {
        let text = "
            x: float[n, 4]
            s: int64[3] = -1 2 2
            t: int64[2] = -1 6
            a = Reshape(x, s)
            b = Reshape(a, t)
            c = Flatten(a) {axis=2}
            -> b, c";
        check(&["reshape"], text, "%b = Reshape-19(%x, %t)\n%c = Reshape-19(%x, int64{2})\noutputs %b, %c");
    }

    #[test]
    fn what_is_undone_goes() {
        let text = "
            x: float[n, m]
            axes: int64[2] = 0 2
            a = Unsqueeze(x, axes)
            b = Squeeze(a, axes)
            y = Neg(b)
            -> y";
        check(&["reshape"], text, "%y = Neg-13(%x)\noutputs %y");
    }

    #[test]
    fn a_zero_copies_a_size_of_what_is_between() {
        check_unchanged(
            &["reshape"],
            "x: float[n, m, 4]
             s: int64[4] = 0 0 2 2
             t: int64[4] = 0 0 4 1
             a = Reshape(x, s)
             y = Reshape(a, t)
             -> y",
        );
    }
}
