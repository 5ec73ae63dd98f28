//! Activations that fused operators apply to their result.

use ir::{Attribute, Node, NodeId, OpKey, Patch, ValueId};

use crate::Context;
use crate::context::{float, is_microsoft};

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
        if node.is("Swish") || is_microsoft(node, "QuickGelu") {
            let alpha = float(node, "alpha", if node.is("Swish") { 1.0 } else { 1.702 });
            let (name, params) = if alpha == 1.0 { ("Silu", Vec::new()) } else { ("QuickGelu", vec![alpha]) };
            return Some(Self { name, params, input: node.input(0)?, output: node.output(0)? });
        }
        const NAMES: [&str; 8] = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish", "Elu", "Clip"];
        let name = NAMES.into_iter().find(|name| node.is(name))?;
        let params = match name {
            "LeakyRelu" => vec![float(node, "alpha", 0.01)],
            "Elu" => vec![float(node, "alpha", 1.0)],
            "HardSigmoid" => vec![float(node, "alpha", 0.2), float(node, "beta", 0.5)],
            "Clip" => vec![bound(cx, node, 1, "min", f32::MIN)?, bound(cx, node, 2, "max", f32::MAX)?],
            _ => Vec::new(),
        };
        Some(Self { name, params, input: node.input(0)?, output: node.output(0)? })
    }

    /// Lets `node`, of operator `key` then, apply the activation. Both nodes, that one first, are `origins`; `params` are the attributes
    /// that the operator has for the parameters.
    pub(crate) fn applied_by(
        &self,
        cx: &Context<'_>,
        origins: [NodeId; 2],
        node: &Node,
        key: OpKey,
        params: impl IntoIterator<Item = (&'static str, Attribute)>,
    ) -> Patch {
        let mut attributes = node.attributes.clone();
        attributes.insert("activation".to_owned(), self.name.into());
        attributes.extend(params.into_iter().map(|(name, value)| (name.to_owned(), value)));
        let mut patch = Patch::new(cx.graph);
        let new = patch.node(cx.graph, &origins, key, &node.inputs, attributes, 1);
        patch.replace(self.output, new[0]);
        patch
    }
}

/// The activations that `FusedGemm` of other runtimes knows too.
pub(crate) const OF_GEMM: [&str; 5] = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"];

/// A bound of `Clip`: an attribute until opset 11, an input since. `None` when it is not known.
fn bound(cx: &Context<'_>, node: &Node, input: usize, attribute: &str, default: f32) -> Option<f32> {
    match node.input(input) {
        Some(v) => cx.number(v).map(|x| x as f32),
        None => Some(float(node, attribute, default)),
    }
}
