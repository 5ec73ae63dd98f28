//! Layer normalization, as exporters write it out.
//!
//! ```text
//! m = ReduceMean(x); d = Sub(x, m); v = ReduceMean(Pow(d, 2)); s = Sqrt(Add(v, epsilon)); n = Div(d, s);
//! y = Add(Mul(n, scale), bias)
//!     →    y = LayerNormalization(x, scale, bias) {axis=-1, epsilon}
//! ```

use base::Result;
use ir::{NodeId, OpKey, Patch, ValueId};

use crate::norm::{Found, root_of_mean_square, trailing_axis};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "layer_norm",
    stands_for: &["LayerNormFusionL1", "LayerNormFusionL2"],
    level: Level::Extended,
    what: "Layer normalization written out with ReduceMean becomes LayerNormalization.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    match found(cx, id) {
        // Models of older opsets get it too: it means the same there, and has a body to be saved as.
        Some(f) if f.fits(cx) => f.fused(cx, id, OpKey::new("", "LayerNormalization", 17), true),
        _ => Ok(None),
    }
}

fn found(cx: &Context<'_>, id: NodeId) -> Option<Found> {
    let node = cx.graph.node(id);
    let y = node.output(0)?;
    let (centred, root) = divided(cx, node)?;
    let (also_centred, axis, epsilon) = root_of_mean_square(cx, root)?;
    let (x, mean_axis) = centre(cx, centred)?;
    let same = centre(cx, also_centred)? == (x, axis) && mean_axis == axis;
    same.then_some(Found { x, y, axis, epsilon })
}

/// The dividend and the divisor of a `Div`, or of a `Mul` by a `Reciprocal`.
pub(crate) fn divided(cx: &Context<'_>, node: &ir::Node) -> Option<(ValueId, ValueId)> {
    if node.is("Div") {
        return cx.pair(node);
    }
    let reciprocal = |r: ValueId| match cx.any_writer(r)? {
        (_, n) if n.is("Reciprocal") => n.input(0),
        (_, n) if n.is("Div") && cx.number(n.input(0)?) == Some(1.0) => n.input(1),
        _ => None,
    };
    let ways = if node.is("Mul") { cx.both_ways(node) } else { Vec::new() };
    ways.into_iter().find_map(|(x, r)| Some((x, reciprocal(r)?)))
}

/// For `x - ReduceMean(x)`: `x` and the first axis of the mean.
fn centre(cx: &Context<'_>, v: ValueId) -> Option<(ValueId, usize)> {
    let (_, sub) = cx.writer(v, "Sub")?;
    let (x, mean) = cx.pair(sub)?;
    let (_, mean) = cx.writer(mean, "ReduceMean").filter(|(_, n)| n.input(0) == Some(x))?;
    Some((x, trailing_axis(cx, mean)?))
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_for, check_unchanged};

    const BARE: &str = "
        x: float[2, n, 8]
        two: float[] = 2
        eps: float[] = 0.001
        w: float[8] = ~
        b: float[8] = ~
        axes: int64[1] = -1
        m = ReduceMean(x, axes)
        d = Sub(x, m)
        q = Pow(d, two)
        v = ReduceMean(q, axes)
        a = Add(v, eps)
        s = Sqrt(a)
        n = Div(d, s)";

    #[test]
    fn with_scale_and_bias() {
        let text = format!("{BARE}\no = Mul(n, w)\ny = Add(o, b)\n-> y");
        check(&["layer_norm"], &text, "%y = LayerNormalization-17(%x, %w, %b) {axis=-1, epsilon=0.001}\noutputs %y");
        let text = text
            .replace("q = Pow(d, two)", "e = Sub(x, m)\nq = Mul(e, e)")
            .replace("Div(d, s)", "Mul(d, r)")
            .replace("n = ", "r = Reciprocal(s)\nn = ");
        check(&["layer_norm"], &text, "%y = LayerNormalization-17(%x, %w, %b) {axis=-1, epsilon=0.001}\noutputs %y");
    }

    #[test]
    fn without_scale_and_in_old_opsets() {
        let text = format!("{BARE}\n-> n");
        check(&["layer_norm"], &text, "%n = LayerNormalization-17(%x, float{8}) {axis=-1, epsilon=0.001}\noutputs %n");
        let text = text.replace("(x, axes)", "(x) {axes=[-1]}").replace("(q, axes)", "(q) {axes=[2]}");
        check_for(13, &["layer_norm"], &text, "%n = LayerNormalization-17(%x, float{8}) {axis=-1, epsilon=0.001}\noutputs %n");
    }

    #[test]
    fn other_axes_and_other_centres_stay() {
        check_unchanged(&["layer_norm"], &format!("{BARE}\n-> n").replace("int64[1] = -1", "int64[1] = 1"));
        check_unchanged(&["layer_norm"], &format!("{BARE}\n-> n").replace("d = Sub(x, m)", "d = Sub(m, x)"));
    }
}
