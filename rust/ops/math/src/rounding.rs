//! Floor, Ceil, Round.

use op::{OpDef, Since, since};

use crate::elementwise::{SELF, each_wide, float_map, plain, vector};
use crate::types::{T_FLOATS, T_FLOATS_V1, X_Y};

const VERSIONS: &[Since] = &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(13, X_Y, T_FLOATS)];

/// Floor of `ai.onnx`.
pub static FLOOR: OpDef = OpDef {
    name: "Floor",
    versions: VERSIONS,
    load: |a| plain(a, |d, _| float_map(d, false, vector(simd::math::Floor), each_wide(f64::floor))),
    ..SELF
};

/// Ceil of `ai.onnx`.
pub static CEIL: OpDef = OpDef {
    name: "Ceil",
    versions: VERSIONS,
    load: |a| plain(a, |d, _| float_map(d, false, vector(simd::math::Ceil), each_wide(f64::ceil))),
    ..SELF
};

/// Round of `ai.onnx`: halves go to the even neighbour.
pub static ROUND: OpDef = OpDef {
    name: "Round",
    versions: &[since(11, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| plain(a, |d, _| float_map(d, false, vector(simd::math::Round), each_wide(f64::round_ties_even))),
    ..SELF
};

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    type Real = fn(f64) -> f64;

    #[test]
    fn halves_and_signs() {
        let x = [-2.5f64, -1.5, -0.5, -0.2, 0.5, 1.5, 2.5, 3.7, f64::NAN, f64::INFINITY, 1e300];
        let cases: [(&OpDef, Real); 3] = [(&FLOOR, f64::floor), (&CEIL, f64::ceil), (&ROUND, f64::round_ties_even)];
        for (def, f) in cases {
            assert_close(&single(def, 13).input([11], &x).tensor().unwrap(), &x.map(f), 0.0, 0.0);
            let (x, want) = (x.map(|x| x as f32), x.map(|x| f((x as f32).into())));
            assert_close(&single(def, 13).input([11], &x).tensor().unwrap(), &want, 0.0, 0.0);
        }
        let x = [2.5f32, -0.5, 3.5].map(half::bf16::from_f32);
        assert_close(&single(&ROUND, 22).input([3], &x).tensor().unwrap(), &[2.0, -0.0, 4.0], 0.0, 0.0);
        assert!(single(&ROUND, 11).input([3], &x).tensor().is_err());
    }
}
