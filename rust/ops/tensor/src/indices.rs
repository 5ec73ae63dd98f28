//! Indices of either integer type, and what they may be.

use base::{DType, Error, Result, TensorRef, error};

/// A dense tensor of indices.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Indices<'a> {
    /// `int32`.
    Short(&'a [i32]),
    /// `int64`.
    Long(&'a [i64]),
}

impl<'a> Indices<'a> {
    /// The elements of `tensor`.
    ///
    /// # Errors
    /// `Fail` when it is of another type or not dense.
    pub(crate) fn of(tensor: &TensorRef<'a>) -> Result<Self> {
        match tensor.dtype() {
            DType::I32 => tensor.slice().map(Self::Short),
            _ => tensor.slice().map(Self::Long),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Short(list) => list.len(),
            Self::Long(list) => list.len(),
        }
    }

    /// Index `i`, which names one of `len` elements: the number of that element.
    ///
    /// # Errors
    /// `InvalidArgument` that names the index when it is outside of `[-len, len - 1]`.
    #[inline]
    pub(crate) fn at(&self, i: usize, len: usize) -> Result<usize> {
        let index = match self {
            Self::Short(list) => list[i].into(),
            Self::Long(list) => list[i],
        };
        wrap(index, len).ok_or_else(|| outside(index, len))
    }
}

/// The element that `index` names of `len`, counting from the end when negative.
#[inline]
pub(crate) fn wrap(index: i64, len: usize) -> Option<usize> {
    let i = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(i).ok().filter(|i| *i < len)
}

#[cold]
fn outside(index: i64, len: usize) -> Error {
    let last = len as i64 - 1;
    error!(InvalidArgument, "indices element out of data bounds, idx={index} must be within the inclusive range [-{len},{last}]")
}
