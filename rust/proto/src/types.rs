//! Types of values.

use crate::message::{message, oneof};
use crate::text::Text;

message! {
    /// The type of a value.
    pub struct TypeProto<'a> {
        /// What the value stands for, such as `IMAGE`.
        denotation: Text<'a> = 6,
    } oneof value: TypeValue<'a>
}

oneof! {
    /// The kinds of types.
    pub enum TypeValue<'a> {
        /// A dense tensor.
        Tensor(tensor_type: TensorType<'a>) = 1,
        /// A list of values of one type.
        Sequence(sequence_type: SequenceType<'a>) = 4,
        /// A map from integers or strings.
        Map(map_type: MapType<'a>) = 5,
        /// A type known by name only.
        Opaque(opaque_type: OpaqueType<'a>) = 7,
        /// A sparse tensor.
        SparseTensor(sparse_tensor_type: SparseTensorType<'a>) = 8,
        /// A value or nothing.
        Optional(optional_type: OptionalType<'a>) = 9,
    }
}

message! {
    /// `TypeProto.Tensor`; without a shape, of any rank.
    pub struct TensorType<'a> {
        /// A `TensorProto.DataType`.
        elem_type: Option<i32> = 1,
        shape: Option<TensorShapeProto<'a>> = 2,
    }
}

message! {
    /// `TypeProto.SparseTensor`; without a shape, of any rank.
    pub struct SparseTensorType<'a> {
        /// A `TensorProto.DataType`.
        elem_type: Option<i32> = 1,
        shape: Option<TensorShapeProto<'a>> = 2,
    }
}

message! {
    /// `TypeProto.Sequence`.
    pub struct SequenceType<'a> {
        elem_type: Option<Box<TypeProto<'a>>> = 1,
    }
}

message! {
    /// `TypeProto.Map`.
    pub struct MapType<'a> {
        /// A `TensorProto.DataType`: an integer type or string.
        key_type: Option<i32> = 1,
        value_type: Option<Box<TypeProto<'a>>> = 2,
    }
}

message! {
    /// `TypeProto.Optional`.
    pub struct OptionalType<'a> {
        elem_type: Option<Box<TypeProto<'a>>> = 1,
    }
}

message! {
    /// `TypeProto.Opaque`.
    pub struct OpaqueType<'a> {
        domain: Text<'a> = 1,
        name: Text<'a> = 2,
    }
}

message! {
    /// The shape of a tensor.
    pub struct TensorShapeProto<'a> {
        dim: Vec<Dimension<'a>> = 1,
    }
}

message! {
    /// One dimension of a shape; without a value, of any size.
    pub struct Dimension<'a> {
        /// What the dimension stands for, such as `DATA_BATCH`.
        denotation: Text<'a> = 3,
    } oneof value: DimensionValue<'a>
}

oneof! {
    /// The size of a dimension.
    pub enum DimensionValue<'a> {
        /// A known size.
        Value(dim_value: i64) = 1,
        /// The name of a size known later; dimensions of the same name are equal.
        Param(dim_param: Text<'a>) = 2,
    }
}
