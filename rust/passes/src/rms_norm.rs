//! Normalization by the root of the mean square, as exporters write it out.
//!
//! ```text
//! v = ReduceMean(Pow(x, 2)); s = Sqrt(Add(v, epsilon)); n = Mul(x, Div(1, s)); y = Mul(scale, n)
//!     →    y = RMSNormalization(x, scale) {axis=-1, epsilon}
//! ```

use base::Result;
use ir::{NodeId, OpKey, Patch};

use crate::layer_norm::divided;
use crate::norm::{Found, mean_square_and_epsilon, root_of_mean_square};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "rms_norm",
    stands_for: &["SimplifiedLayerNormFusion"],
    level: Level::Extended,
    what: "Normalization by the root of the mean square, written out, becomes RMSNormalization.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    match found(cx, id) {
        // Models of older opsets get it too: it means the same there, and has a body to be saved as.
        Some(f) if f.fits(cx) => {
            let key = cx.oracle.operator("", "RMSNormalization").unwrap_or_else(|| OpKey::new("", "RMSNormalization", 23));
            f.fused(cx, id, key, false)
        }
        _ => Ok(None),
    }
}

fn found(cx: &Context<'_>, id: NodeId) -> Option<Found> {
    let node = cx.graph.node(id);
    let y = node.output(0)?;
    let by_root = || {
        let (x, root) = divided(cx, node)?;
        let (squared, axis, epsilon) = root_of_mean_square(cx, root)?;
        (squared == x).then_some(Found { x, y, axis, epsilon })
    };
    let by_power = || {
        let ways = if node.is("Mul") { cx.both_ways(node) } else { Vec::new() };
        ways.into_iter().find_map(|(x, power)| {
            let (_, pow) = cx.writer(power, "Pow").filter(|(_, n)| n.input(1).and_then(|e| cx.number(e)) == Some(-0.5))?;
            let (squared, axis, epsilon) = mean_square_and_epsilon(cx, pow.input(0)?)?;
            (squared == x).then_some(Found { x, y, axis, epsilon })
        })
    };
    by_root().or_else(by_power)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    const BARE: &str = "
        x: float[2, n, 8]
        two: float[] = 2
        one: float[] = 1
        half: float[] = -0.5
        eps: float[] = 0.001
        w: float[8] = ~
        axes: int64[1] = -1
        q = Pow(x, two)
        v = ReduceMean(q, axes)
        a = Add(v, eps)";

    #[test]
    fn every_form() {
        let after = "%y = RMSNormalization-23(%x, %w) {axis=-1, epsilon=0.001}\noutputs %y";
        for form in ["s = Sqrt(a)\nr = Div(one, s)\nn = Mul(x, r)", "s = Sqrt(a)\nn = Div(x, s)", "p = Pow(a, half)\nn = Mul(p, x)"] {
            check(&["rms_norm"], &format!("{BARE}\n{form}\ny = Mul(w, n)\n-> y"), after);
        }
    }

    #[test]
    fn the_square_of_another_value_stays() {
        let text = format!("{BARE}\ns = Sqrt(a)\nn = Div(q, s)\n-> n");
        check_unchanged(&["rms_norm"], &text);
    }
}
