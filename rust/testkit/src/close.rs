//! Comparing values.

use base::{DType, Tensor, Value};
use half::{bf16, f16};

/// Panics unless both values have the same type, shape and bits.
pub fn assert_equal(a: &Value, b: &Value) {
    assert_eq!(a.ty(), b.ty());
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => {
            assert_eq!(a.shape(), b.shape());
            match a.as_ref().strings() {
                Ok(strings) => assert_eq!(strings, b.as_ref().strings().expect("types agree")),
                Err(_) => assert_eq!(dense(a).as_ref().bytes().expect("dense"), dense(b).as_ref().bytes().expect("dense")),
            }
        }
        (Value::Sequence(a), Value::Sequence(b)) => {
            assert_eq!(a.values.len(), b.values.len());
            a.values.iter().zip(&b.values).for_each(|(a, b)| assert_equal(a, b));
        }
        (Value::Optional(a), Value::Optional(b)) => match (&a.value, &b.value) {
            (Some(a), Some(b)) => assert_equal(a, b),
            (a, b) => assert_eq!(a.is_some(), b.is_some()),
        },
        (Value::Map(a), Value::Map(b)) => {
            assert_equal(&a.keys.clone().into(), &b.keys.clone().into());
            a.values.iter().zip(&b.values).for_each(|(a, b)| assert_equal(a, b));
        }
        (Value::Sparse(a), Value::Sparse(b)) => {
            assert_eq!(a.shape, b.shape);
            assert_equal(&a.values.clone().into(), &b.values.clone().into());
            assert_eq!(a.flat_indices().expect("checked indices"), b.flat_indices().expect("checked indices"));
        }
        _ => panic!("{a:?} is not {b:?}"),
    }
}

fn dense(t: &Tensor) -> Tensor {
    Tensor::copy_of(t.as_ref()).expect("a tensor of the host")
}

/// Panics unless `actual` has the elements `expected`, each within `absolute + relative * |expected|`; NaN equals NaN.
pub fn assert_close(actual: &Tensor, expected: &[f64], relative: f64, absolute: f64) {
    let actual = floats(actual);
    assert_eq!(actual.len(), expected.len(), "the number of elements differs");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let same = a == e || (a.is_nan() && e.is_nan());
        assert!(same || (a - e).abs() <= absolute + relative * e.abs(), "element {i} is {a}, not {e}");
    }
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = dense(t);
    match t.dtype() {
        DType::F32 => t.slice::<f32>().expect("f32").iter().map(|&x| x.into()).collect(),
        DType::F64 => t.slice::<f64>().expect("f64").to_vec(),
        DType::F16 => t.slice::<f16>().expect("f16").iter().map(|x| x.to_f64()).collect(),
        DType::BF16 => t.slice::<bf16>().expect("bf16").iter().map(|x| x.to_f64()).collect(),
        other => panic!("{other} is no float type that can be compared"),
    }
}
