//! What the fusions of normalizations share: means of squares under a root, and scales that follow.

use base::{DType, Result};
use ir::{Attribute, Attributes, Dim, Node, NodeId, OpKey, Patch, ValueId};

use crate::Context;
use crate::context::int;
use crate::numbers::tensor_of;

/// A normalization found in a graph.
pub(crate) struct Found {
    /// What is normalized.
    pub(crate) x: ValueId,
    /// The normalized value, before it is scaled.
    pub(crate) y: ValueId,
    /// The first of the axes that it goes over; it goes to the last.
    pub(crate) axis: usize,
    pub(crate) epsilon: f32,
}

/// The axes from `axis` to the last that `node`, a `ReduceMean` that keeps them, goes over.
pub(crate) fn trailing_axis(cx: &Context<'_>, node: &Node) -> Option<usize> {
    let rank = cx.rank(node.input(0)?)?;
    let axes = cx.axes(node).filter(|a| !a.is_empty() && int(node, "keepdims", 1) == 1)?;
    let mut axes: Vec<usize> = axes.iter().map(|a| base::axis_index(*a, rank).ok()).collect::<Option<_>>()?;
    axes.sort_unstable();
    let first = axes[0];
    axes.into_iter().eq(first..rank).then_some(first)
}

/// For `Sqrt(ReduceMean(x * x) + epsilon)`: `x`, the axis and the epsilon.
pub(crate) fn root_of_mean_square(cx: &Context<'_>, v: ValueId) -> Option<(ValueId, usize, f32)> {
    let sum = match cx.any_writer(v)? {
        (_, n) if n.is("Sqrt") => n.input(0)?,
        (_, n) if n.is("Pow") && cx.number(n.input(1)?) == Some(0.5) => n.input(0)?,
        _ => return None,
    };
    mean_square_and_epsilon(cx, sum)
}

/// For `ReduceMean(x * x) + epsilon`: `x`, the axis and the epsilon.
pub(crate) fn mean_square_and_epsilon(cx: &Context<'_>, v: ValueId) -> Option<(ValueId, usize, f32)> {
    let (_, add) = cx.writer(v, "Add")?;
    cx.both_ways(add).into_iter().find_map(|(mean, epsilon)| {
        let epsilon = cx.number(epsilon)?;
        let (_, mean) = cx.writer(mean, "ReduceMean")?;
        let x = squared(cx, mean.input(0)?)?;
        Some((x, trailing_axis(cx, mean)?, epsilon as f32))
    })
}

/// The value that `v` is the square of.
fn squared(cx: &Context<'_>, v: ValueId) -> Option<ValueId> {
    let (_, node) = cx.any_writer(v)?;
    let (a, b) = cx.pair(node)?;
    let square = (node.is("Mul") && a == b) || (node.is("Pow") && cx.number(b) == Some(2.0));
    square.then_some(a)
}

impl Found {
    /// Whether statistics in 32-bit floats, as the fused operators keep them, are no worse than those of the graph.
    pub(crate) fn fits(&self, cx: &Context<'_>) -> bool {
        matches!(cx.dtype(self.x), Some(DType::F32 | DType::F16 | DType::BF16)) && cx.same_dims(self.x, self.y)
    }

    /// The sizes of the normalized axes.
    fn dims<'a>(&self, cx: &Context<'a>) -> Option<&'a [Dim]> {
        cx.dims(self.x)?.get(self.axis..)
    }

    /// The node of operator `name` that alone reads `v`, with its result and its other operand, which has the normalized sizes.
    fn followed(&self, cx: &Context<'_>, v: ValueId, name: &str) -> Option<(NodeId, ValueId, ValueId)> {
        let (id, node) = cx.only_reader(v).filter(|(_, n)| n.is(name))?;
        let (_, other) = cx.both_ways(node).into_iter().find(|(x, other)| *x == v && cx.dims(*other) == self.dims(cx))?;
        Some((id, node.output(0)?, other))
    }

    /// The fused normalization in the place of this one, of the `Mul` by a scale that follows, and (if `with_bias`) of the `Add`
    /// after that. Node `id` is the last of what was found.
    ///
    /// # Errors
    /// `Fail` when memory cannot be had.
    pub(crate) fn fused(&self, cx: &Context<'_>, id: NodeId, key: OpKey, with_bias: bool) -> Result<Option<Patch>> {
        let mut patch = Patch::new(cx.graph);
        let (mut origins, mut last) = (vec![id], self.y);
        let scale = match self.followed(cx, self.y, "Mul") {
            Some((mul, y, scale)) => {
                origins.push(mul);
                last = y;
                scale
            }
            None => match self.ones(cx)? {
                Some(ones) => patch.constant(ones),
                None => return Ok(None),
            },
        };
        let mut inputs = vec![Some(self.x), Some(scale)];
        if let Some((add, y, bias)) = self.followed(cx, last, "Add").filter(|_| with_bias) {
            origins.push(add);
            last = y;
            inputs.push(Some(bias));
        }
        let rank = cx.rank(self.x).unwrap_or(0) as i64;
        let attributes = Attributes::from([
            ("axis".to_owned(), Attribute::Int(self.axis as i64 - rank)),
            ("epsilon".to_owned(), Attribute::Float(self.epsilon)),
        ]);
        let new = patch.node(cx.graph, &origins, key, &inputs, attributes, 1);
        patch.replace(last, new[0]);
        Ok(Some(patch))
    }

    /// The scale that changes nothing.
    fn ones(&self, cx: &Context<'_>) -> Result<Option<base::Tensor>> {
        let shape: Option<base::Shape> = self.dims(cx).and_then(|d| d.iter().map(Dim::size).collect());
        let (Some(shape), Some(dtype)) = (shape, cx.dtype(self.x)) else { return Ok(None) };
        let len = shape.iter().product();
        tensor_of(dtype, shape, &vec![1.0; len]).map(Some)
    }
}
