//! Add, Sub, Mul, Div.

use base::DType;
use ir::Dim;
use op::types::{FLOATS_V1, HIGH_PRECISION, HIGH_PRECISION_V7, NUMERIC};
use op::{Kernels, Layouts, OpDef, Since, since};

use crate::elementwise::{Binary, Zip, binary, float_zip, for_integers, pairs, pairs_wide, vectors};

const SIGNATURE: &str = "A:T, B:T -> C:T";

const VERSIONS: &[Since] = &[
    since(1, SIGNATURE, &[("T", FLOATS_V1)]),
    since(6, SIGNATURE, &[("T", HIGH_PRECISION_V7)]),
    since(7, SIGNATURE, &[("T", HIGH_PRECISION_V7)]),
    since(13, SIGNATURE, &[("T", HIGH_PRECISION)]),
    since(14, SIGNATURE, &[("T", NUMERIC)]),
];

const BINARY: OpDef = OpDef {
    versions: VERSIONS,
    kernels: Kernels::NONE.cpu::<Binary>(),
    in_place: &[(0, 0), (1, 0)],
    layouts: Layouts::Follows,
    ..OpDef::ONNX
};

/// Add of `ai.onnx`. Integers wrap around.
pub static ADD: OpDef = OpDef { name: "Add", load: |a| binary(a, add, |a, b| Some(a.add(b))), ..BINARY };

/// Sub of `ai.onnx`. Integers wrap around.
pub static SUB: OpDef = OpDef { name: "Sub", load: |a| binary(a, sub, |a, b| Some(a.sub(b))), ..BINARY };

/// Mul of `ai.onnx`. Integers wrap around.
pub static MUL: OpDef = OpDef { name: "Mul", load: |a| binary(a, mul, |a, b| Some(a.mul(b))), ..BINARY };

/// Div of `ai.onnx`. Integers round towards zero; one divided by zero is zero, and the smallest divided by -1 is itself.
pub static DIV: OpDef = OpDef { name: "Div", load: |a| binary(a, div, quotient), ..BINARY };

/// `a + b`.
pub fn add(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.wrapping_add(b)))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Add), pairs_wide(|a: f64, b: f64| a + b)))
}

fn sub(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.wrapping_sub(b)))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Sub), pairs_wide(|a: f64, b: f64| a - b)))
}

/// `a * b`.
pub fn mul(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.wrapping_mul(b)))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Mul), pairs_wide(|a: f64, b: f64| a * b)))
}

fn div(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| if b == 0 { 0 } else { a.wrapping_div(b) }))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Div), pairs_wide(|a: f64, b: f64| a / b)))
}

/// The quotient rounded towards zero, where that can be told.
fn quotient(a: &Dim, b: &Dim) -> Option<Dim> {
    if let (Some(a), Some(b)) = (a.known(), b.known()) {
        return Some(Dim::Known(if b == 0 { 0 } else { a.wrapping_div(b) }));
    }
    let floor = a.floor_div(b);
    // A quotient without remainder is rounded in no direction.
    if floor.mul(b) == *a || (a.range().0 >= 0 && b.range().0 >= 0) {
        return Some(floor);
    }
    let (zero, minus) = (Dim::Known(0), Dim::Known(0).sub(a));
    b.known().is_some_and(|b| b > 0).then(|| a.larger(&zero).floor_div(b).sub(&minus.larger(&zero).floor_div(b)))
}
