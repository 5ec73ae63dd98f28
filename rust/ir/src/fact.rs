//! What is known of a value before anything runs.

use std::sync::Arc;

use base::{DType, Layout, Result, Shape, Tensor, Type, Value, bail};
use smallvec::SmallVec;

use crate::{Dim, Symbols, ValueId};

/// Sizes of axes, outermost first.
pub type Dims = SmallVec<[Dim; 4]>;

/// Integer tensors of at most this many elements carry their elements as a fact: shapes, axes, repeats.
pub const SMALL: usize = 64;

/// What is known of a value before anything runs.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The type.
    pub ty: Type,
    /// The sizes of the axes; `None` while even their number is unknown, and for anything but tensors.
    pub shape: Option<Dims>,
    /// How the elements will lie.
    pub layout: Layout,
    /// The elements, row-major, of a small integer or boolean tensor.
    pub value: Option<Arc<[Dim]>>,
    /// The whole value, if the model fixes it.
    pub constant: Option<Value>,
}

impl Fact {
    /// A value of type `ty` of which no more is known.
    pub fn of(ty: Type) -> Self {
        Self { ty, shape: None, layout: Layout::Dense, value: None, constant: None }
    }

    /// A dense tensor of known rank.
    pub fn tensor(dtype: DType, shape: impl IntoIterator<Item = Dim>) -> Self {
        Self { shape: Some(shape.into_iter().collect()), ..Self::of(Type::Tensor(dtype)) }
    }

    /// A small integer tensor of shape `{values.len()}` (or no axes, if `scalar`) whose elements are `values`.
    pub fn ints(dtype: DType, values: impl IntoIterator<Item = Dim>, scalar: bool) -> Self {
        let values: Arc<[Dim]> = values.into_iter().collect();
        let shape = if scalar { None } else { Some(Dim::from(values.len())) };
        let value = (values.len() <= SMALL).then_some(values);
        Self { value, ..Self::tensor(dtype, shape) }
    }

    /// A value that the model fixes.
    pub fn constant(value: Value) -> Self {
        let Value::Tensor(t) = &value else { return Self { ty: value.ty(), constant: Some(value.clone()), ..Self::of(value.ty()) } };
        let elements = small_elements(t);
        let shape = t.shape().iter().map(|&d| Dim::from(d)).collect();
        Self { shape: Some(shape), value: elements, layout: t.layout().clone(), ty: value.ty(), constant: Some(value) }
    }

    /// The element type, if it is a tensor.
    pub fn dtype(&self) -> Option<DType> {
        match self.ty {
            Type::Tensor(d) => Some(d),
            _ => None,
        }
    }

    /// The number of axes, if known.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(|s| s.len())
    }

    /// The shape, if every size is a number and a tensor can have it.
    pub fn known_shape(&self) -> Option<Shape> {
        self.shape.as_ref()?.iter().map(Dim::size).collect::<Option<Shape>>().filter(|shape| Shape::checked_len(shape).is_some())
    }

    /// The elements of a small integer tensor, if every one is a number.
    pub fn known_ints(&self) -> Option<SmallVec<[i64; 8]>> {
        self.value.as_ref()?.iter().map(Dim::known).collect()
    }

    /// The tensor that the model fixes it to, if it does.
    pub fn constant_tensor(&self) -> Option<&Tensor> {
        match &self.constant {
            Some(Value::Tensor(t)) => Some(t),
            _ => None,
        }
    }

    /// What is known of a value that is one of `self` and `other`: sizes that differ become fresh symbols.
    ///
    /// # Errors
    /// `InvalidGraph` when the types differ.
    pub fn join(&self, other: &Fact, symbols: &mut Symbols) -> Result<Fact> {
        if self.ty != other.ty {
            bail!(InvalidGraph, "the value is of type {} on one way and {} on another", self.ty, other.ty);
        }
        let shape = match (&self.shape, &other.shape) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b).map(|(a, b)| if a == b { a.clone() } else { symbols.fresh() }).collect())
            }
            _ => None,
        };
        Ok(Fact { shape, ..Fact::of(self.ty.clone()) })
    }

    /// Whether a value that fits `self` always fits `other`, as far as both are known.
    pub fn agrees_with(&self, other: &Fact) -> bool {
        let shapes = match (&self.shape, &other.shape) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b)),
            _ => true,
        };
        self.ty == other.ty && shapes
    }
}

fn small_elements(t: &Tensor) -> Option<Arc<[Dim]>> {
    if t.len() > SMALL || !t.memory().is_host() {
        return None;
    }
    match t.dtype() {
        DType::I64 => Some(t.slice::<i64>().ok()?.iter().map(|&v| Dim::Known(v)).collect()),
        DType::I32 => Some(t.slice::<i32>().ok()?.iter().map(|&v| Dim::Known(v.into())).collect()),
        DType::Bool => Some(t.slice::<bool>().ok()?.iter().map(|&v| Dim::Known(v.into())).collect()),
        _ => None,
    }
}

/// The facts of a graph's values, and the symbols that they speak of.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The symbols in the facts.
    pub symbols: Symbols,
    of: Vec<Option<Fact>>,
}

impl Facts {
    /// What is known of `value`, if anything is.
    pub fn get(&self, value: ValueId) -> Option<&Fact> {
        self.of.get(value.index())?.as_ref()
    }

    /// What is known of `value`.
    ///
    /// # Errors
    /// `Fail` when inference has not reached it.
    pub fn fact(&self, value: ValueId) -> Result<&Fact> {
        self.get(value).ok_or_else(|| base::error!(Fail, "nothing is known of value {value:?}"))
    }

    /// Records `fact` of `value`.
    pub fn set(&mut self, value: ValueId, fact: Fact) {
        if self.of.len() <= value.index() {
            self.of.resize_with(value.index() + 1, || None);
        }
        self.of[value.index()] = Some(fact);
    }
}
