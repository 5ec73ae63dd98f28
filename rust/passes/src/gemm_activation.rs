//! The activation of a Gemm's result is applied by the Gemm.
//!
//! ```text
//! g = Gemm(a, b, c); y = LeakyRelu(g)    →    y = com.microsoft.FusedGemm(a, b, c) {activation="LeakyRelu", activation_alpha=0.01}
//! ```

use base::{DType, Result};
use ir::{Attribute, NodeId, Patch};

use crate::activation::{Activation, OF_GEMM};
use crate::context::MICROSOFT;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "gemm_activation",
    stands_for: &["GemmActivationFusion"],
    level: Level::Extended,
    what: "Relu, Sigmoid, Tanh, LeakyRelu and HardSigmoid after Gemm become FusedGemm.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let found = || {
        let activation = Activation::of(cx, cx.graph.node(id)).filter(|a| OF_GEMM.contains(&a.name))?;
        // Of other types, there is no kernel with an activation.
        cx.dtype(activation.input).filter(|d| matches!(d, DType::F32 | DType::F16 | DType::BF16))?;
        let (gemm, node) = cx.writer(activation.input, "Gemm").filter(|_| cx.is_private(activation.input))?;
        let fused = cx.oracle.operator(MICROSOFT, "FusedGemm")?;
        let params: Vec<Attribute> = activation.params.iter().map(|x| Attribute::Float(*x)).collect();
        let params = ["activation_alpha", "activation_beta"].into_iter().zip(params);
        Some(activation.applied_by(cx, [gemm, id], node, fused, params))
    };
    Ok(found())
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged};

    #[test]
    fn becomes_one_node() {
        let text = "
            a: float[n, 3]
            b: float[3, 4]
            g = Gemm(a, b) {alpha=0.5}
            y = LeakyRelu(g)
            h = Gemm(a, b)
            z = Tanh(h)
            -> y, z";
        let after = "
            %y = com.microsoft.FusedGemm-1(%a, %b) {activation=\"LeakyRelu\", activation_alpha=0.01, alpha=0.5}
            %z = com.microsoft.FusedGemm-1(%a, %b) {activation=\"Tanh\"}
            outputs %y, %z";
        check(&["gemm_activation"], text, after);
    }

    #[test]
    fn doubles_stay() {
        check_unchanged(
            &["gemm_activation"],
            "a: double[n, 3]
             b: double[3, 4]
             g = Gemm(a, b)
             y = Relu(g)
             -> y",
        );
    }

    #[test]
    fn what_others_read_stays() {
        check_unchanged(
            &["gemm_activation"],
            "a: float[n, 3]
             b: float[3, 4]
             g = Gemm(a, b)
             y = Relu(g)
             -> y, g",
        );
    }
}
