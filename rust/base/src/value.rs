//! What an input or output of a model can be.

use std::fmt;
use std::sync::Arc;

use crate::{DType, Element, Result, SparseTensor, Tensor, bail};

/// The type of a value, as ONNX writes it: `tensor(float)`, `seq(tensor(int64))`, `optional(..)`, `map(..)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// An array.
    Tensor(DType),
    /// An array of mostly zeros, kept as coordinates and values.
    Sparse(DType),
    /// A list of values of one type.
    Sequence(Box<Type>),
    /// A dictionary from integers or strings.
    Map(DType, Box<Type>),
    /// A value or nothing.
    Optional(Box<Type>),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(d) => write!(f, "tensor({d})"),
            Self::Sparse(d) => write!(f, "sparse_tensor({d})"),
            Self::Sequence(t) => write!(f, "seq({t})"),
            Self::Map(k, t) => write!(f, "map({k},{t})"),
            Self::Optional(t) => write!(f, "optional({t})"),
        }
    }
}

/// What an input or output of a model can be. Cloning shares the contents.
#[derive(Clone, Debug)]
pub enum Value {
    /// An array.
    Tensor(Tensor),
    /// An array of mostly zeros.
    Sparse(Arc<SparseTensor>),
    /// A list.
    Sequence(Arc<Sequence>),
    /// A dictionary.
    Map(Arc<Map>),
    /// A value or nothing.
    Optional(Arc<Optional>),
}

/// A list of values of one type.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The type of every element.
    pub element: Type,
    /// The elements.
    pub values: Vec<Value>,
}

/// A dictionary: `keys[i]` maps to element `i` of `values`.
#[derive(Clone, Debug)]
pub struct Map {
    /// Integers or strings, of shape `{n}`.
    pub keys: Tensor,
    /// The type of every value.
    pub value: Type,
    /// One value a key.
    pub values: Vec<Value>,
}

/// A value or nothing.
#[derive(Clone, Debug)]
pub struct Optional {
    /// The type of the value, if there is one.
    pub element: Type,
    /// The value.
    pub value: Option<Value>,
}

impl Value {
    /// The type of the value.
    pub fn ty(&self) -> Type {
        match self {
            Self::Tensor(t) => Type::Tensor(t.dtype()),
            Self::Sparse(s) => Type::Sparse(s.values.dtype()),
            Self::Sequence(s) => Type::Sequence(Box::new(s.element.clone())),
            Self::Map(m) => Type::Map(m.keys.dtype(), Box::new(m.value.clone())),
            Self::Optional(o) => Type::Optional(Box::new(o.element.clone())),
        }
    }

    /// The tensor that this value is.
    ///
    /// # Errors
    /// `InvalidArgument` when it is something else.
    pub fn tensor(&self) -> Result<&Tensor> {
        match self {
            Self::Tensor(t) => Ok(t),
            other => bail!(InvalidArgument, "a tensor is needed, not {}", other.ty()),
        }
    }

    /// The shape and the elements, row-major, of the dense tensor that this value is.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no tensor; as [`Tensor::slice`] when it is one of another type or layout.
    pub fn elements<T: Element>(&self) -> Result<(&[usize], &[T])> {
        let tensor = self.tensor()?;
        Ok((tensor.shape(), tensor.slice()?))
    }

    /// The sequence that this value is.
    ///
    /// # Errors
    /// `InvalidArgument` when it is something else.
    pub fn sequence(&self) -> Result<&Arc<Sequence>> {
        match self {
            Self::Sequence(s) => Ok(s),
            other => bail!(InvalidArgument, "a sequence is needed, not {}", other.ty()),
        }
    }
}

impl From<Tensor> for Value {
    fn from(t: Tensor) -> Self {
        Self::Tensor(t)
    }
}

impl From<Sequence> for Value {
    fn from(s: Sequence) -> Self {
        Self::Sequence(Arc::new(s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_as_onnx_writes_them() {
        let t = Type::Map(DType::I64, Box::new(Type::Sequence(Box::new(Type::Tensor(DType::F32)))));
        assert_eq!(t.to_string(), "map(int64,seq(tensor(float)))");
        assert_eq!(Type::Optional(Box::new(Type::Sparse(DType::F64))).to_string(), "optional(sparse_tensor(double))");
    }
}
