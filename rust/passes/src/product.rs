//! Products of several factors, however their multiplications are nested.

use ir::{NodeId, ValueId};

use crate::Context;

/// A product: a number times values.
pub(crate) struct Product {
    /// The constant factors multiplied.
    pub(crate) scale: f64,
    /// The other factors; one twice for a square.
    pub(crate) factors: Vec<ValueId>,
    /// The nodes that multiply.
    pub(crate) nodes: Vec<NodeId>,
}

/// How deep multiplications are looked into.
const DEPTH: usize = 6;

impl Product {
    /// `v` as a product. Intermediate results are looked into when nobody else reads them.
    pub(crate) fn of(cx: &Context<'_>, v: ValueId) -> Self {
        let mut product = Self { scale: 1.0, factors: Vec::new(), nodes: Vec::new() };
        product.multiply(cx, v, DEPTH);
        product
    }

    fn multiply(&mut self, cx: &Context<'_>, v: ValueId, depth: usize) {
        if let Some(c) = cx.number(v) {
            self.scale *= c;
            return;
        }
        let open = depth == DEPTH || (depth > 0 && cx.is_private(v));
        let Some((id, node)) = cx.any_writer(v).filter(|_| open) else {
            self.factors.push(v);
            return;
        };
        match cx.pair(node) {
            Some((a, b)) if node.is("Mul") => {
                self.multiply(cx, a, depth - 1);
                self.multiply(cx, b, depth - 1);
            }
            Some((a, b)) if node.is("Div") && cx.number(b).is_some_and(|c| c != 0.0) => {
                self.multiply(cx, a, depth - 1);
                self.scale /= cx.number(b).unwrap_or(1.0);
            }
            Some((a, b)) if node.is("Pow") && cx.number(b).is_some_and(|n| n == 2.0 || n == 3.0) => {
                let times = if cx.number(b) == Some(2.0) { 2 } else { 3 };
                self.factors.extend(std::iter::repeat_n(a, times));
            }
            _ => {
                self.factors.push(v);
                return;
            }
        }
        self.nodes.push(id);
    }

    /// The only factor, times a number near `scale`.
    pub(crate) fn single(&self) -> Option<ValueId> {
        match self.factors[..] {
            [x] => Some(x),
            _ => None,
        }
    }
}
