//! Operators that exporters of recent language models write for chains of simple ones. Arithmetic is in 32 bits, whatever the type.

pub mod engram_gate;
pub mod gated_rms_norm;
pub mod gates;
pub mod hyper_connection;
pub mod m_rotary_embedding;
pub mod unfold_tensor;

use base::{DType, Result, ensure};
use ir::{Attribute, Fact, ValueId};
use op::TypeSet;
use op::body::{Body, dims_of};

/// The types that these operators take.
pub(crate) const TYPES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);

/// Input `i` in 32 bits.
pub(crate) fn wide(b: &mut Body, i: usize) -> Result<ValueId> {
    let x = b.required(i)?;
    Ok(b.cast(x, DType::F32))
}

/// `x` over the root of the mean of its squares along the last axis.
pub(crate) fn root_mean_square(b: &mut Body, x: ValueId, epsilon: f32) -> Result<ValueId> {
    let squares = b.node(("Mul", 14), &[x, x], &[]);
    let mean = b.node(("ReduceMean", 13), &[squares], &[("axes", Attribute::Ints(vec![-1]))]);
    let epsilon = b.float(epsilon)?;
    let mean = b.node(("Add", 14), &[mean, epsilon], &[]);
    let root = b.node(("Sqrt", 13), &[mean], &[]);
    Ok(b.node(("Div", 14), &[x, root], &[]))
}

/// `x` of `rank` axes with its last axis cut into `count` parts, an axis before it.
pub(crate) fn grouped(b: &mut Body, x: ValueId, rank: usize, count: i64) -> Result<ValueId> {
    ensure!(rank > 0, InvalidGraph, "a scalar has no branches");
    let mut shape = vec![0; rank - 1];
    shape.extend([count, -1]);
    let shape = b.ints(&shape)?;
    Ok(b.node(("Reshape", 13), &[x, shape], &[]))
}

/// `x` with the shape of `like`.
pub(crate) fn shaped_like(b: &mut Body, x: ValueId, like: ValueId) -> ValueId {
    let shape = b.node(("Shape", 15), &[like], &[]);
    b.node(("Reshape", 13), &[x, shape], &[])
}

/// The size of the last axis of input `i`, which is a number.
pub(crate) fn last(facts: &[Option<&Fact>], i: usize) -> Result<i64> {
    let size = dims_of(facts, i)?.last().and_then(ir::Dim::known);
    size.ok_or_else(|| base::error!(InvalidGraph, "the last axis of input {i} has no known size"))
}
