//! Transposes that undo each other, directly or around element-wise nodes.
//!
//! ```text
//! a = Transpose(x) {p}; y = Transpose(a) {q}                        →    y = Transpose(x) {p of q}, or x itself
//! a = Transpose(x) {0, 2, 3, 1}; b = Relu(a); c = Add(b, 1);
//! y = Transpose(c) {0, 3, 1, 2}                                     →    b = Relu(x); y = Add(b, 1)
//! ```

use base::{Result, Shape, Tensor};
use ir::{Attribute, Attributes, Node, NodeId, OpKey, Patch, ValueId};

use crate::context::{int, ints};
use crate::elementwise::operands;
use crate::{Context, Level, Pass, Rule};

pub(crate) const PASS: Pass = Pass {
    name: "transpose",
    stands_for: &["TransposeOptimizer"],
    level: Level::Basic,
    what: "Transposes in a row become one; those that undo each other around element-wise nodes and Concat go.",
    rule: Rule::Local(rule),
};

/// How many nodes may lie between two transposes that undo each other.
const DEPTH: usize = 16;

fn rule(cx: &Context<'_>, id: NodeId) -> Result<Option<Patch>> {
    let node = cx.graph.node(id);
    let found = || {
        let (x, y) = (node.input(0).filter(|_| node.is("Transpose"))?, node.output(0)?);
        let perm = permutation(cx, node)?;
        merged(cx, id, x, y, &perm).or_else(|| pulled(cx, &node.key, x, y, &perm))
    };
    Ok(found())
}

/// The permutation of a `Transpose`: axis `i` of the result is axis `p[i]` of the input.
pub(crate) fn permutation(cx: &Context<'_>, node: &Node) -> Option<Vec<usize>> {
    let rank = cx.rank(node.input(0)?)?;
    match ints(node, "perm") {
        Some(perm) if perm.len() == rank => perm.iter().map(|&p| usize::try_from(p).ok().filter(|p| *p < rank)).collect(),
        Some(_) => None,
        None => Some((0..rank).rev().collect()),
    }
}

pub(crate) fn is_identity(perm: &[usize]) -> bool {
    perm.iter().enumerate().all(|(i, p)| i == *p)
}

/// The attributes of a `Transpose` by `perm`.
pub(crate) fn perm_attribute(perm: &[usize]) -> Attributes {
    Attributes::from([("perm".to_owned(), Attribute::Ints(perm.iter().map(|&p| p as i64).collect()))])
}

/// The permutation that does `first`, then `second`.
fn composed(first: &[usize], second: &[usize]) -> Option<Vec<usize>> {
    second.iter().map(|&p| first.get(p).copied()).collect()
}

fn merged(cx: &Context<'_>, id: NodeId, x: ValueId, y: ValueId, perm: &[usize]) -> Option<Patch> {
    let (inner, before) = cx.writer(x, "Transpose")?;
    let both = composed(&permutation(cx, before)?, perm)?;
    let source = before.input(0)?;
    let mut patch = Patch::new(cx.graph);
    let new = if is_identity(&both) {
        source
    } else {
        patch.node(cx.graph, &[id, inner], cx.graph.node(id).key.clone(), &[Some(source)], perm_attribute(&both), 1)[0]
    };
    patch.replace(y, new);
    Some(patch)
}

/// Element-wise nodes between this transpose and those that it undoes, rebuilt on what these had as input.
fn pulled(cx: &Context<'_>, key: &OpKey, x: ValueId, y: ValueId, perm: &[usize]) -> Option<Patch> {
    let mut pull = Pull { cx, key, perm, patch: Patch::new(cx.graph), undone: false };
    let new = pull.value(x, DEPTH).filter(|_| pull.undone)?;
    pull.patch.replace(y, new);
    Some(pull.patch)
}

struct Pull<'c, 'g> {
    cx: &'c Context<'g>,
    /// The operator version of the transpose.
    key: &'c OpKey,
    perm: &'c [usize],
    patch: Patch,
    undone: bool,
}

