//! The quantized operators of `com.microsoft`: each one of ONNX between DequantizeLinear and QuantizeLinear.

pub mod average_pool;
pub mod binary;
pub mod concat;
pub mod conv;
pub mod gemm;
pub mod reduce_mean;
pub mod softmax;
pub mod unary;
pub mod r#where;

use base::{DType, Result, Tensor};
use ir::{Fact, Graph, Node, ValueId};
use op::TypeSet;
use op::body::{Body, dtype_of};

/// What quantized tensors are made of.
pub(crate) const BYTES: TypeSet = TypeSet::tensors(&[DType::I8, DType::U8]);

/// A scale or zero point, which may be a vector of one element, as one of no axes.
fn scalar(b: &mut Body, value: ValueId, fact: Option<&Fact>) -> Result<ValueId> {
    if fact.and_then(Fact::rank) == Some(0) {
        return Ok(value);
    }
    let none = b.ints(&[])?;
    Ok(b.node(("Reshape", 13), &[value, none], &[]))
}

/// The numbers behind the bytes of input `i`, whose scale and zero point follow.
pub(crate) fn dequantize(b: &mut Body, facts: &[Option<&Fact>], i: usize) -> Result<ValueId> {
    dequantize_at(b, facts, [i, i + 1, i + 2], 0)
}

/// The numbers behind the bytes of input `x`, with the given scale and zero point: one for all, or one for each place along `axis`.
pub(crate) fn dequantize_at(b: &mut Body, facts: &[Option<&Fact>], [x, scale, zero]: [usize; 3], axis: i64) -> Result<ValueId> {
    let fact = |i: usize| facts.get(i).copied().flatten();
    // A vector of several stays one.
    let several = |i: usize| fact(i).and_then(Fact::known_shape).is_some_and(|s| s.iter().product::<usize>() > 1);
    let parameter = |b: &mut Body, i: usize, v: ValueId| if several(scale) { Ok(v) } else { scalar(b, v, fact(i)) };
    let (x, given) = (b.required(x)?, b.required(scale)?);
    let zero = b.input(zero).map(|v| parameter(b, zero, v)).transpose()?;
    let given = parameter(b, scale, given)?;
    let along = [("axis", axis.into())];
    let attributes = if several(scale) { &along[..] } else { &[] };
    Ok(b.node_of(("", "DequantizeLinear", 13), &[Some(x), Some(given), zero], attributes))
}

/// `y` as bytes of type `dtype`, whose scale is input `i`; the zero point follows, or is 0.
pub(crate) fn quantize(b: &mut Body, facts: &[Option<&Fact>], y: ValueId, i: usize, dtype: DType) -> Result<ValueId> {
    let fact = |i: usize| facts.get(i).copied().flatten();
    let scale = b.required(i)?;
    let scale = scalar(b, scale, fact(i))?;
    let zero = match b.input(i + 1) {
        Some(zero) => scalar(b, zero, fact(i + 1))?,
        None => b.constant(Tensor::zeros(dtype, [])?),
    };
    Ok(b.node(("QuantizeLinear", 13), &[y, scale, zero], &[]))
}

/// The body of an operator of one tensor: `f` between the numbers behind input 0 and the bytes of the result, whose scale is input 3.
pub(crate) fn of_one(node: &Node, facts: &[Option<&Fact>], f: impl FnOnce(&mut Body, ValueId) -> Result<ValueId>) -> Result<Graph> {
    let mut b = Body::of(node);
    let x = dequantize(&mut b, facts, 0)?;
    let y = f(&mut b, x)?;
    let y = quantize(&mut b, facts, y, 3, dtype_of(facts, 0)?)?;
    Ok(b.finish(&[y]))
}
