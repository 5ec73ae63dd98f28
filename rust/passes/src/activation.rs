//! Activations that fused operators apply to their result.

use ir::{Node, ValueId};

use crate::Context;
use crate::context::float;

/// An activation as `FusedConv` and `FusedGemm` name it.
pub(crate) struct Activation {
    /// The name.
    pub(crate) name: &'static str,
    /// Its parameters, in the order that `FusedConv` takes them.
    pub(crate) params: Vec<f32>,
    /// What it is applied to.
    pub(crate) input: ValueId,
    /// Its result.
    pub(crate) output: ValueId,
}

impl Activation {
    /// The activation that `node` is.
    pub(crate) fn of(cx: &Context<'_>, node: &Node) -> Option<Self> {
        let name = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip"].into_iter().find(|name| node.is(name))?;
        let params = match name {
            "LeakyRelu" => vec![float(node, "alpha", 0.01)],
            "HardSigmoid" => vec![float(node, "alpha", 0.2), float(node, "beta", 0.5)],
            "Clip" => vec![bound(cx, node, 1, "min", f32::MIN)?, bound(cx, node, 2, "max", f32::MAX)?],
            _ => Vec::new(),
        };
        Some(Self { name, params, input: node.input(0)?, output: node.output(0)? })
    }
}

/// A bound of `Clip`: an attribute until opset 11, an input since. `None` when it is not known.
fn bound(cx: &Context<'_>, node: &Node, input: usize, attribute: &str, default: f32) -> Option<f32> {
    match node.input(input) {
        Some(v) => cx.number(v).map(|x| x as f32),
        None => Some(float(node, attribute, default)),
    }
}
