//! Sparse initializers, which nodes read as dense tensors.

use base::{Result, Shape, SparseTensor, Tensor, ensure, error};

/// The dense tensor with the elements of `sparse`.
///
/// # Errors
/// `InvalidGraph` when an index lies outside the shape; `Fail` when the dense tensor is too large.
pub(crate) fn to_dense(sparse: &SparseTensor) -> Result<Tensor> {
    let size = sparse.values.dtype().size().ok_or_else(|| error!(NotImplemented, "sparse {}", sparse.values.dtype()))?;
    let (count, rank) = (sparse.values.len(), sparse.shape.len());
    let indices = sparse.indices.slice::<i64>()?;
    let flat = sparse.indices.shape().len() == 1;
    ensure!(indices.len() == if flat { count } else { count * rank }, InvalidGraph, "{count} sparse values have {} indices", indices.len());
    let mut dense = Tensor::zeros(sparse.values.dtype(), sparse.shape.clone())?;
    let len = dense.len();
    let values = sparse.values.as_ref().bytes()?;
    let bytes = dense.as_mut()?.bytes()?;
    for (i, value) in values.chunks_exact(size).enumerate() {
        let index = if flat { place(&indices[i..=i], &[len]) } else { place(&indices[i * rank..(i + 1) * rank], &sparse.shape) };
        let index = index.ok_or_else(|| error!(InvalidGraph, "sparse index {i} lies outside shape {}", sparse.shape))?;
        bytes[index * size..(index + 1) * size].copy_from_slice(value);
    }
    Ok(dense)
}

fn place(index: &[i64], shape: &[usize]) -> Option<usize> {
    debug_assert!(Shape::checked_len(shape).is_some());
    index.iter().zip(shape).try_fold(0usize, |flat, (&i, &d)| {
        let i = usize::try_from(i).ok().filter(|i| *i < d)?;
        Some(flat * d + i)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_checked() {
        let sparse = |i: i64| SparseTensor {
            values: Tensor::from_slice([1], &[5f32]).unwrap(),
            indices: Tensor::from_slice([1, 2], &[0, i]).unwrap(),
            shape: [1, 2].into(),
        };
        assert_eq!(to_dense(&sparse(1)).unwrap().slice::<f32>().unwrap(), [0., 5.]);
        assert!(to_dense(&sparse(2)).is_err());
        assert!(to_dense(&sparse(-1)).is_err());
    }
}
