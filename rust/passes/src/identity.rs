//! Nodes that give back what they were given.
//!
//! ```text
//! y = Identity(x)    y = Dropout(x)    y = Cast(x: float) {to=float}    y = Reshape(x, its own shape)    y = Transpose(x) {0, 1, 2}
//! y = Mul(x, 1)      y = Div(x, 1)     y = Sub(x, 0)                    y = Concat(x)                    y = Pad(x, zeros)
//!     →    whoever read y reads x
//! ```
//!
//! `x + 0` stays for floats: it turns `-0.0` into `0.0`; `x + -0.0` goes.

use base::{DType, Result};
use ir::{Node, NodeId, Patch, ValueId};

use crate::context::ints;
use crate::numbers::numbers;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "identity",
    stands_for: &[
        "EliminateIdentity",
        "EliminateDropout",
        "EliminateSlice",
        "NoopElimination",
        "CastElimination",
        "ExpandElimination",
        "UnsqueezeElimination",
    ],
    level: Level::Basic,
    what: "Nodes that give back their input go: Identity, Dropout, `x * 1`, casts, reshapes, slices and pads that change nothing.",
    rule: Rule::Local(rule),
};

/// Constants of more elements are not searched for ones and zeros.
const MOST: usize = 1 << 16;

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let (Some(x), Some(y)) = (unchanged(cx, node), node.output(0)) else { return Ok(None) };
    let named = cx.graph.inputs.contains(&x) || cx.graph.captures.contains(&x) || cx.graph.is_output(x);
    if cx.graph.is_output(y) && named && node.is("Identity") {
        return Ok(None); // An output that is an input, or another output, needs the copy for its name.
    }
    let mut patch = Patch::new(cx.graph);
    patch.replace(y, x);
    Ok(Some(patch))
}

/// The input that output 0 of `node` always equals.
fn unchanged(cx: &Context<'_>, node: &Node) -> Option<ValueId> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    if !node.key.domain.is_empty() || node.outputs.iter().skip(1).flatten().any(|v| cx.is_read(*v)) {
        return None;
    }
    match &*node.key.name {
        "Identity" => Some(x),
        "Dropout" => (node.key.since >= 7 && !trains(cx, node)).then_some(x),
        "Cast" => (cx.dtype(x).is_some() && cx.dtype(x) == cx.dtype(y)).then_some(x),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Expand" | "Tile" => cx.same_dims(x, y).then_some(x),
        "Slice" => (cx.same_dims(x, y) && runs_forward(cx, node)).then_some(x),
        "Split" => (cx.same_dims(x, y) && node.outputs.len() == 1).then_some(x),
        "Pad" => (cx.same_dims(x, y) && pads_nothing(cx, node)).then_some(x),
        "Transpose" => ints(node, "perm")?.iter().enumerate().all(|(i, &p)| p == i as i64).then_some(x),
        "Concat" | "Sum" | "Min" | "Max" | "Mean" => (node.inputs.len() == 1).then_some(x),
        "Mul" => cx.both_ways(node).into_iter().find(|(x, one)| neutral(cx, *x, *one, y, is_one)).map(|(x, _)| x),
        "Add" => cx.both_ways(node).into_iter().find(|(x, zero)| neutral(cx, *x, *zero, y, is_negative_zero)).map(|(x, _)| x),
        "Div" | "Pow" => cx.pair(node).filter(|(x, one)| neutral(cx, *x, *one, y, is_one)).map(|(x, _)| x),
        "Sub" => cx.pair(node).filter(|(x, zero)| neutral(cx, *x, *zero, y, is_zero)).map(|(x, _)| x),
        _ => None,
    }
}

fn trains(cx: &Context<'_>, node: &Node) -> bool {
    node.input(2).is_some_and(|mode| cx.ints(mode).as_deref() != Some(&[0]))
}

