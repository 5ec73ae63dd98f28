//! Batch normalization after a convolution goes into its weights.
//!
//! ```text
//! c = Conv(x, W, B); y = BatchNormalization(c, scale, bias, mean, var)
//!     →    y = Conv(x, W * s, (B - mean) * s + bias)    where s = scale / sqrt(var + epsilon)
//! ```

use base::Result;
use ir::{NodeId, Patch};

use crate::context::{float, int};
use crate::conv::ConstantConv;
use crate::numbers::numbers;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "conv_batch_norm",
    stands_for: &["ConvBNFusion"],
    level: Level::Basic,
    what: "BatchNormalization after Conv goes into its weights and bias.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let inference = node.key.since >= 7 && int(node, "training_mode", 0) == 0 && int(node, "spatial", 1) == 1;
        let y = node.output(0).filter(|_| node.is("BatchNormalization") && inference)?;
        let others = node.outputs.iter().skip(1).flatten();
        let conv = ConstantConv::of(cx, node.input(0)?).filter(|_| others.into_iter().all(|v| !cx.is_read(*v)))?;
        let channels = |i: usize| numbers(cx.constant(node.input(i)?)?).filter(|n| n.len() == conv.channels());
        let (scale, bias, mean, var) = (channels(1)?, channels(2)?, channels(3)?, channels(4)?);
        let epsilon = f64::from(float(node, "epsilon", 1e-5));
        let scale: Vec<f64> = scale.iter().zip(&var).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let shift: Vec<f64> = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Some((conv, y, scale, shift))
    };
    match found() {
        Some((conv, y, scale, shift)) => conv.affine(cx, id, y, &scale, &shift),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged, only, optimized};

    #[test]
    fn goes_into_the_weights() {
        let text = "
            x: float[2, 3, 5, 5]
            w: float[4, 3, 3, 3] = ~
            s: float[4] = ~
            b: float[4] = ~
            m: float[4] = ~
            v: float[4] = +
            c = Conv(x, w)
            y = BatchNormalization(c, s, b, m, v) {epsilon=0.01}
            -> y";
        check(&["conv_batch_norm"], text, "%y = Conv-11(%x, float{4,3,3,3}, float{4})\noutputs %y");
        let (model, _) = optimized(&text.replace("(x, w)", "(x, w, b) {pads=[1, 0, 1, 0]}"), &only(&["conv_batch_norm"]));
        assert_eq!(model.lines(), "%y = Conv-11(%x, float{4,3,3,3}, float{4}) {pads=[1, 0, 1, 0]}\noutputs %y");
        let (_, node) = model.graph.nodes().next().unwrap();
        let origins: Vec<&str> = node.origins.iter().map(|(op, _)| &**op).collect();
        assert_eq!(origins, ["Conv", "BatchNormalization"]);
    }

    #[test]
    fn what_others_read_stays() {
        check_unchanged(
            &["conv_batch_norm"],
            "x: float[2, 3, 5, 5]
             w: float[4, 3, 3, 3] = ~
             s: float[4] = +
             c = Conv(x, w)
             y = BatchNormalization(c, s, s, s, s)
             -> y, c",
        );
    }
}
