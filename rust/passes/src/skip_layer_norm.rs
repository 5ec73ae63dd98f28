//! The residual sum before a normalization is made by it.
//!
//! ```text
//! s = Add(a, b); y = LayerNormalization(s, scale, bias) {axis=-1}
//!     →    y, _, _, s = com.microsoft.SkipLayerNormalization(a, b, scale, bias)
//! s = Add(Add(m, k: [C]), b); y = RMSNormalization(s, scale) {axis=-1}
//!     →    y, _, _, s = com.microsoft.SkipSimplifiedLayerNormalization(m, b, scale, k)
//! ```

use base::Result;
use ir::{Attribute, Attributes, Node, NodeId, OpKey, Patch, ValueId};

use crate::context::{MICROSOFT, float, int};
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "skip_layer_norm",
    stands_for: &["SkipLayerNormFusion"],
    level: Level::Extended,
    what: "The residual Add before LayerNormalization or RMSNormalization becomes part of SkipLayerNormalization.",
    rule: Rule::Local(rule),
};

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    Ok(found(cx, id).map(|skip| skip.fused(cx)))
}

/// A normalization of a sum.
struct Skip {
    origins: Vec<NodeId>,
    key: OpKey,
    sum: ValueId,
    y: ValueId,
    inputs: Vec<Option<ValueId>>,
    epsilon: f32,
}

fn found(cx: &Context<'_>, id: NodeId) -> Option<Skip> {
    let node = cx.graph.node(id);
    let simplified = node.is("RMSNormalization");
    let name = if simplified { "SkipSimplifiedLayerNormalization" } else { "SkipLayerNormalization" };
    let key = cx.oracle.operator(MICROSOFT, name).filter(|_| simplified || node.is("LayerNormalization"))?;
    let (sum, scale, y) = (node.input(0)?, node.input(1)?, node.output(0)?);
    let rank = cx.rank(sum).filter(|r| *r == 3)? as i64;
    let last = matches!(int(node, "axis", -1), axis if axis == -1 || axis == rank - 1);
    let plain = last && cx.rank(scale) == Some(1) && !node.outputs.iter().skip(1).flatten().any(|v| cx.is_read(*v));
    let (add, n) = cx.writer(sum, "Add").filter(|_| plain)?;
    let (a, b) = cx.pair(n).filter(|(a, b)| cx.same_dims(*a, sum) && cx.same_dims(*b, sum))?;
    let mut skip =
        Skip { origins: vec![id, add], key, sum, y, inputs: vec![Some(a), Some(b), Some(scale)], epsilon: float(node, "epsilon", 1e-5) };
    if !simplified {
        skip.inputs.push(node.input(2));
    }
    let (biased, bias) = match (biased(cx, a, sum), biased(cx, b, sum)) {
        (Some(bias), _) => (0, Some(bias)),
        (None, bias) => (1, bias),
    };
    if let Some((id, x, bias)) = bias {
        skip.origins.push(id);
        skip.inputs[biased] = Some(x);
        skip.inputs.push(Some(bias));
    }
    while skip.inputs.last() == Some(&None) {
        skip.inputs.pop();
    }
    Some(skip)
}

/// For `x + bias` that nobody else reads, the bias constant and of one axis: the node, `x` and the bias.
fn biased(cx: &Context<'_>, v: ValueId, sum: ValueId) -> Option<(NodeId, ValueId, ValueId)> {
    let (id, node) = cx.writer(v, "Add").filter(|_| cx.is_private(v))?;
    let (x, bias) = cx.both_ways(node).into_iter().find(|(x, b)| cx.same_dims(*x, sum) && cx.is_bias(*b, sum))?;
    Some((id, x, bias))
}

impl Skip {
    fn fused(self, cx: &Context<'_>) -> Patch {
        let mut patch = Patch::new(cx.graph);
        // Four outputs: the result, mean and deviation (left out), the sum.
        let sum_is_read = cx.graph.is_output(self.sum) || cx.graph.uses(self.sum).len() > 1;
        let outputs = if sum_is_read { vec![Some(self.y), None, None, Some(self.sum)] } else { vec![Some(self.y)] };
        let attributes = Attributes::from([("epsilon".to_owned(), Attribute::Float(self.epsilon))]);
        let node = Node { inputs: self.inputs, outputs, attributes, ..patch.standing_for(cx.graph, &self.origins, self.key) };
        let written = patch.copy(node);
        for (old, new) in [self.y, self.sum].into_iter().zip(written.into_iter().flatten()) {
            patch.replace(old, new);
        }
        patch
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_for, check_unchanged};

    const HEAD: &str = "
        a: float[2, n, 8]
        b: float[2, n, 8]
        k: float[8] = ~
        w: float[8] = ~
        v: float[8] = ~";

    #[test]
    fn with_the_sum_and_without() {
        let text = format!("{HEAD}\ns = Add(a, b)\ny = LayerNormalization(s, w, v)\n-> y");
        let fused = "com.microsoft.SkipLayerNormalization-1(%a, %b, %w, %v) {epsilon=1e-5}";
        check(&["skip_layer_norm"], &text, &format!("%y = {fused}\noutputs %y"));
        let text = text.replace("-> y", "z = Neg(s)\n-> y, z");
        check(&["skip_layer_norm"], &text, &format!("%y, _, _, %s = {fused}\n%z = Neg-13(%s)\noutputs %y, %z"));
    }

    #[test]
    fn with_a_bias() {
        let text = format!("{HEAD}\nc = Add(k, a)\ns = Add(b, c)\ny = LayerNormalization(s, w)\n-> y");
        let fused = "com.microsoft.SkipLayerNormalization-1(%b, %a, %w, _, %k) {epsilon=1e-5}";
        check(&["skip_layer_norm"], &text, &format!("%y = {fused}\noutputs %y"));
        let text = text.replace("LayerNormalization", "RMSNormalization");
        let fused = "com.microsoft.SkipSimplifiedLayerNormalization-1(%b, %a, %w, %k) {epsilon=1e-5}";
        check_for(23, &["skip_layer_norm"], &text, &format!("%y = {fused}\noutputs %y"));
    }

    #[test]
    fn broadcast_sums_stay() {
        check_unchanged(&["skip_layer_norm"], &format!("{HEAD}\ns = Add(a, k)\ny = LayerNormalization(s, w)\n-> y"));
    }
}
