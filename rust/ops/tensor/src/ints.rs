//! Integers that early versions of an operator take as an attribute and later ones as an input.

use base::Result;
use ir::Dim;
use op::{Attrs, Infer, Run, Sizes};
use smallvec::SmallVec;

/// A short list of integers.
pub(crate) type List = SmallVec<[i64; 8]>;

/// Where an operator has its axes, shape, or sizes from.
#[derive(Clone, Debug)]
pub(crate) enum Ints {
    /// The node does not say.
    Absent,
    /// An attribute.
    Fixed(Vec<i64>),
    /// The input of this number.
    Input(usize),
}

impl Ints {
    /// Attribute `name`, if given.
    ///
    /// # Errors
    /// `InvalidGraph` when it is no list of integers.
    pub(crate) fn attribute(a: &Attrs<'_>, name: &str) -> Result<Self> {
        Ok(a.opt_ints(name)?.map_or(Self::Absent, |v| Self::Fixed(v.to_vec())))
    }

    /// Input `i`, if given.
    pub(crate) fn input(a: &Attrs<'_>, i: usize) -> Self {
        if a.has_input(i) { Self::Input(i) } else { Self::Absent }
    }

    /// Whether the node does not say.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The integers as far as inference knows them; `None` when it does not, or when they are absent.
    pub(crate) fn inferred(&self, cx: &Infer<'_>) -> Option<Vec<Dim>> {
        match self {
            Self::Absent => None,
            Self::Fixed(list) => Some(list.iter().map(|&n| Dim::Known(n)).collect()),
            Self::Input(i) => cx.ints(*i).map(<[Dim]>::to_vec),
        }
    }

    /// The integers, if inference knows each as a number.
    pub(crate) fn known(&self, cx: &Infer<'_>) -> Option<Vec<i64>> {
        self.inferred(cx)?.iter().map(Dim::known).collect()
    }

    /// How many there are, as far as inference knows.
    pub(crate) fn count(&self, cx: &Infer<'_>) -> Option<usize> {
        match self {
            Self::Absent => None,
            Self::Fixed(list) => Some(list.len()),
            Self::Input(i) => cx.dims(*i).ok()??.first().map_or(Some(1), Dim::size),
        }
    }

    /// The integers while a plan is bound; `None` when they are absent.
    ///
    /// # Errors
    /// `Fail` when they are not known by then.
    pub(crate) fn bound(&self, sizes: &Sizes<'_>) -> Result<Option<List>> {
        match self {
            Self::Absent => Ok(None),
            Self::Fixed(list) => Ok(Some(list.as_slice().into())),
            Self::Input(i) => match sizes.ints.get(*i).copied().flatten() {
                Some(list) => Ok(Some(list.into())),
                None => Err(base::error!(Fail, "input {i} is not known while the plan is bound")),
            },
        }
    }

    /// The integers at run time; `None` when they are absent.
    ///
    /// # Errors
    /// `Fail` when the input is no tensor of integers.
    pub(crate) fn run(&self, cx: &Run<'_>) -> Result<Option<List>> {
        match self {
            Self::Absent => Ok(None),
            Self::Fixed(list) => Ok(Some(list.as_slice().into())),
            Self::Input(i) => Ok(Some(cx.input(*i)?.ints()?)),
        }
    }
}
