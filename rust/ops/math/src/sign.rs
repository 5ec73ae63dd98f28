//! Abs, Neg, Sign.

use base::DType;
use op::types::{FLOATS, FLOATS_V1};
use op::{OpDef, Since, TypeSet, since};

use crate::elementwise::{Map, SELF, closures, each, each_wide, float_map, for_integers, plain, vector};
use crate::types::{INPUT_OUTPUT, SIGNED, T_FLOATS_V1, T_NUMERIC, T_NUMERIC_V1, X_Y};

const SIGNED_V6: TypeSet = SIGNED.or(FLOATS_V1);
const SIGNED_V13: TypeSet = SIGNED.or(FLOATS);

/// Abs of `ai.onnx`. The smallest integer of a type stays as it is.
pub static ABS: OpDef = OpDef {
    name: "Abs",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_NUMERIC_V1), since(13, X_Y, T_NUMERIC)],
    load: |a| plain(a, |d, _| abs(d)),
    ..SELF
};

/// Neg of `ai.onnx`. The smallest integer of a type stays as it is.
pub static NEG: OpDef = OpDef {
    name: "Neg",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, &[("T", SIGNED_V6)]), since(13, X_Y, &[("T", SIGNED_V13)])],
    load: |a| plain(a, |d, _| neg(d)),
    ..SELF
};

const SIGN_VERSIONS: &[Since] = &[since(9, INPUT_OUTPUT, T_NUMERIC_V1), since(13, INPUT_OUTPUT, T_NUMERIC)];

/// Sign of `ai.onnx`: -1, 0 or 1; NaN stays.
pub static SIGN: OpDef = OpDef { name: "Sign", versions: SIGN_VERSIONS, load: |a| plain(a, |d, _| sign(d)), ..SELF };

fn abs(dtype: DType) -> Option<Box<dyn Map>> {
    signed(dtype, [each(i8::wrapping_abs), each(i16::wrapping_abs), each(i32::wrapping_abs), each(i64::wrapping_abs)])
        .or_else(|| for_integers!(dtype, T => each(|x: T| x)))
        .or_else(|| float_map(dtype, false, vector(simd::math::Abs), each_wide(f64::abs)))
}

fn neg(dtype: DType) -> Option<Box<dyn Map>> {
    signed(dtype, [each(i8::wrapping_neg), each(i16::wrapping_neg), each(i32::wrapping_neg), each(i64::wrapping_neg)])
        .or_else(|| float_map(dtype, false, vector(simd::math::Neg), each_wide(|x: f64| -x)))
}

fn sign(dtype: DType) -> Option<Box<dyn Map>> {
    signed(dtype, [each(i8::signum), each(i16::signum), each(i32::signum), each(i64::signum)])
        .or_else(|| for_integers!(dtype, T => each(|x: T| x.min(1))))
        .or_else(|| {
            closures(
                dtype,
                |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x + 0.0
                    }
                },
                |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x + 0.0
                    }
                },
            )
        })
}

/// The loop of a signed integer type, of those for 8 to 64 bits.
fn signed(dtype: DType, loops: [Box<dyn Map>; 4]) -> Option<Box<dyn Map>> {
    let place = [DType::I8, DType::I16, DType::I32, DType::I64].iter().position(|d| *d == dtype)?;
    loops.into_iter().nth(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn integers_wrap() {
        let x = [i8::MIN, -3, 0, 5, i8::MAX];
        let run = |def| single(def, 13).input([5], &x).tensor().unwrap();
        assert_eq!(run(&ABS).slice::<i8>().unwrap(), [i8::MIN, 3, 0, 5, i8::MAX]);
        assert_eq!(run(&NEG).slice::<i8>().unwrap(), [i8::MIN, 3, 0, -5, -i8::MAX]);
        assert_eq!(run(&SIGN).slice::<i8>().unwrap(), [-1, -1, 0, 1, 1]);
        assert_eq!(single(&SIGN, 9).input([2], &[0u64, u64::MAX]).tensor().unwrap().slice::<u64>().unwrap(), [0, 1]);
        assert_eq!(single(&ABS, 6).input([1], &[u16::MAX]).tensor().unwrap().slice::<u16>().unwrap(), [u16::MAX]);
        assert!(single(&NEG, 13).input([1], &[1u8]).tensor().is_err());
    }

    #[test]
    fn floats_keep_nan_and_signs_of_zero() {
        let x = [f32::NAN, -0.0, 0.0, -2.5, f32::NEG_INFINITY];
        let run = |def| single(def, 13).input([5], &x).tensor().unwrap();
        assert_close(&run(&SIGN), &[f64::NAN, 0.0, 0.0, -1.0, -1.0], 0.0, 0.0);
        assert!(run(&SIGN).slice::<f32>().unwrap()[1].is_sign_positive());
        assert!(run(&NEG).slice::<f32>().unwrap()[2].is_sign_negative());
        assert_close(&run(&ABS), &[f64::NAN, 0.0, 0.0, 2.5, f64::INFINITY], 0.0, 0.0);
        assert_close(&single(&NEG, 1).input([2], &[1.5f64, -2.0]).tensor().unwrap(), &[-1.5, 2.0], 0.0, 0.0);
    }
}
