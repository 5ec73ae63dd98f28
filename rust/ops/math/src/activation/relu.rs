//! Relu and its kin: LeakyRelu, PRelu, ThresholdedRelu, Shrink.

use base::DType;
use num_traits::Zero;
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, Kernels, Layouts, Op, OpDef, TypeSet, since};

use crate::cast::Cut;
use crate::elementwise::{
    Align, Binary, Map, SELF, Zip, closures, consumed_inputs, each, each_wide, float_map, float_zip, for_integers, pairs, pairs_wide,
    plain, unknown, vector, with,
};
use crate::types::{INPUT_OUTPUT, SIGNED, T_FLOATS, T_FLOATS_V1, T_NUMERIC_V1, X_Y};

/// Relu of `ai.onnx`: `max(x, 0)`; NaN stays.
pub static RELU: OpDef = OpDef {
    name: "Relu",
    versions: &[
        since(1, X_Y, T_FLOATS_V1),
        since(6, X_Y, T_FLOATS_V1),
        since(13, X_Y, T_FLOATS),
        since(14, X_Y, &[("T", SIGNED.or(FLOATS))]),
    ],
    load: |a| plain(a, |d, _| relu(d)),
    ..SELF
};

/// LeakyRelu of `ai.onnx`: `x` where not negative, else `alpha x`.
pub static LEAKY_RELU: OpDef = OpDef {
    name: "LeakyRelu",
    versions: &[since(1, X_Y, T_FLOATS_V1), since(6, X_Y, T_FLOATS_V1), since(16, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 0.01)?, 0.0], |d, [alpha, _]| leaky(d, alpha)),
    ..SELF
};

/// ThresholdedRelu of `ai.onnx`: `x` above `alpha`, else 0.
pub static THRESHOLDED_RELU: OpDef = OpDef {
    name: "ThresholdedRelu",
    versions: &[since(10, X_Y, T_FLOATS_V1), since(22, X_Y, T_FLOATS)],
    load: |a| with(a, [a.float("alpha", 1.0)?, 0.0], |d, [alpha, _]| thresholded(d, alpha)),
    ..SELF
};

/// Shrink of `ai.onnx`: `x - bias` above `lambd`, `x + bias` below `-lambd`, else 0. Integers are computed as `f64` and cut.
pub static SHRINK: OpDef = OpDef {
    name: "Shrink",
    versions: &[since(9, INPUT_OUTPUT, T_NUMERIC_V1)],
    load: |a| with(a, [a.float("bias", 0.0)?, a.float("lambd", 0.5)?], shrink),
    ..SELF
};

const PRELU: &str = "X:T, slope:T -> Y:T";
const PRELU_TYPES: TypeSet = TypeSet::tensors(&[DType::U32, DType::U64, DType::I32, DType::I64]);

/// PRelu of `ai.onnx`: `x` where not negative, else `slope x`. Before version 7, slopes belong to the channels, axis 1.
pub static P_RELU: OpDef = OpDef {
    name: "PRelu",
    versions: &[
        since(1, PRELU, T_FLOATS_V1),
        since(6, PRELU, T_FLOATS_V1),
        since(7, PRELU, T_FLOATS_V1),
        since(9, PRELU, &[("T", PRELU_TYPES.or(FLOATS_V1))]),
        since(16, PRELU, &[("T", PRELU_TYPES.or(FLOATS))]),
    ],
    load: load_prelu,
    kernels: Kernels::NONE.cpu::<Binary>().cuda::<Binary>(),
    in_place: &[(0, 0)],
    layouts: Layouts::Follows,
    ..OpDef::ONNX
};

fn load_prelu(a: &Attrs<'_>) -> base::Result<Box<dyn Op>> {
    consumed_inputs(a);
    let align = if a.since() < 7 { Align::Axis(1) } else { Align::ToFirst };
    Ok(Box::new(Binary { function: prelu, output: None, align, value: unknown }))
}

fn relu(dtype: DType) -> Option<Box<dyn Map>> {
    for_integers!(dtype, T => each(|x: T| x.max(T::zero())))
        .or_else(|| float_map(dtype, false, vector(simd::math::Relu), each_wide(|x: f64| if x < 0.0 { 0.0 } else { x })))
}

fn leaky(dtype: DType, alpha: f32) -> Option<Box<dyn Map>> {
    let slope = f64::from(alpha);
    float_map(dtype, false, vector(simd::math::LeakyRelu(alpha)), each_wide(move |x: f64| if x < 0.0 { slope * x } else { x }))
}