/// Whether every step is known to be positive: a slice that keeps all elements then keeps their order.
fn runs_forward(cx: &Context<'_>, node: &Node) -> bool {
    node.input(4).is_none_or(|steps| cx.ints(steps).is_some_and(|s| s.iter().all(|s| *s > 0)))
}

fn pads_nothing(cx: &Context<'_>, node: &Node) -> bool {
    let pads = ints(node, "pads").or_else(|| ints(node, "paddings")).map(<[i64]>::to_vec);
    let pads = pads.or_else(|| cx.ints(node.input(1)?));
    pads.is_some_and(|p| p.iter().all(|p| *p == 0))
}

/// Whether `c` is a constant whose every element satisfies `test`, and the result has type and shape of `x`.
fn neutral(cx: &Context<'_>, x: ValueId, c: ValueId, y: ValueId, test: fn(f64, DType) -> bool) -> bool {
    let elements = || {
        let t = cx.constant(c).filter(|t| t.len() <= MOST)?;
        Some((numbers(t)?, t.dtype()))
    };
    cx.same_dims(x, y) && cx.dtype(x) == cx.dtype(y) && elements().is_some_and(|(e, dtype)| e.iter().all(|e| test(*e, dtype)))
}

fn is_one(x: f64, _: DType) -> bool {
    x == 1.0
}

/// Zero with the sign that changes nothing when subtracted.
fn is_zero(x: f64, dtype: DType) -> bool {
    x == 0.0 && (dtype.is_integer() || x.is_sign_positive())
}

/// Zero with the sign that changes nothing when added.
fn is_negative_zero(x: f64, dtype: DType) -> bool {
    x == 0.0 && (dtype.is_integer() || x.is_sign_negative())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn what_changes_nothing_goes() {
        let text = "
            x: float[2, n]
            one: float[1] = 1
            zero: float[] = 0
            minus: float[] = -0
            shape: int64[2] = 2 -1
            a = Identity(x)
            b = Mul(one, a)
            c = Div(b, one)
            d = Sub(c, zero)
            e = Add(minus, d)
            f = Reshape(e, shape)
            g = Transpose(f) {perm=[0, 1]}
            h = Concat(g) {axis=0}
            y = Neg(h)
            -> y";
        check(&["identity"], text, "%y = Neg-13(%x)\noutputs %y");
    }

    #[test]
    fn casts_and_slices() {
        let text = "
            x: float[4, n]
            start: int64[1] = 0
            end: int64[1] = 4
            back: int64[1] = -1
            from: int64[1] = 3
            past: int64[1] = -5
            axis: int64[1] = 0
            a = Cast(x) {to=1}
            b = Slice(a, start, end, axis)
            c = Slice(b, from, past, axis, back)
            y = Cast(c) {to=7}
            -> y";
        check(&["identity"], text, "%c = Slice-13(%x, %from, %past, %axis, %back)\n%y = Cast-19(%c) {to=7}\noutputs %y");
    }

    #[test]
    fn the_sign_of_zero_stays() {
        check_unchanged(
            &["identity"],
            "x: float[2]
             zero: float[] = 0
             minus: float[] = -0
             a = Add(x, zero)
             y = Sub(a, minus)
             -> y",
        );
    }

    #[test]
    fn broadcasting_stays() {
        check_unchanged(
            &["identity"],
            "x: float[1, 3]
             ones: float[2, 3] = 1 1 1 1 1 1
             y = Mul(x, ones)
             -> y",
        );
    }

    #[test]
    fn an_output_that_is_an_input_keeps_its_name() {
        let text = "
            x: float[2]
            a = Identity(x)
            y = Cast(a) {to=1}
            -> y";
        check(&["identity"], text, "%y = Identity-19(%x)\noutputs %y");
    }

    #[test]
    fn two_outputs_keep_their_names() {
        let text = "
            x: float[2]
            a = Neg(x)
            b = Identity(a)
            c = Identity(b)
            -> a, c";
        check(&["identity"], text, "%a = Neg-13(%x)\n%c = Identity-19(%a)\noutputs %a, %c");
    }
}
