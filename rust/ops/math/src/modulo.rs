//! Mod: the remainder of a division.

use base::DType;
use num_traits::Zero;
use op::{Kernels, OpDef, since};

use crate::elementwise::{Binary, Zip, binary, float_zip, for_integers, pairs, unknown};
use crate::types::{T_NUMERIC, T_NUMERIC_V1};

const SIGNATURE: &str = "A:T, B:T -> C:T";

/// Mod of `ai.onnx`. With `fmod` the remainder has the sign of `A`, as in C, else that of `B`. Of integers divided by zero, the
/// remainder is 0.
pub static MOD: OpDef = OpDef {
    name: "Mod",
    versions: &[since(10, SIGNATURE, T_NUMERIC_V1), since(13, SIGNATURE, T_NUMERIC), since(28, SIGNATURE, T_NUMERIC)],
    load: |a| match a.flag("fmod", false)? {
        true => binary(a, truncated, unknown),
        false => binary(a, floored, unknown),
    },
    kernels: Kernels::NONE.cpu::<Binary>(),
    in_place: &[(0, 0), (1, 0)],
    ..OpDef::ONNX
};

fn truncated(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| if b == 0 { 0 } else { a.wrapping_rem(b) }))
        .or_else(|| float_zip(dtype, false, pairs(|a: f32, b: f32| a % b), pairs(|a: f64, b: f64| a % b)))
}

fn floored(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| {
        let r = if b == 0 { 0 } else { a.wrapping_rem(b) };
        if r != 0 && (r < T::zero()) != (b < T::zero()) { r.wrapping_add(b) } else { r }
    }))
    .or_else(|| {
        let single = |a: f32, b: f32| floored_f64(a.into(), b.into()) as f32;
        float_zip(dtype, false, pairs(single), pairs(floored_f64))
    })
}

/// `a - floor(a / b) * b`, with the sign of `b` on zeros too.
fn floored_f64(a: f64, b: f64) -> f64 {
    let r = a % b;
    if r == 0.0 {
        0f64.copysign(b)
    } else if (r < 0.0) != (b < 0.0) {
        r + b
    } else {
        r
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn signs_of_integers() {
        let (a, b) = ([7i32, -7, 7, -7, 6, i32::MIN, 5], [3i32, 3, -3, -3, -3, -1, 0]);
        let run = |fmod: i64| {
            single(&MOD, 13).attr("fmod", fmod).input([7], &a).input([7], &b).tensor().unwrap().slice::<i32>().unwrap().to_vec()
        };
        assert_eq!(run(0), [1, 2, -2, -1, 0, 0, 0]);
        assert_eq!(run(1), [1, -1, 1, -1, 0, 0, 0]);
        let t = single(&MOD, 10).input([2], &[200u8, 7]).input([], &[150u8]).tensor().unwrap();
        assert_eq!(t.slice::<u8>().unwrap(), [50, 7]);
    }

    #[test]
    fn floats_follow_the_specification() {
        let inf = f64::INFINITY;
        let (a, b) = ([7.5, -7.5, 7.5, -6.0, 5.0, inf, 3.0, -3.0, f64::NAN], [2.0, 2.0, -2.0, 3.0, 0.0, 2.0, inf, inf, 1.0]);
        let nan = f64::NAN;
        let floored = [1.5, 0.5, -0.5, 0.0, nan, nan, 3.0, inf, nan];
        let truncated = [1.5, -1.5, 1.5, -0.0, nan, nan, 3.0, -3.0, nan];
        assert_close(&single(&MOD, 28).input([9], &a).input([9], &b).tensor().unwrap(), &floored, 0.0, 0.0);
        assert_close(&single(&MOD, 13).attr("fmod", 1).input([9], &a).input([9], &b).tensor().unwrap(), &truncated, 0.0, 0.0);
        let (a, b) = (a.map(|x| x as f32), b.map(|x| x as f32));
        assert_close(&single(&MOD, 28).input([9], &a).input([9], &b).tensor().unwrap(), &floored, 0.0, 0.0);
        let t = single(&MOD, 28).input([2], &[0f32, -0.0]).input([2], &[-1f32, 1.0]).tensor().unwrap();
        assert_eq!(t.slice::<f32>().unwrap().iter().map(|x| x.is_sign_negative()).collect::<Vec<_>>(), [true, false]);
    }
}
