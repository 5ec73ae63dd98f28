//! Arrays of mostly zeros: their other elements, and where these stand.

use crate::{DType, Result, Shape, Strings, Tensor, bail, ensure, error};

/// An array of mostly zeros: element `i` of `values` stands where `places` says.
#[derive(Clone, Debug)]
pub struct SparseTensor {
    /// The elements that are not zero: of shape `{nnz}`, or `{blocks, ..}` for blocks.
    pub values: Tensor,
    /// Where they stand.
    pub places: Places,
    /// The shape of the array.
    pub shape: Shape,
}

/// Where the elements of a sparse tensor stand.
#[derive(Clone, Debug)]
pub enum Places {
    /// Coordinates (COO): `int64`, of shape `{nnz}` (flat indices) or `{nnz, rank}`.
    Coo(Tensor),
    /// Rows of a matrix (CSR), both `int64`: the column of each element, and where each row begins, with the end of the last.
    Csr {
        /// Of shape `{nnz}`.
        inner: Tensor,
        /// Of shape `{rows + 1}`, or empty when there are no elements.
        outer: Tensor,
    },
    /// Blocks of a matrix: `int32`, of shape `{2, blocks}`: the rows of the blocks, then their columns, counted in blocks.
    Blocks(Tensor),
}

impl SparseTensor {
    /// The array of `shape` with `values` at `indices`, flat ones or one row of coordinates each.
    ///
    /// # Errors
    /// `InvalidArgument` when values and indices do not go together.
    pub fn coo(values: Tensor, indices: Tensor, shape: Shape) -> Result<Self> {
        let (count, rank) = (values.len(), shape.len());
        ensure!(values.shape().len() == 1, InvalidArgument, "Expecting values 1-D for COO format. Got dims: {}", values.shape().len());
        ensure!(indices.dtype() == DType::I64, InvalidArgument, "COO indices are int64, not {}", indices.dtype());
        let fits = **indices.shape() == [count] || **indices.shape() == [count, rank];
        ensure!(fits, InvalidArgument, "indices of shape {} do not suit {count} values of rank {rank}", indices.shape());
        Ok(Self { values, places: Places::Coo(indices), shape })
    }

    /// The matrix of `shape` with `values` in columns `inner`, its rows beginning at `outer`.
    ///
    /// # Errors
    /// `InvalidArgument` when the shape is no matrix, or values and indices do not go together.
    pub fn csr(values: Tensor, inner: Tensor, outer: Tensor, shape: Shape) -> Result<Self> {
        ensure!(shape.len() == 2, InvalidArgument, "dense shape must 2-D. Got: {}", shape.len());
        ensure!(values.shape().len() == 1, InvalidArgument, "Expecting values 1-D for CSR format. Got dims: {}", values.shape().len());
        for index in [&inner, &outer] {
            let fits = index.dtype() == DType::I64 && index.shape().len() == 1;
            ensure!(fits, InvalidArgument, "CSR indices are int64 in one axis, not {index:?}");
        }
        let (count, columns, rows) = (values.len(), inner.len(), outer.len());
        ensure!(columns == count, InvalidArgument, "Expecting inner index size: {columns} the same as values size: {count}");
        let fits = rows == shape[0] + 1 || (rows == 0 && count == 0);
        ensure!(fits, InvalidArgument, "Outer index count must be rows + 1 or zero. Got: {rows} rows: {}", shape[0]);
        Ok(Self { values, places: Places::Csr { inner, outer }, shape })
    }

    /// The array of `shape` with blocks `values` (`{blocks, ..}`) at `indices`.
    ///
    /// # Errors
    /// `InvalidArgument` when values and indices do not go together.
    pub fn blocks(values: Tensor, indices: Tensor, shape: Shape) -> Result<Self> {
        let rank = values.shape().len();
        ensure!(rank >= 3, InvalidArgument, "Expecting to have at lest 3-D shape. Got:{rank}");
        ensure!(indices.dtype() == DType::I32, InvalidArgument, "block-sparse indices are int32, not {}", indices.dtype());
        ensure!(indices.shape().len() == 2, InvalidArgument, "Expecting indices to have 2-D shape . Got: {}", indices.shape().len());
        let fits = **indices.shape() == [2, values.shape()[0]];
        ensure!(fits, InvalidArgument, "indices of shape {} do not suit values of shape {}", indices.shape(), values.shape());
        Ok(Self { values, places: Places::Blocks(indices), shape })
    }

    /// The flat index of each value, checked.
    ///
    /// # Errors
    /// `InvalidGraph` when an index lies outside the shape; `NotImplemented` for blocks.
    pub fn flat_indices(&self) -> Result<Vec<usize>> {
        let total = Shape::checked_len(&self.shape);
        let total = total.ok_or_else(|| error!(InvalidGraph, "a sparse tensor of shape {} is too large", self.shape))?;
        match &self.places {
            Places::Coo(indices) => self.flat_of_coordinates(indices, total),
            Places::Csr { inner, outer } => self.flat_of_rows(inner.slice()?, outer.slice()?),
            Places::Blocks(_) => bail!(NotImplemented, "block-sparse tensors cannot be taken apart"),
        }
    }

