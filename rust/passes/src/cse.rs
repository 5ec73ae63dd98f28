//! Nodes that compute the same become one.
//!
//! ```text
//! a = Exp(x); b = Exp(x); y = Add(a, b)    →    a = Exp(x); y = Add(a, a)
//! a = Shape(x: [n, 4]); b = Shape(y: [n, 4])    →    a = Shape(x)        where b was read
//! ```
//!
//! Small constants count as the same when their bits are; small integer tensors when inference knows the same sizes of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use base::{DType, Result, Tensor};
use ir::{Attribute, Attributes, Dim, Fact, Node, NodeId, OpKey, Patch, ValueId};

use crate::{Context, Level, Pass, Rewriter, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "cse",
    stands_for: &["CommonSubexpressionElimination"],
    level: Level::Basic,
    what: "Nodes with the same operator, attributes and inputs become one; so do shape computations with the same result.",
    rule: Rule::Global(merge),
};

/// Constants of more bytes are the same only when they are one value.
const SMALL: usize = 256;

fn merge(rewriter: &mut Rewriter<'_>) -> Result<()> {
    let mut seen: HashMap<Key, NodeId> = HashMap::new();
    for id in rewriter.context().graph.order()? {
        let cx = rewriter.context();
        let Some(key) = Key::of(&cx, cx.graph.node(id)) else { continue };
        match seen.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(id)),
            Entry::Occupied(mut entry) => {
                if let Some(patch) = replaced(&cx, id, *entry.get()) {
                    rewriter.apply(patch, id);
                } else {
                    entry.insert(id);
                }
            }
        }
    }
    Ok(())
}

/// Every output of `later` replaced by that of `first`, if `first` has them all.
fn replaced(cx: &Context<'_>, later: NodeId, first: NodeId) -> Option<Patch> {
    let first = cx.graph.get_node(first)?;
    let mut patch = Patch::new(cx.graph);
    for (i, old) in cx.graph.node(later).outputs.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))) {
        patch.replace(old, first.output(i)?);
    }
    Some(patch)
}

/// What nodes that compute the same have in common.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    /// The same work.
    Work { op: OpKey, provider: Option<Arc<str>>, inputs: Vec<Input>, attributes: Vec<u8>, outputs: usize },
    /// The same result, as far as its elements are known as expressions.
    Result { dtype: DType, shape: Vec<Dim>, elements: Arc<[Dim]> },
}

#[derive(PartialEq, Eq, Hash)]
enum Input {
    LeftOut,
    Value(ValueId),
    Constant(Vec<u8>),
}

impl Key {
    /// The key of a node; `None` for those that may not be merged. A copy for the name of an output is one of them.
    fn of(cx: &Context<'_>, node: &Node) -> Option<Self> {
        if !node.subgraphs.is_empty() || node.function.is_some() || node.is("Identity") || !cx.oracle.is_pure(node) {
            return None;
        }
        if let [Some(v)] = node.outputs[..]
            && let Some(Fact { shape: Some(shape), value: Some(elements), .. }) = cx.fact(v)
        {
            let (dtype, shape) = (cx.dtype(v)?, shape.to_vec());
            return Some(Self::Result { dtype, shape, elements: elements.clone() });
        }
        let inputs = node.inputs.iter().map(|v| v.map_or(Input::LeftOut, |v| input(cx, v))).collect();
        let attributes = bits_of_attributes(&node.attributes)?;
        Some(Self::Work { op: node.key.clone(), provider: node.provider.clone(), inputs, attributes, outputs: node.outputs.len() })
    }
}

fn input(cx: &Context<'_>, v: ValueId) -> Input {
    let small = cx.constant(v).filter(|t| t.dtype().bytes_of(t.len()).is_some_and(|n| n <= SMALL));
    match small.and_then(bits_of_tensor) {
        Some(bits) => Input::Constant(bits),
        None => Input::Value(v),
    }
}