impl Pull<'_, '_> {
    /// A value that equals `v` transposed, without a transpose that runs.
    fn value(&mut self, v: ValueId, depth: usize) -> Option<ValueId> {
        if let Some(t) = self.cx.constant(v)
            && t.len() == 1
            && t.shape().len() <= self.perm.len()
        {
            return Some(v); // One element broadcasts along any axes.
        }
        if let Some(t) = self.cx.constant(v) {
            return self.constant(t);
        }
        let (id, node) = self.cx.any_writer(v)?;
        if node.is("Transpose") {
            let both = composed(&permutation(self.cx, node)?, self.perm)?;
            self.undone = true;
            return node.input(0).filter(|_| is_identity(&both));
        }
        if depth == 0 || !self.cx.is_private(v) || self.cx.rank(v) != Some(self.perm.len()) || node.outputs.len() != 1 {
            return None;
        }
        let mut attributes = node.attributes.clone();
        let moved = if node.is("Concat") {
            let axis = base::axis_index(int(node, "axis", 1), self.perm.len()).ok()?;
            let place = self.perm.iter().position(|p| *p == axis)?;
            attributes.insert("axis".to_owned(), Attribute::Int(place as i64));
            node.inputs.len()
        } else {
            operands(node)?
        };
        let mut inputs = node.inputs.clone();
        for input in inputs.iter_mut().take(moved) {
            *input = Some(self.value((*input)?, depth - 1)?);
        }
        Some(self.patch.node(self.cx.graph, &[id], node.key.clone(), &inputs, attributes, 1)[0])
    }
    /// A constant transposed: the node is folded later.
    fn constant(&mut self, t: &Tensor) -> Option<ValueId> {
        let missing = self.perm.len().checked_sub(t.shape().len())?;
        let shape: Shape = std::iter::repeat_n(1, missing).chain(t.shape().iter().copied()).collect();
        let wide = self.patch.constant(t.reshaped(shape).ok()?);
        let attributes = perm_attribute(self.perm);
        Some(self.patch.node(self.cx.graph, &[], self.key.clone(), &[Some(wide)], attributes, 1)[0])
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, check_unchanged, only, optimized_for};

    #[test]
    fn two_become_one() {
        let text = "
            x: float[2, 3, n]
            a = Transpose(x) {perm=[1, 2, 0]}
            b = Transpose(a) {perm=[1, 2, 0]}
            c = Transpose(a)
            d = Transpose(b) {perm=[1, 2, 0]}
            y = Neg(d)
            -> b, c, y";
        let after = "
            %y = Neg-13(%x)
            %b = Transpose-13(%x) {perm=[2, 0, 1]}
            %c = Transpose-13(%x) {perm=[0, 2, 1]}
            outputs %b, %c, %y";
        check(&["transpose"], text, after);
    }

    #[test]
    fn element_wise_nodes_move_out_of_the_way() {
        let text = "
            x: float[1, 2, 3, 4]
            z: float[1, 2, 3, 4]
            bias: float[2] = 1 2
            k: float[] = 3
            a = Transpose(x) {perm=[0, 2, 3, 1]}
            b = Transpose(z) {perm=[0, 2, 3, 1]}
            c = Mul(a, k)
            d = Add(c, b)
            e = Add(d, bias)
            f = Concat(e, b) {axis=-1}
            y = Transpose(f) {perm=[0, 3, 1, 2]}
            -> y";
        let after = "
            %#1 = Mul-14(%x, %k)
            %#2 = Add-14(%#1, %z)
            %#3 = Add-14(%#2, float{1,2,1,1})
            %y = Concat-13(%#3, %z) {axis=1}
            outputs %y";
        check(&["transpose", "fold"], text, after);
    }

    #[test]
    fn what_others_read_stays() {
        check_unchanged(
            &["transpose"],
            "x: float[2, 3]
             a = Transpose(x)
             b = Neg(a)
             y = Transpose(b)
             -> b, y",
        );
    }

    #[test]
    fn operands_that_stretch_along_an_axis_stay() {
        for op in ["Add(a, k) {broadcast=1, axis=0}", "PRelu(a, k)"] {
            let text = format!(
                "x: float[3, 3]
                 k: float[3] = 1 2 3
                 a = Transpose(x)
                 b = {op}
                 y = Transpose(b)
                 -> y"
            );
            assert_eq!(optimized_for(&text, 6, &only(&["transpose"])).1.applied(), [], "{op}");
        }
    }
}
