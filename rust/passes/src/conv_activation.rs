//! The activation of a convolution's result is applied by the convolution.
//!
//! ```text
//! c = Conv(x, W, B); y = Relu(c)    →    y = com.microsoft.FusedConv(x, W, B) {activation="Relu"}
//! ```

use base::Result;
use ir::{Attribute, NodeId, Patch};

use crate::activation::Activation;
use crate::context::MICROSOFT;
use crate::conv::open_conv;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "conv_activation",
    stands_for: &["ConvActivationFusion"],
    level: Level::Extended,
    what: "Relu, Sigmoid, Tanh, LeakyRelu, HardSigmoid, HardSwish, Elu, Swish and Clip after Conv become part of FusedConv.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let found = || {
        let activation = Activation::of(cx, cx.graph.node(id))?;
        let (conv, node) = open_conv(cx, activation.input).filter(|_| cx.is_private(activation.input))?;
        let fused = cx.oracle.operator(MICROSOFT, "FusedConv")?;
        let params = (!activation.params.is_empty()).then(|| ("activation_params", Attribute::Floats(activation.params.clone())));
        Some(activation.applied_by(cx, [conv, id], node, fused, params))
    };
    Ok(found())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn every_activation() {
        let conv = "x: float[1, 3, 4, 4]\nw: float[3, 3, 1, 1] = ~\nlow: float[] = -0.25\nhigh: float[] = 0.5\nc = Conv(x, w)";
        for (activation, attributes) in [
            ("Relu(c)", "activation=\"Relu\""),
            ("Sigmoid(c)", "activation=\"Sigmoid\""),
            ("LeakyRelu(c) {alpha=0.5}", "activation=\"LeakyRelu\", activation_params=[0.5]"),
            ("HardSigmoid(c)", "activation=\"HardSigmoid\", activation_params=[0.2, 0.5]"),
            ("HardSwish(c)", "activation=\"HardSwish\""),
            ("Elu(c)", "activation=\"Elu\", activation_params=[1.0]"),
            ("com.microsoft.QuickGelu(c) {alpha=1.0}", "activation=\"Silu\""),
            ("com.microsoft.QuickGelu(c)", "activation=\"QuickGelu\", activation_params=[1.702]"),
            ("Clip(c, low, high)", "activation=\"Clip\", activation_params=[-0.25, 0.5]"),
            ("Clip(c, low)", "activation=\"Clip\", activation_params=[-0.25, 3.4028235e38]"),
        ] {
            let after = format!("%y = com.microsoft.FusedConv-1(%x, %w) {{{attributes}}}\noutputs %y");
            check(&["conv_activation"], &format!("{conv}\ny = {activation}\n-> y"), &after);
        }
    }

    #[test]
    fn after_a_residual() {
        let text = "
            x: float[1, 3, 4, 4]
            w: float[3, 3, 1, 1] = ~
            c = Conv(x, w)
            a = Add(x, c)
            y = Relu(a)
            z = Relu(y)
            -> z";
        let after = "
            %y = com.microsoft.FusedConv-1(%x, %w, _, %x) {activation=\"Relu\"}
            %z = Relu-14(%y)
            outputs %z";
        check(&["conv_add", "conv_activation"], text, after);
    }

    #[test]
    fn bounds_that_are_not_known_stay() {
        check_unchanged(
            &["conv_activation"],
            "x: float[1, 3, 4, 4]
             w: float[3, 3, 1, 1] = ~
             low: float[]
             c = Conv(x, w)
             y = Clip(c, low)
             -> y",
        );
    }
}
