//! Erf: the error function.

use base::DType;
use op::{OpDef, since};

use crate::elementwise::{Map, SELF, each, floats, for_integers, plain};
use crate::types::{INPUT_OUTPUT, T_FLOATS, T_NUMERIC_V1};

/// Erf of `ai.onnx`. Of integers, which version 9 takes, the result is cut to an integer.
pub static ERF: OpDef = OpDef {
    name: "Erf",
    versions: &[since(9, INPUT_OUTPUT, T_NUMERIC_V1), since(13, INPUT_OUTPUT, T_FLOATS)],
    load: |a| plain(a, |d, _| erf(d)),
    ..SELF
};

fn erf(dtype: DType) -> Option<Box<dyn Map>> {
    floats(dtype, simd::math::Erf, crate::special::erf)
        .or_else(|| for_integers!(dtype, T => each(|x: T| crate::special::erf(x as f64) as T)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn every_type() {
        let x = [0.0, 0.5, -1.0, 6.0, -6.0, f64::NAN];
        let want = x.map(crate::special::erf);
        assert_close(&single(&ERF, 13).input([6], &x).tensor().unwrap(), &want, 1e-15, 0.0);
        assert_close(&single(&ERF, 9).input([2, 3], &x.map(|x| x as f32)).tensor().unwrap(), &want, 1e-6, 0.0);
        assert_close(&single(&ERF, 13).input([6], &x.map(half::f16::from_f64)).tensor().unwrap(), &want, 1e-3, 0.0);
        assert_eq!(single(&ERF, 9).input([3], &[-9i32, 0, 1]).tensor().unwrap().slice::<i32>().unwrap(), [-1, 0, 0]);
    }
}