    fn flat_of_coordinates(&self, indices: &Tensor, total: usize) -> Result<Vec<usize>> {
        let (count, rank) = (self.values.len(), self.shape.len());
        let list = indices.slice::<i64>()?;
        if **indices.shape() == [count] {
            return list.iter().map(|i| self.inside(*i, total)).collect();
        }
        let fits = **indices.shape() == [count, rank];
        ensure!(fits, InvalidGraph, "indices of shape {} do not suit {count} values of rank {rank}", indices.shape());
        if rank == 0 {
            return Ok(vec![0; count.min(1)]);
        }
        let flat = |tuple: &[i64]| tuple.iter().zip(&*self.shape).try_fold(0, |at, (i, len)| Ok(at * len + self.inside(*i, *len)?));
        list.chunks_exact(rank).map(flat).collect()
    }

    fn flat_of_rows(&self, inner: &[i64], outer: &[i64]) -> Result<Vec<usize>> {
        let [_, columns] = self.shape[..] else { bail!(InvalidGraph, "rows of a sparse tensor of shape {}", self.shape) };
        let mut flat = Vec::with_capacity(inner.len());
        for (row, bounds) in outer.windows(2).enumerate() {
            let (from, to) = (self.inside(bounds[0], inner.len() + 1)?, self.inside(bounds[1], inner.len() + 1)?);
            ensure!(from == flat.len() && from <= to, InvalidGraph, "row {row} of a sparse tensor ends before it begins");
            for column in &inner[from..to] {
                flat.push(row * columns + self.inside(*column, columns)?);
            }
        }
        ensure!(flat.len() == inner.len(), InvalidGraph, "rows hold {} of {} sparse values", flat.len(), inner.len());
        Ok(flat)
    }

    fn inside(&self, index: i64, len: usize) -> Result<usize> {
        let found = usize::try_from(index).ok().filter(|i| *i < len);
        found.ok_or_else(|| error!(InvalidGraph, "index {index} lies outside of a sparse tensor of shape {}", self.shape))
    }

    /// The array with its zeros; empty text for strings.
    ///
    /// # Errors
    /// Those of [`flat_indices`](Self::flat_indices); `Fail` when the array is too large.
    pub fn to_dense(&self) -> Result<Tensor> {
        let places = self.flat_indices()?;
        let mut out = Tensor::zeros(self.values.dtype(), self.shape.clone())?;
        if let Ok(values) = self.values.as_ref().strings() {
            let mut all = vec![""; out.len()];
            places.iter().zip(values.iter()).for_each(|(&p, v)| all[p] = v);
            return Tensor::from_strings(self.shape.clone(), all.iter().collect::<Strings>());
        }
        let dtype = self.values.dtype();
        let size = dtype.size().ok_or_else(|| error!(NotImplemented, "a sparse tensor of {dtype}"))?;
        let values = self.values.as_ref().bytes()?;
        let bytes = out.as_mut()?.bytes()?;
        for (&p, v) in places.iter().zip(values.chunks_exact(size)) {
            bytes[p * size..][..size].copy_from_slice(v);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Tensor {
        Tensor::from_slice([2], &[5f32, 6.]).unwrap()
    }

    fn ints(shape: &[usize], list: &[i64]) -> Tensor {
        Tensor::from_slice(shape, list).unwrap()
    }

    fn dense(s: Result<SparseTensor>) -> Result<Vec<f32>> {
        Ok(s?.to_dense()?.slice::<f32>()?.to_vec())
    }

    #[test]
    fn all_forms_mean_the_same() {
        let expected = [0., 5., 0., 0., 0., 6.];
        let shape = || Shape::from([2, 3]);
        assert_eq!(dense(SparseTensor::coo(values(), ints(&[2], &[1, 5]), shape())).unwrap(), expected);
        assert_eq!(dense(SparseTensor::coo(values(), ints(&[2, 2], &[0, 1, 1, 2]), shape())).unwrap(), expected);
        assert_eq!(dense(SparseTensor::csr(values(), ints(&[2], &[1, 2]), ints(&[3], &[0, 1, 2]), shape())).unwrap(), expected);
    }

    #[test]
    fn indices_are_checked() {
        let coo = |list: &[i64]| dense(SparseTensor::coo(values(), ints(&[2], list), [2, 3].into()));
        assert!(coo(&[0, 5]).is_ok());
        assert!(coo(&[0, 6]).is_err() && coo(&[-1, 0]).is_err());
        let csr = |inner: &[i64], outer: &[i64]| {
            dense(SparseTensor::csr(values(), ints(&[inner.len()], inner), ints(&[outer.len()], outer), [2, 3].into()))
        };
        assert!(csr(&[0, 2], &[0, 2, 2]).is_ok());
        for (inner, outer) in [(&[0, 3][..], &[0, 2, 2][..]), (&[0, 1], &[0, 3, 2]), (&[0, 1], &[1, 2, 2]), (&[0, 1], &[0, 1, 1])] {
            assert!(csr(inner, outer).is_err(), "{inner:?} {outer:?}");
        }
        assert!(SparseTensor::coo(values(), ints(&[3], &[0, 1, 2]), [2, 3].into()).is_err());
        assert!(SparseTensor::blocks(values(), ints(&[2], &[0, 1]), [4, 4].into()).is_err());
    }

    #[test]
    fn strings_stand_between_empty_ones() {
        let words = Tensor::from_strings([1], ["a"].iter().collect()).unwrap();
        let sparse = SparseTensor::coo(words, ints(&[1], &[1]), [2].into()).unwrap();
        assert_eq!(sparse.to_dense().unwrap().as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["", "a"]);
    }
}
