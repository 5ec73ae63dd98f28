//! The inputs and outputs of a model, as a caller sees them.

use std::fmt;

use base::Type;

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// The sizes of its axes; `None` when even their number is unknown, and for anything but tensors.
    pub shape: Option<Vec<PortDim>>,
}

/// The name, the type and the sizes: `images: tensor(float)[batch,1,8,8]`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.ty)?;
        let Some(dims) = &self.shape else { return Ok(()) };
        write!(f, "[{}]", dims.iter().map(PortDim::to_string).collect::<Vec<_>>().join(","))
    }
}

/// The size of an axis, as a model states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortDim {
    /// A number.
    Known(i64),
    /// Any number, the same wherever the name stands.
    Named(String),
    /// Any number.
    Unknown,
}

impl fmt::Display for PortDim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}
