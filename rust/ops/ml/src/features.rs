//! Features: the numbers that models of this domain read, in whatever type they come.

use std::borrow::Cow;

use base::threads::paced;
use base::{DType, Result, TensorRef, bail, ensure};
use ir::{Dim, Dims};
use op::TypeSet;

/// What features may be.
pub(crate) const FEATURES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F64, DType::I64, DType::I32]);
/// What class labels may be.
pub(crate) const LABELS: TypeSet = TypeSet::tensors(&[DType::String, DType::I64]);

/// Domain and version of what all operators of this crate start from.
pub(crate) const ML: op::OpDef = op::OpDef { domain: "ai.onnx.ml", ..op::OpDef::ONNX };

/// Rows and columns of features; a vector is one row.
///
/// # Errors
/// `InvalidArgument` for other ranks.
pub(crate) fn table(shape: &[usize]) -> Result<(usize, usize)> {
    match shape {
        [columns] => Ok((1, *columns)),
        [rows, columns] => Ok((*rows, *columns)),
        other => bail!(InvalidArgument, "features must have one or two axes, not shape {other:?}"),
    }
}

/// [`table`] of sizes that may be unknown; `None` where even the rank is.
///
/// # Errors
/// `InvalidGraph` for other ranks.
pub(crate) fn table_dims(dims: Option<&[Dim]>) -> Result<Option<(Dim, Dim)>> {
    Ok(match dims {
        None => None,
        Some([columns]) => Some((Dim::Known(1), columns.clone())),
        Some([rows, columns]) => Some((rows.clone(), columns.clone())),
        Some(other) => bail!(InvalidGraph, "features must have one or two axes, not shape {other:?}"),
    })
}

/// The sizes of scores: a row for each row of features, a column for each of `columns` scores.
///
/// # Errors
/// As [`table_dims`].
pub(crate) fn scores_dims(features: Option<&[Dim]>, columns: usize) -> Result<Option<Dims>> {
    Ok(table_dims(features)?.map(|(rows, _)| [rows, Dim::from(columns)].into_iter().collect()))
}

/// The elements of `t` as `f32`.
///
/// # Errors
/// `NotImplemented` for a type that is none of [`FEATURES`].
pub(crate) fn floats<'a>(t: &TensorRef<'a>) -> Result<Cow<'a, [f32]>> {
    Ok(match t.dtype() {
        DType::F32 => Cow::Borrowed(t.slice()?),
        DType::F64 => paced(t.slice::<f64>()?.iter(), 1).map(|&x| x as f32).collect(),
        DType::I64 => paced(t.slice::<i64>()?.iter(), 1).map(|&x| x as f32).collect(),
        DType::I32 => paced(t.slice::<i32>()?.iter(), 1).map(|&x| x as f32).collect(),
        other => bail!(NotImplemented, "features of type {other} are not read"),
    })
}

/// An attribute that counts, as a `usize`.
///
/// # Errors
/// `InvalidGraph` when it is negative.
pub(crate) fn count(name: &str, value: i64) -> Result<usize> {
    let Ok(count) = usize::try_from(value) else { bail!(InvalidGraph, "attribute '{name}' is {value}") };
    ensure!(count < 1 << 40, InvalidGraph, "attribute '{name}' is {value}");
    Ok(count)
}

#[cfg(test)]
mod tests {
    use base::Tensor;

    use super::*;

    #[test]
    fn every_type_is_read() {
        let t = |t: Tensor| floats(&t.as_ref()).unwrap().into_owned();
        assert_eq!(t(Tensor::from_slice([2], &[1i64, -2]).unwrap()), [1.0, -2.0]);
        assert_eq!(t(Tensor::from_slice([2], &[1i32, -2]).unwrap()), [1.0, -2.0]);
        assert_eq!(t(Tensor::from_slice([1], &[0.1f64]).unwrap()), [0.1]);
        assert!(floats(&Tensor::from_slice([1], &[1u8]).unwrap().as_ref()).is_err());
        assert_eq!(table(&[3]).unwrap(), (1, 3));
        assert!(table(&[]).is_err() && table(&[1, 2, 3]).is_err());
    }
}
