//! IsNaN, IsInf: what kind of number an element is.

use base::minifloat::Format;
use base::{DType, Result};
use op::types::{BOOL, FLOATS, FLOATS_V1};
use op::{Attrs, Kernels, Op, OpDef, TypeSet, since};

use crate::elementwise::{Map, Unary, each, each_wide, float_map};
use crate::types::FLOAT8;

const SIGNATURE: &str = "X:T1 -> Y:T2";
const SINGLES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64]);

/// IsNaN of `ai.onnx`.
pub static IS_NAN: OpDef = OpDef {
    name: "IsNaN",
    versions: &[
        since(9, SIGNATURE, &[("T1", FLOATS_V1), ("T2", BOOL)]),
        since(13, SIGNATURE, &[("T1", FLOATS), ("T2", BOOL)]),
        since(20, SIGNATURE, &[("T1", FLOATS.or(FLOAT8)), ("T2", BOOL)]),
    ],
    load: |_| Ok(Box::new(Unary { function: is_nan, parameters: [0.0; 2], output: Some(DType::Bool) })),
    kernels: Kernels::NONE.cpu::<Unary>(),
    ..OpDef::ONNX
};

/// IsInf of `ai.onnx`; either sign may be left out.
pub static IS_INF: OpDef = OpDef {
    name: "IsInf",
    versions: &[since(10, SIGNATURE, &[("T1", SINGLES), ("T2", BOOL)]), since(20, SIGNATURE, &[("T1", FLOATS.or(FLOAT8)), ("T2", BOOL)])],
    load: load_is_inf,
    kernels: Kernels::NONE.cpu::<Unary>(),
    ..OpDef::ONNX
};

fn load_is_inf(a: &Attrs<'_>) -> Result<Box<dyn Op>> {
    // The infinities that count; a sign that does not is asked for a second time.
    let infinity = f32::INFINITY;
    let parameters = match (a.flag("detect_positive", true)?, a.flag("detect_negative", true)?) {
        (true, true) => [infinity, -infinity],
        (true, false) => [infinity; 2],
        (false, true) => [-infinity; 2],
        (false, false) => [f32::NAN; 2],
    };
    Ok(Box::new(Unary { function: is_inf, parameters, output: Some(DType::Bool) }))
}

fn is_nan(dtype: DType, _: [f32; 2]) -> Option<Box<dyn Map>> {
    match Format::of(dtype) {
        Some(format) => Some(each(|code: u8| u8::from(format.decode(code).is_nan()))),
        None => float_map(dtype, true, each_wide(|x: f32| u8::from(x.is_nan())), each_wide(|x: f64| u8::from(x.is_nan()))),
    }
}

fn is_inf(dtype: DType, [a, b]: [f32; 2]) -> Option<Box<dyn Map>> {
    let single = move |x: f32| u8::from(x == a || x == b);
    match Format::of(dtype) {
        Some(format) => Some(each(move |code: u8| single(format.decode(code)))),
        None => float_map(dtype, true, each_wide(single), each_wide(move |x: f64| u8::from(x == a.into() || x == b.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;
    use base::dtype::{F8E5M2, Float8};
    use testkit::single;

    fn bools(t: Tensor) -> Vec<bool> {
        t.slice::<bool>().unwrap().to_vec()
    }

    #[test]
    fn every_kind() {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, f32::MAX];
        let nan = [true, false, false, false, false];
        assert_eq!(bools(single(&IS_NAN, 9).input([5], &x).tensor().unwrap()), nan);
        assert_eq!(bools(single(&IS_NAN, 13).input([5], &x.map(half::bf16::from_f32)).tensor().unwrap()), nan);
        assert_eq!(bools(single(&IS_INF, 10).input([5], &x.map(f64::from)).tensor().unwrap()), [false, true, true, false, false]);
        let signs = |p: i64, n: i64| {
            bools(single(&IS_INF, 20).attr("detect_positive", p).attr("detect_negative", n).input([5], &x).tensor().unwrap())
        };
        assert_eq!(signs(0, 1), [false, false, true, false, false]);
        assert_eq!(signs(1, 0), [false, true, false, false, false]);
        assert_eq!(signs(0, 0), [false; 5]);
    }

    #[test]
    fn small_floats() {
        let x = [0x7c, 0xfc, 0x7d, 0x3c, 0xff].map(|bits| -> F8E5M2 { Float8(bits) });
        assert_eq!(bools(single(&IS_INF, 20).input([5], &x).tensor().unwrap()), [true, true, false, false, false]);
        assert_eq!(bools(single(&IS_NAN, 20).input([5], &x).tensor().unwrap()), [false, false, true, false, true]);
        assert!(single(&IS_NAN, 13).input([5], &x).tensor().is_err());
    }
}
