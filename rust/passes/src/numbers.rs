//! Elements of constants as numbers, for rules that compute with them.

use base::{DType, Result, Shape, Tensor, bail};
use half::{bf16, f16};

/// The elements of a dense tensor of the host, if its type is one of the usual numbers.
pub(crate) fn numbers(t: &Tensor) -> Option<Vec<f64>> {
    if !t.memory().is_host() {
        return None;
    }
    Some(match t.dtype() {
        DType::F32 => t.slice::<f32>().ok()?.iter().map(|&x| x.into()).collect(),
        DType::F64 => t.slice::<f64>().ok()?.to_vec(),
        DType::F16 => t.slice::<f16>().ok()?.iter().map(|x| x.to_f64()).collect(),
        DType::BF16 => t.slice::<bf16>().ok()?.iter().map(|x| x.to_f64()).collect(),
        DType::I32 => t.slice::<i32>().ok()?.iter().map(|&x| x.into()).collect(),
        DType::I64 => t.slice::<i64>().ok()?.iter().map(|&x| x as f64).collect(),
        _ => return None,
    })
}

/// A tensor of floats with these elements, each rounded once.
///
/// # Errors
/// `Fail` for types that are no floats.
pub fn tensor_of(dtype: DType, shape: impl Into<Shape>, elements: &[f64]) -> Result<Tensor> {
    match dtype {
        DType::F32 => Tensor::from_slice(shape, &elements.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::from_slice(shape, elements),
        DType::F16 => Tensor::from_slice(shape, &elements.iter().map(|&x| f16::from_f64(x)).collect::<Vec<_>>()),
        DType::BF16 => Tensor::from_slice(shape, &elements.iter().map(|&x| bf16::from_f64(x)).collect::<Vec<_>>()),
        other => bail!(Fail, "{other} is no float type that constants are computed in"),
    }
}

/// Whether `x` is `expected` as far as `dtype` can tell: constants are rounded to the type of the model.
pub(crate) fn is_near(x: f64, expected: f64, dtype: DType) -> bool {
    let tolerance = match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 8e-3,
        _ => 1e-5,
    };
    (x - expected).abs() <= tolerance * expected.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            assert_eq!(numbers(&tensor_of(dtype, [3], &[0.5, -2.0, 0.0]).unwrap()).unwrap(), [0.5, -2.0, 0.0]);
        }
        assert!(tensor_of(DType::I32, [1], &[1.0]).is_err());
        assert_eq!(numbers(&Tensor::from_slice([1], &[true]).unwrap()), None);
    }
}
