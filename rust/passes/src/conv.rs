//! Convolutions as fusions see them.

use base::{DType, Result, Tensor, ensure};
use half::f16;
use ir::{Node, NodeId, Patch, ValueId};

use crate::Context;
use crate::context::is_microsoft;
use crate::numbers::{numbers, tensor_of};

/// The node that writes `v`, if it is a `Conv`, or a `FusedConv` that has no activation yet.
pub(crate) fn open_conv<'a>(cx: &Context<'a>, v: ValueId) -> Option<(NodeId, &'a Node)> {
    cx.any_writer(v).filter(|(_, n)| n.is("Conv") || (is_microsoft(n, "FusedConv") && !n.attributes.contains_key("activation")))
}

/// A `Conv` whose weights and bias are constants, and whose result only one node reads.
pub(crate) struct ConstantConv<'a> {
    id: NodeId,
    node: &'a Node,
    weights: &'a Tensor,
    bias: Option<&'a Tensor>,
}

impl<'a> ConstantConv<'a> {
    /// The convolution that writes `v`.
    pub(crate) fn of(cx: &Context<'a>, v: ValueId) -> Option<Self> {
        let (id, node) = cx.writer(v, "Conv").filter(|_| cx.is_private(v))?;
        let weights = cx.constant(node.input(1)?).filter(|w| w.shape().len() >= 3 && w.dtype().is_float())?;
        let bias = match node.input(2) {
            Some(b) => Some(cx.constant(b)?),
            None => None,
        };
        Some(Self { id, node, weights, bias })
    }

    /// The number of channels it gives.
    pub(crate) fn channels(&self) -> usize {
        self.weights.shape()[0]
    }

    /// Replaces `y` by a convolution that gives `scale[c] * result + shift[c]` in channel `c`. It stands for node `last` too.
    ///
    /// # Errors
    /// `Fail` when the lengths do not agree or memory cannot be had.
    pub(crate) fn affine(&self, cx: &Context<'_>, last: NodeId, y: ValueId, scale: &[f64], shift: &[f64]) -> Result<Option<Patch>> {
        let bias = match self.bias {
            Some(b) => numbers(b),
            None => Some(vec![0.0; self.channels()]),
        };
        let (Some(mut weights), Some(mut bias)) = (numbers(self.weights), bias) else { return Ok(None) };
        let channels = self.channels();
        let lengths = [bias.len(), scale.len(), shift.len()];
        ensure!(lengths.iter().all(|n| *n == channels), Fail, "{lengths:?} numbers for {channels} channels");
        if weights.is_empty() {
            return Ok(None);
        }
        let each = weights.len() / channels;
        for (row, s) in weights.chunks_exact_mut(each).zip(scale) {
            row.iter_mut().for_each(|w| *w *= s);
        }
        for ((b, s), t) in bias.iter_mut().zip(scale).zip(shift) {
            *b = *b * s + t;
        }
        let dtype = self.weights.dtype();
        let most = match dtype {
            DType::F16 => f16::MAX.to_f64(),
            DType::F64 => f64::MAX,
            _ => f32::MAX.into(),
        };
        // What the type cannot hold would be infinite for every input.
        if !weights.iter().chain(&bias).all(|w| w.abs() <= most) {
            return Ok(None);
        }
        let mut patch = Patch::new(cx.graph);
        let weights = patch.constant(tensor_of(dtype, self.weights.shape().clone(), &weights)?);
        let bias = patch.constant(tensor_of(dtype, [channels], &bias)?);
        let inputs = [self.node.input(0), Some(weights), Some(bias)];
        let new = patch.node(cx.graph, &[self.id, last], self.node.key.clone(), &inputs, self.node.attributes.clone(), 1);
        patch.replace(y, new[0]);
        Ok(Some(patch))
    }
}
