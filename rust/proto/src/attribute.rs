//! Attributes of nodes and functions.

use std::borrow::Cow;

use base::{Result, bail, error};

use crate::graph::GraphProto;
use crate::message::message;
use crate::tensor::{SparseTensorProto, TensorProto};
use crate::text::Text;
use crate::types::TypeProto;

message! {
    /// A named attribute: its `type` says which of the other members holds the value.
    pub struct AttributeProto<'a> {
        name: Text<'a> = 1,
        f: Option<f32> = 2,
        i: Option<i64> = 3,
        s: Option<Cow<'a, [u8]>> = 4,
        t: Option<Box<TensorProto<'a>>> = 5,
        g: Option<Box<GraphProto<'a>>> = 6,
        floats: Vec<f32> = 7,
        ints: Vec<i64> = 8,
        strings: Vec<Cow<'a, [u8]>> = 9,
        tensors: Vec<TensorProto<'a>> = 10,
        graphs: Vec<GraphProto<'a>> = 11,
        doc_string: Text<'a> = 13,
        tp: Option<Box<TypeProto<'a>>> = 14,
        type_protos: Vec<TypeProto<'a>> = 15,
        /// A number of [`AttributeType`]; see [`AttributeProto::attribute_type`].
        r#type: Option<i32> = 20,
        /// In a function: the attribute of the call that gives the value.
        ref_attr_name: Text<'a> = 21,
        sparse_tensor: Option<Box<SparseTensorProto<'a>>> = 22,
        sparse_tensors: Vec<SparseTensorProto<'a>> = 23,
    }
}

/// What an attribute holds, with the numbers of `AttributeProto.AttributeType`.
#[allow(missing_docs)] // The variants are the names of the ONNX specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum AttributeType {
    Float = 1,
    Int = 2,
    String = 3,
    Tensor = 4,
    Graph = 5,
    Floats = 6,
    Ints = 7,
    Strings = 8,
    Tensors = 9,
    Graphs = 10,
    SparseTensor = 11,
    SparseTensors = 12,
    TypeProto = 13,
    TypeProtos = 14,
}

impl AttributeType {
    /// Every type, in the order of their numbers.
    const ALL: [Self; 14] = [
        Self::Float,
        Self::Int,
        Self::String,
        Self::Tensor,
        Self::Graph,
        Self::Floats,
        Self::Ints,
        Self::Strings,
        Self::Tensors,
        Self::Graphs,
        Self::SparseTensor,
        Self::SparseTensors,
        Self::TypeProto,
        Self::TypeProtos,
    ];

    /// The type with the given `AttributeProto.AttributeType` number, if there is one.
    pub fn from_proto(number: i32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }
}

impl AttributeProto<'_> {
    /// What the attribute holds: its `type`, or in models older than that field, the one member that is present.
    ///
    /// # Errors
    /// `InvalidGraph` if the type is no number of the specification, or is missing and the members do not tell.
    pub fn attribute_type(&self) -> Result<AttributeType> {
        match self.r#type {
            None | Some(0) => self.type_by_member(),
            Some(number) => AttributeType::from_proto(number)
                .ok_or_else(|| error!(InvalidGraph, "attribute '{}' has type {number}, which does not exist", self.name)),
        }
    }

    fn type_by_member(&self) -> Result<AttributeType> {
        let mut present = AttributeType::ALL.into_iter().filter(|&t| self.holds(t));
        match (present.next(), present.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => bail!(InvalidGraph, "attribute '{}' has neither a type nor a value", self.name),
            (Some(a), Some(b)) => bail!(InvalidGraph, "attribute '{}' has no type and values of two: {a:?} and {b:?}", self.name),
        }
    }

    /// Whether the member for values of type `t` is present.
    pub fn holds(&self, t: AttributeType) -> bool {
        match t {
            AttributeType::Float => self.f.is_some(),
            AttributeType::Int => self.i.is_some(),
            AttributeType::String => self.s.is_some(),
            AttributeType::Tensor => self.t.is_some(),
            AttributeType::Graph => self.g.is_some(),
            AttributeType::Floats => !self.floats.is_empty(),
            AttributeType::Ints => !self.ints.is_empty(),
            AttributeType::Strings => !self.strings.is_empty(),
            AttributeType::Tensors => !self.tensors.is_empty(),
            AttributeType::Graphs => !self.graphs.is_empty(),
            AttributeType::SparseTensor => self.sparse_tensor.is_some(),
            AttributeType::SparseTensors => !self.sparse_tensors.is_empty(),
            AttributeType::TypeProto => self.tp.is_some(),
            AttributeType::TypeProtos => !self.type_protos.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_agree_with_the_table() {
        for (i, t) in AttributeType::ALL.into_iter().enumerate() {
            assert_eq!(t as usize, i + 1);
            assert_eq!(AttributeType::from_proto(t as i32), Some(t));
        }
        assert_eq!(AttributeType::from_proto(0), None);
        assert_eq!(AttributeType::from_proto(15), None);
        assert_eq!(AttributeType::from_proto(-1), None);
    }

    #[test]
    fn the_type_comes_from_the_field_or_the_only_member() {
        let named = AttributeProto { name: "axis".into(), ..Default::default() };
        assert_eq!(named.attribute_type().unwrap_err().detail(), "attribute 'axis' has neither a type nor a value");
        let int = AttributeProto { i: Some(0), ..named.clone() };
        assert_eq!(int.attribute_type().unwrap(), AttributeType::Int);
        let both = AttributeProto { f: Some(0.0), ..int.clone() };
        assert!(both.attribute_type().is_err());
        let said = AttributeProto { r#type: Some(7), ..both };
        assert_eq!(said.attribute_type().unwrap(), AttributeType::Ints);
        let unknown = AttributeProto { r#type: Some(99), ..int };
        assert_eq!(unknown.attribute_type().unwrap_err().detail(), "attribute 'axis' has type 99, which does not exist");
    }
}
