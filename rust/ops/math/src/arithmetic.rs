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
    kernels: Kernels::NONE.cpu::<Binary>().cuda::<Binary>(),
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
pub(crate) fn add(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.wrapping_add(b)))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Add), pairs_wide(|a: f64, b: f64| a + b)))
}

fn sub(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| a.wrapping_sub(b)))
        .or_else(|| float_zip(dtype, false, vectors(simd::math::Sub), pairs_wide(|a: f64, b: f64| a - b)))
}

fn mul(dtype: DType) -> Option<Box<dyn Zip>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};
    use testkit::{assert_close, single};

    #[test]
    fn integers_wrap_and_never_trap() {
        let (a, b) = ([i32::MAX, 7, -7, i32::MIN, 5], [1i32, 2, 2, -1, 0]);
        let run = |def: &OpDef| single(def, 14).input([5], &a).input([5], &b).tensor().unwrap().slice::<i32>().unwrap().to_vec();
        assert_eq!(run(&ADD), [i32::MIN, 9, -5, i32::MAX, 5]);
        assert_eq!(run(&SUB), [i32::MAX - 1, 5, -9, i32::MIN + 1, 5]);
        assert_eq!(run(&MUL), [i32::MAX, 14, -14, i32::MIN, 0]);
        assert_eq!(run(&DIV), [i32::MAX, 3, -3, i32::MIN, 0]);
        let t = single(&SUB, 14).input([2], &[3u8, 250]).input([], &[4u8]).tensor().unwrap();
        assert_eq!(t.slice::<u8>().unwrap(), [255, 246]);
        assert!(single(&ADD, 13).input([1], &[1u8]).input([1], &[1u8]).tensor().is_err());
        assert!(single(&ADD, 14).input([1], &[1u8]).input([1], &[1i8]).tensor().is_err());
    }

    #[test]
    fn shapes_broadcast() {
        let shapes: [(&[usize], &[usize]); 8] = [
            (&[2, 3], &[2, 3]),
            (&[2, 3], &[]),
            (&[], &[4]),
            (&[100, 7], &[7]),
            (&[100, 1], &[1, 200]),
            (&[3, 1, 5], &[4, 1]),
            (&[90, 300], &[90, 1]),
            (&[0, 3], &[1]),
        ];
        for (a, b) in shapes {
            let x = |dims: &[usize], k: f32| (0..dims.iter().product()).map(|i: usize| i as f32 * k).collect::<Vec<f32>>();
            let out = base::broadcast(a, b).unwrap();
            let (p, q) = (x(a, 2.0), x(b, 0.5));
            let at = |dims: &[usize]| crate::elementwise::indices(dims, &out).unwrap().collect::<Vec<_>>();
            let want: Vec<f64> = at(a).iter().zip(at(b)).map(|(i, j)| f64::from(p[*i]) - f64::from(q[j])).collect();
            let t = single(&SUB, 7).input(a, &p).input(b, &q).tensor().unwrap();
            assert_eq!(&**t.shape(), &*out);
            assert_close(&t, &want, 1e-6, 0.0);
            let halves = |x: &[f32]| x.iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>();
            let t = single(&SUB, 7).input(a, &halves(&p)).input(b, &halves(&q)).tensor().unwrap();
            assert_close(&t, &want, 2e-3, 4.0);
        }
        let e = single(&ADD, 7).input([2, 3], &[0f32; 6]).input([4], &[0f32; 4]).tensor().unwrap_err();
        assert!(e.detail().contains("do not broadcast") || e.detail().contains("cannot be laid"), "{e}");
    }

    #[test]
    fn sixteen_bits_round_once() {
        let one = bf16::ONE;
        let t =
            single(&ADD, 13).input([2], &[one, one]).input([2], &[bf16::from_f32(0.0078125), bf16::from_f32(0.00390625)]).tensor().unwrap();
        assert_close(&t, &[1.0078125, 1.0], 0.0, 0.0);
    }

    #[test]
    fn old_versions_broadcast_when_asked() {
        let a: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let run = |axis: Option<i64>, dims: &[usize], b: &[f32]| {
            let s = single(&ADD, 6).attr("broadcast", 1);
            let s = if let Some(axis) = axis { s.attr("axis", axis) } else { s };
            s.input([2, 3, 4], &a).input(dims, b).tensor()
        };
        let plus = |f: fn(usize) -> f64| (0..24).map(|i| i as f64 + f(i)).collect::<Vec<_>>();
        assert_close(&run(Some(1), &[3], &[10.0, 20.0, 30.0]).unwrap(), &plus(|i| 10.0 * (i / 4 % 3 + 1) as f64), 0.0, 0.0);
        assert_close(&run(Some(-3), &[2], &[10.0, 20.0]).unwrap(), &plus(|i| 10.0 * (i / 12 + 1) as f64), 0.0, 0.0);
        assert_close(&run(None, &[4], &[1.0, 2.0, 3.0, 4.0]).unwrap(), &plus(|i| (i % 4 + 1) as f64), 0.0, 0.0);
        assert_close(&run(Some(0), &[1, 1], &[5.0]).unwrap(), &plus(|_| 5.0), 0.0, 0.0);
        assert!(run(Some(1), &[4], &[0.0; 4]).is_err() && run(Some(3), &[4], &[0.0; 4]).is_err());
        let bare = single(&ADD, 1).attr("consumed_inputs", vec![0i64, 0]).input([24], &a).input([1], &[1f32]).tensor();
        assert!(bare.unwrap_err().detail().contains("laid over"));
    }

    #[test]
    fn quotients_of_sizes() {
        let n = ir::Symbols::default().fresh();
        let known = Dim::Known;
        assert_eq!(quotient(&known(-7), &known(2)), Some(known(-3)));
        assert_eq!(quotient(&known(7), &known(0)), Some(known(0)));
        assert_eq!(quotient(&n.mul(&known(6)), &known(3)), Some(n.mul(&known(2))));
        assert_eq!(quotient(&n, &known(2)), Some(n.floor_div(&known(2))));
        let odd = quotient(&n.sub(&known(3)), &known(2)).unwrap();
        let at = |i: i64| odd.eval(&[Some(i)]).unwrap().unwrap();
        assert_eq!([0, 2, 3, 8].map(at), [-1, 0, 0, 2]);
        assert_eq!(quotient(&n.sub(&known(3)), &n), None);
    }
}
