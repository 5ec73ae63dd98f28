//! A sum with the result of a convolution, such as a residual, is added by the convolution.
//!
//! ```text
//! c = Conv(x, W, B); y = Add(c, z)    →    y = com.microsoft.FusedConv(x, W, B, z)
//! ```

use base::Result;
use ir::{NodeId, OpKey, Patch, ValueId};

use crate::context::MICROSOFT;
use crate::conv::open_conv;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "conv_add",
    stands_for: &["ConvAddActivationFusion"],
    level: Level::Extended,
    what: "Add of two tensors of one shape, one from a Conv, becomes FusedConv with a fourth input.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let y = node.output(0).filter(|_| node.is("Add"))?;
        let fused: OpKey = cx.oracle.operator(MICROSOFT, "FusedConv")?;
        let sums = |(c, z): (ValueId, ValueId)| {
            let (conv, _) = open_conv(cx, c).filter(|(_, n)| cx.is_private(c) && n.input(3).is_none())?;
            (cx.same_dims(c, y) && cx.same_dims(z, y)).then_some((conv, z))
        };
        // Of two convolutions the later one adds: the other is done by then.
        let (conv, z) = cx.both_ways(node).into_iter().filter_map(sums).max_by_key(|(conv, _)| *conv)?;
        let n = cx.graph.node(conv);
        let mut patch = Patch::new(cx.graph);
        let inputs = [n.input(0), n.input(1), n.input(2), Some(z)];
        let new = patch.node(cx.graph, &[conv, id], fused, &inputs, n.attributes.clone(), 1);
        patch.replace(y, new[0]);
        Some(patch)
    };
    Ok(found())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn the_later_convolution_adds() {
        let text = "
            x: float[1, 3, 4, 4]
            w: float[3, 3, 3, 3] = ~
            b: float[3] = ~
            c = Conv(x, w) {pads=[1, 1, 1, 1]}
            d = Conv(c, w, b) {pads=[1, 1, 1, 1]}
            e = Conv(x, w) {pads=[1, 1, 1, 1]}
            y = Add(e, d)
            z = Add(x, y)
            -> z";
        let after = "
            %c = Conv-11(%x, %w) {pads=[1, 1, 1, 1]}
            %d = Conv-11(%c, %w, %b) {pads=[1, 1, 1, 1]}
            %y = com.microsoft.FusedConv-1(%x, %w, _, %d) {pads=[1, 1, 1, 1]}
            %z = Add-14(%x, %y)
            outputs %z";
        check(&["conv_add"], text, after);
    }

    #[test]
    fn broadcasting_stays() {
        check_unchanged(
            &["conv_add"],
            "x: float[1, 3, 4, 4]
             w: float[3, 3, 1, 1] = ~
             z: float[1, 3, 1, 1]
             c = Conv(x, w)
             y = Add(c, z)
             -> y",
        );
    }
}
