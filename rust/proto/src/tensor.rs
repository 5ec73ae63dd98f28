//! Tensors as models store them: their type, shape and fields. Their data is in [`tensor_data`](crate::tensor_data).

use std::borrow::Cow;

use base::{DType, Result, Shape, bail, ensure, error};

use crate::array::Array;
use crate::message::message;
use crate::model::StringStringEntryProto;
use crate::text::Text;

/// Most dimensions a tensor may have: numpy's limit.
pub const MAX_RANK: usize = 64;

message! {
    /// A tensor. Its elements are in `raw_data`, in the array for its type, or in another file.
    pub struct TensorProto<'a> {
        dims: Vec<i64> = 1,
        /// A `TensorProto.DataType`; see [`TensorProto::dtype`].
        data_type: Option<i32> = 2,
        segment: Option<Segment> = 3,
        /// Elements of `float` and `complex64`.
        float_data: Array<'a, f32> = 4,
        /// Elements of types of at most 32 bits that no other array is for.
        int32_data: Array<'a, i32> = 5,
        /// Elements of `string`.
        string_data: Vec<Cow<'a, [u8]>> = 6,
        /// Elements of `int64`.
        int64_data: Array<'a, i64> = 7,
        name: Text<'a> = 8,
        /// Little-endian elements, several to a byte for types below 8 bits.
        raw_data: Option<Cow<'a, [u8]>> = 9,
        /// Elements of `double` and `complex128`.
        double_data: Array<'a, f64> = 10,
        /// Elements of `uint32` and `uint64`.
        uint64_data: Array<'a, u64> = 11,
        doc_string: Text<'a> = 12,
        external_data: Vec<StringStringEntryProto<'a>> = 13,
        /// A number of [`DataLocation`].
        data_location: Option<i32> = 14,
        metadata_props: Vec<StringStringEntryProto<'a>> = 16,
    }
}

message! {
    /// `TensorProto.Segment`: which part of a larger tensor this one holds.
    pub struct Segment {
        begin: Option<i64> = 1,
        end: Option<i64> = 2,
    }
}

message! {
    /// A sparse tensor: `values` of shape `[n]`, and their `indices` of shape `[n]` or `[n, rank]` in a tensor of shape `dims`.
    pub struct SparseTensorProto<'a> {
        values: Option<Box<TensorProto<'a>>> = 1,
        indices: Option<Box<TensorProto<'a>>> = 2,
        dims: Vec<i64> = 3,
    }
}

/// Where a tensor's elements are, with the numbers of `TensorProto.DataLocation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum DataLocation {
    /// In the message.
    Default = 0,
    /// In another file.
    External = 1,
}

impl TensorProto<'_> {
    /// The element type.
    ///
    /// # Errors
    /// `Fail` if the type is missing or no number of the specification.
    pub fn dtype(&self) -> Result<DType> {
        let number = self.data_type.unwrap_or_default();
        DType::from_proto(number).ok_or_else(|| error!(Fail, "tensor '{}' has data type {number}, which does not exist", self.name))
    }

    /// The dimensions, none of them negative.
    ///
    /// # Errors
    /// `Fail` if there are more than [`MAX_RANK`], or one is negative or too large for this machine.
    pub fn shape(&self) -> Result<Vec<usize>> {
        let rank = self.dims.len();
        ensure!(rank <= MAX_RANK, Fail, "tensor '{}' has rank {rank}, above the limit of {MAX_RANK}", self.name);
        let size = |&dim| usize::try_from(dim).map_err(|_| error!(Fail, "tensor '{}' has a dimension of {dim}", self.name));
        self.dims.iter().map(size).collect()
    }

    /// The number of elements.
    ///
    /// # Errors
    /// As [`shape`](TensorProto::shape), and `Fail` if the product overflows.
    pub fn element_count(&self) -> Result<usize> {
        let shape = self.shape()?;
        let count = Shape::checked_len(&shape);
        count.ok_or_else(|| error!(Fail, "tensor '{}' of shape {shape:?} has more elements than can be counted", self.name))
    }

    /// Bytes that the elements take when stored.
    ///
    /// # Errors
    /// As [`dtype`](TensorProto::dtype) and [`element_count`](TensorProto::element_count), and `Fail` for strings.
    pub fn byte_size(&self) -> Result<usize> {
        let (dtype, count) = (self.dtype()?, self.element_count()?);
        ensure!(dtype != DType::String, Fail, "tensor '{}' of strings has no fixed size", self.name);
        let bytes = dtype.bytes_of(count);
        bytes.ok_or_else(|| error!(Fail, "tensor '{}' of {count} elements of {dtype} takes more bytes than can be counted", self.name))
    }

    /// Where the elements are.
    ///
    /// # Errors
    /// `Fail` if the location is no number of the specification.
    pub fn location(&self) -> Result<DataLocation> {
        match self.data_location {
            None | Some(0) => Ok(DataLocation::Default),
            Some(1) => Ok(DataLocation::External),
            Some(other) => bail!(Fail, "tensor '{}' has data location {other}, which does not exist", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_dims(dims: &[i64]) -> TensorProto<'static> {
        TensorProto { name: "w".into(), data_type: Some(11), dims: dims.to_vec(), ..Default::default() }
    }

    #[test]
    fn counts_elements() {
        assert_eq!(of_dims(&[]).element_count().unwrap(), 1);
        assert_eq!(of_dims(&[3, 5]).element_count().unwrap(), 15);
        assert_eq!(of_dims(&[1 << 40, 7, 0]).element_count().unwrap(), 0);
        assert_eq!(of_dims(&[1; 64]).byte_size().unwrap(), 8);
    }

    #[test]
    fn refuses_shapes_that_cannot_be() {
        let detail = |dims: &[i64]| of_dims(dims).element_count().unwrap_err().detail().to_owned();
        assert_eq!(detail(&[2, -1]), "tensor 'w' has a dimension of -1");
        assert_eq!(detail(&[0, i64::MIN]), "tensor 'w' has a dimension of -9223372036854775808");
        assert_eq!(detail(&[1; 65]), "tensor 'w' has rank 65, above the limit of 64");
        assert!(detail(&[1 << 40, 1 << 40]).contains("more elements than can be counted"));
        assert!(detail(&[0, 1 << 40, 1 << 40]).contains("more elements than can be counted"));
    }

    #[test]
    fn refuses_unknown_types_and_places() {
        let odd = TensorProto { data_type: Some(99), data_location: Some(7), ..of_dims(&[1]) };
        assert_eq!(odd.dtype().unwrap_err().detail(), "tensor 'w' has data type 99, which does not exist");
        assert_eq!(odd.location().unwrap_err().detail(), "tensor 'w' has data location 7, which does not exist");
        let strings = TensorProto { data_type: Some(8), ..of_dims(&[1]) };
        assert!(strings.byte_size().is_err());
        assert!(TensorProto::default().dtype().is_err());
    }
}