fn thresholded(dtype: DType, alpha: f32) -> Option<Box<dyn Map>> {
    let threshold = f64::from(alpha);
    closures(dtype, move |x| if x > alpha { x } else { 0.0 }, move |x| if x > threshold { x } else { 0.0 })
}

fn shrink(dtype: DType, [bias, lambd]: [f32; 2]) -> Option<Box<dyn Map>> {
    let single = move |x: f32| {
        if x > lambd {
            x - bias
        } else if x < -lambd {
            x + bias
        } else {
            0.0
        }
    };
    let (shift, limit) = (f64::from(bias), f64::from(lambd));
    let double = move |x: f64| {
        if x > limit {
            x - shift
        } else if x < -limit {
            x + shift
        } else {
            0.0
        }
    };
    closures(dtype, single, double).or_else(|| for_integers!(dtype, T => each(move |x: T| T::cut(double(x as f64)))))
}

fn prelu(dtype: DType) -> Option<Box<dyn Zip>> {
    // Of an unsigned integer, no value is negative.
    for_integers!(dtype, T => pairs(|x: T, slope: T| if x < T::zero() { x.wrapping_mul(slope) } else { x })).or_else(|| {
        let single = |x: f32, slope: f32| if x < 0.0 { x * slope } else { x };
        float_zip(dtype, false, pairs_wide(single), pairs_wide(|x: f64, slope: f64| if x < 0.0 { x * slope } else { x }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn negative_values_and_nan() {
        let x = [-2f32, -0.0, 0.5, 3.0, f32::NAN];
        let run = |def: &OpDef| single(def, 16).input([5], &x).tensor().unwrap();
        let nan = f64::NAN;
        assert_close(&run(&RELU), &[0.0, 0.0, 0.5, 3.0, nan], 0.0, 0.0);
        assert_close(&run(&LEAKY_RELU), &[-0.02, 0.0, 0.5, 3.0, nan], 1e-7, 0.0);
        assert_close(&run(&THRESHOLDED_RELU), &[0.0, 0.0, 0.0, 3.0, 0.0], 0.0, 0.0);
        assert_close(&run(&SHRINK), &[-2.0, 0.0, 0.0, 3.0, 0.0], 0.0, 0.0);
        assert_eq!(single(&RELU, 14).input([3], &[-1i8, 0, 5]).tensor().unwrap().slice::<i8>().unwrap(), [0, 0, 5]);
        assert!(single(&RELU, 13).input([3], &[-1i8, 0, 5]).tensor().is_err());
    }

    #[test]
    fn shrink_of_integers_is_cut() {
        let t = single(&SHRINK, 9).attr("bias", 1.5f32).attr("lambd", 1.5f32).input([5], &[-3i32, -1, 0, 1, 3]).tensor().unwrap();
        assert_eq!(t.slice::<i32>().unwrap(), [-1, 0, 0, 0, 1]);
        let t = single(&SHRINK, 9).attr("bias", 2.0f32).input([3], &[0u8, 1, 3]).tensor().unwrap();
        assert_eq!(t.slice::<u8>().unwrap(), [0, 255, 1]);
    }

    #[test]
    fn slopes_by_channel_and_by_the_rule() {
        let x = [-1f32, 1.0, -1.0, -2.0, -1.0, 4.0];
        let old = single(&P_RELU, 6).input([1, 2, 3], &x).input([2], &[2f32, 3.0]).tensor().unwrap();
        assert_close(&old, &[-2.0, 1.0, -2.0, -6.0, -3.0, 4.0], 0.0, 0.0);
        let new = single(&P_RELU, 7).input([1, 2, 3], &x).input([3], &[1f32, 2.0, 3.0]).tensor().unwrap();
        assert_close(&new, &[-1.0, 1.0, -3.0, -2.0, -2.0, 4.0], 0.0, 0.0);
        let one = single(&P_RELU, 1).input([1, 2, 3], &x).input([1], &[0.5f32]).tensor().unwrap();
        assert_close(&one, &[-0.5, 1.0, -0.5, -1.0, -0.5, 4.0], 0.0, 0.0);
        let e = single(&P_RELU, 9).input([2], &[1i32, -2]).input([2, 2], &[1i32, 2, 3, 4]).tensor().unwrap_err();
        assert!(e.detail().contains("cannot be laid over"), "{e}");
        assert_eq!(single(&P_RELU, 9).input([2], &[5i64, -2]).input([], &[3i64]).tensor().unwrap().slice::<i64>().unwrap(), [5, -6]);
    }
}
