//! Nodes whose result is known before anything runs become constants.
//!
//! ```text
//! t = Transpose(weights)                 →    a constant
//! s = Shape(x: float[2, 3])              →    the constant {2, 3}, although x is not known
//! ```
//!
//! A node that refuses its constants stays: it says so when it runs, if it runs at all.

use base::{DType, Result, Shape, Tensor, Value};
use ir::{Fact, Node, NodeId, Patch, ValueId};

use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "fold",
    stands_for: &["ConstantFolding"],
    level: Level::Basic,
    what: "Nodes of constants are computed ahead, and integer tensors that inference knows (shapes) become constants.",
    rule: Rule::Local(rule),
};

/// Results that take this many bytes more than what they are computed from are left to the run.
const GROWTH: usize = 16 << 20;

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    if !node.subgraphs.is_empty() || node.function.is_some() || keeps_its_form(node) || !cx.oracle.is_pure(node) {
        return Ok(None);
    }
    let mut patch = Patch::new(cx.graph);
    let known: Option<Vec<(ValueId, Value)>> = node.outputs.iter().flatten().map(|v| Some((*v, inferred(cx.fact(*v)?)?))).collect();
    let known = match known {
        Some(known) => Some(known),
        None => computed(cx, node),
    };
    for (v, value) in known.iter().flatten() {
        let constant = patch.constant(value.clone());
        patch.replace(*v, constant);
    }
    Ok(known.is_some().then_some(patch))
}

/// Quantized weights stay quantized and blocked ones blocked: kernels want them so.
fn keeps_its_form(node: &Node) -> bool {
    node.is("DequantizeLinear") || &*node.key.domain == crate::layout::DOMAIN
}

/// The value of a small integer tensor of which inference knows every element.
fn inferred(fact: &Fact) -> Option<Value> {
    let (shape, ints) = (fact.known_shape()?, fact.known_ints()?);
    let tensor = match fact.dtype()? {
        DType::I64 => Tensor::from_slice(shape, &ints),
        DType::I32 => Tensor::from_slice(shape, &ints.iter().map(|&i| i32::try_from(i).ok()).collect::<Option<Vec<_>>>()?),
        DType::Bool => Tensor::from_slice(shape, &ints.iter().map(|&i| i != 0).collect::<Vec<_>>()),
        _ => return None,
    };
    tensor.ok().map(Value::Tensor)
}

fn computed(cx: &Context<'_>, node: &Node) -> Option<Vec<(ValueId, Value)>> {
    let constant = |v: &Option<ValueId>| match v {
        Some(v) => cx.fact(*v)?.constant.clone().map(Some),
        None => Some(None),
    };
    let inputs: Vec<Option<Value>> = node.inputs.iter().map(constant).collect::<Option<_>>()?;
    let given: usize = node.inputs.iter().flatten().filter_map(|v| bytes(cx.fact(*v)?)).sum();
    let made = node.outputs.iter().flatten().filter_map(|v| bytes(cx.fact(*v)?)).fold(0, usize::saturating_add);
    if made > cx.fold_limit.unwrap_or(given.saturating_add(GROWTH)) {
        return None;
    }
    let values = cx.oracle.eval(node, &inputs).ok().flatten()?;
    let outputs: Vec<ValueId> = node.outputs.iter().flatten().copied().collect();
    (values.len() == outputs.len()).then(|| outputs.into_iter().zip(values).collect())
}

/// The bytes a tensor takes; `usize::MAX` when they overflow.
fn bytes(fact: &Fact) -> Option<usize> {
    let (dtype, shape) = (fact.dtype()?, fact.known_shape()?);
    Some(Shape::checked_len(&shape).and_then(|len| dtype.bytes_of(len)).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged, only, optimized};

    #[test]
    fn constants_are_computed() {
        let text = "
            x: float[3, 2]
            w: float[2, 3] = 1 2 3 4 5 6
            t = Transpose(w) {perm=[1, 0]}
            u = Neg(t)
            y = Add(x, u)
            -> y";
        check(&["fold"], text, "%y = Add-14(%x, %u)\noutputs %y");
    }

    #[test]
    fn shapes_are_known_without_the_value() {
        let text = "
            x: float[n, 2, 3]
            one: int64[1] = 1
            s = Shape(x)
            d = Gather(s, one)
            -> d";
        check(&["fold"], text, "outputs %d");
    }

    #[test]
    fn sizes_that_are_not_known_stay() {
        check_unchanged(
            &["fold"],
            "x: float[n, 2]
             y = Shape(x)
             -> y",
        );
    }

    #[test]
    fn what_grows_too_much_stays() {
        check_unchanged(
            &["fold"],
            "x: float[1]
             one: float[1] = 1
             shape: int64[1] = 100000000
             e = Expand(one, shape)
             y = Add(x, e)
             -> y",
        );
    }

    #[test]
    fn a_limit_counts_for_each_result() {
        let text = "
            x: float[3, 2]
            w: float[2, 3] = 1 2 3 4 5 6
            t = Transpose(w) {perm=[1, 0]}
            y = Add(x, t)
            -> y";
        let options = |limit| crate::Options { fold_limit: Some(limit), ..only(&["fold"]) };
        assert_eq!(optimized(text, &options(23)).1.total(), 0);
        assert_eq!(optimized(text, &options(24)).1.total(), 1);
    }
}
