//! What the inference of several operators needs.

use std::sync::Arc;

use base::{DType, ErrorKind, Result, Shape, axis_index};
use ir::{Dim, Dims, Fact, SMALL};
use op::Infer;

use crate::movement::Region;

/// The axis that `axis` names of `rank`, counting from the end when negative.
///
/// # Errors
/// `InvalidGraph` when there is no such axis.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    axis_index(axis, rank).map_err(|e| e.with_kind(ErrorKind::InvalidGraph))
}

/// The sizes, if each is a number.
pub(crate) fn known(dims: &[Dim]) -> Option<Shape> {
    dims.iter().map(Dim::size).collect()
}

/// The product of all sizes.
pub(crate) fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Known(1), |n, d| n.mul(d))
}

/// States that output `i` is a dense tensor with these elements, if they are known.
pub(crate) fn state(cx: &mut Infer<'_>, i: usize, dtype: DType, dims: Dims, value: Option<Arc<[Dim]>>) {
    cx.set(i, Fact { value, ..Fact::tensor(dtype, dims) });
}

/// The elements of input `i` and its shape, if it is a small integer tensor and both are known.
pub(crate) fn value<'a>(cx: &Infer<'a>, i: usize) -> Option<(&'a [Dim], Shape)> {
    Some((cx.ints(i)?, known(cx.dims(i).ok()??)?))
}

/// The elements that `region` names, unless they are too many for a fact.
pub(crate) fn pick(elements: &[Dim], region: &Region) -> Option<Arc<[Dim]>> {
    if region.len() > SMALL {
        return None;
    }
    region.elements().map(|i| elements.get(i).cloned()).collect()
}