fn bits_of_tensor(t: &Tensor) -> Option<Vec<u8>> {
    let mut bits = format!("{t:?}{:?}", t.layout()).into_bytes();
    bits.extend(t.memory().is_host().then(|| t.as_ref().bytes().ok()).flatten()?);
    Some(bits)
}

fn bits_of_attributes(attributes: &Attributes) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for (name, attribute) in attributes {
        bits.extend(name.as_bytes());
        bits.push(0);
        let value = bits_of_attribute(attribute)?;
        bits.extend(value.len().to_le_bytes());
        bits.extend(value);
    }
    Some(bits)
}

/// The attribute as bytes, its kind first; `None` for kinds that hold more than numbers, text and tensors.
fn bits_of_attribute(attribute: &Attribute) -> Option<Vec<u8>> {
    let mut bits = attribute.kind().as_bytes().to_vec();
    bits.push(0);
    match attribute {
        Attribute::Int(i) => bits.extend(i.to_le_bytes()),
        Attribute::Float(x) => bits.extend(x.to_bits().to_le_bytes()),
        Attribute::String(s) => bits.extend(&**s),
        Attribute::Ints(v) => bits.extend(v.iter().flat_map(|i| i.to_le_bytes())),
        Attribute::Floats(v) => bits.extend(v.iter().flat_map(|x| x.to_bits().to_le_bytes())),
        Attribute::Strings(v) => v.iter().for_each(|s| {
            bits.extend(s.len().to_le_bytes());
            bits.extend(&**s);
        }),
        Attribute::Tensor(t) => bits.extend(bits_of_tensor(t)?),
        _ => return None,
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use crate::testing::check;

    #[test]
    fn equal_nodes_become_one() {
        let text = "
            x: float[2, 3]
            a = Transpose(x) {perm=[1, 0]}
            b = Transpose(x) {perm=[1, 0]}
            c = Transpose(x) {perm=[0, 1]}
            y = Add(a, b)
            -> y, c";
        let after = "%a = Transpose-13(%x) {perm=[1, 0]}\n%c = Transpose-13(%x) {perm=[0, 1]}\n%y = Add-14(%a, %a)\noutputs %y, %c";
        check(&["cse"], text, after);
    }

    #[test]
    fn small_constants_are_compared_by_bits() {
        let text = "
            x: float[2]
            k: float[] = 0
            l: float[] = 0
            m: float[] = -0
            a = Add(x, k)
            b = Add(x, l)
            c = Add(x, m)
            y = Concat(a, b, c) {axis=0}
            -> y";
        let after = "%a = Add-14(%x, %k)\n%c = Add-14(%x, %m)\n%y = Concat-13(%a, %a, %c) {axis=0}\noutputs %y";
        check(&["cse"], text, after);
    }

    #[test]
    fn shapes_that_are_equal_are_computed_once() {
        let text = "
            x: float[n, 4]
            first: int64[1] = 0
            two: int64[1] = 2
            y = Neg(x)
            s = Shape(x)
            t = Shape(y)
            a = Gather(s, first)
            b = Gather(t, first)
            c = Concat(a, two, two) {axis=0}
            d = Concat(b, two, two) {axis=0}
            p = Reshape(x, c)
            q = Reshape(y, d)
            -> p, q";
        let after = "
            %y = Neg-13(%x)
            %s = Shape-19(%x)
            %a = Gather-13(%s, %first)
            %c = Concat-13(%a, %two, %two) {axis=0}
            %p = Reshape-19(%x, %c)
            %q = Reshape-19(%y, %c)
            outputs %p, %q";
        check(&["cse"], text, after);
    }

    #[test]
    fn equal_outputs_keep_their_names() {
        let text = "
            x: float[2]
            a = Neg(x)
            b = Neg(x)
            c = Neg(x)
            -> a, b, c";
        check(&["cse", "identity"], text, "%a = Neg-13(%x)\n%b = Identity-19(%a)\n%c = Identity-19(%a)\noutputs %a, %b, %c");
    }
}
