//! Operators that are a function of each pair of elements of two tensors.

use std::sync::Arc;

use base::{DType, Error, Result, Shape, Type, ensure, error};
use ir::{Dim, Dims, Fact};
use op::{Attrs, CpuKernel, Infer, Op, Prepare, Prepared, Run, broadcast_dims};
use smallvec::SmallVec;

use super::driver::{zip, zip_alike};
use super::loops::Zip;
use super::unary::consumed_inputs;

/// A function of each pair of elements of two tensors.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    /// The loop for a type; `None` for types without one.
    pub(crate) function: fn(DType) -> Option<Box<dyn Zip>>,
    /// The type of the output, if it is not that of the inputs.
    pub(crate) output: Option<DType>,
    /// How the second input is laid over the first.
    pub(crate) align: Align,
    /// The same function of elements that are known as expressions.
    pub(crate) value: fn(&Dim, &Dim) -> Option<Dim>,
}

/// How the second input of an operator is laid over the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Each is broadcast to the other.
    Both,
    /// The second is broadcast to the first.
    ToFirst,
    /// They have one shape: versions 1 and 6 without `broadcast`.
    Same,
    /// The axes of the second stand under those of the first from this one on: versions 1 and 6 with `broadcast` and `axis`, and
    /// PRelu, whose slopes belong to the channels.
    Axis(i64),
}

impl Align {
    /// As the attributes of `a` say.
    ///
    /// # Errors
    /// `InvalidGraph` when they are of the wrong kind.
    pub(crate) fn load(a: &Attrs<'_>) -> Result<Self> {
        if a.since() >= 7 {
            return Ok(Self::Both);
        }
        let axis = a.opt_int("axis")?;
        Ok(match (a.flag("broadcast", false)?, axis) {
            (false, _) => Self::Same,
            (true, None) => Self::ToFirst,
            (true, Some(axis)) => Self::Axis(axis),
        })
    }

    /// The shape of the second input with as many axes as it takes for the rule of broadcasting to lay it where it belongs.
    ///
    /// # Errors
    /// `InvalidGraph` when it has no place there.
    pub(crate) fn place<D: Clone>(self, first: usize, second: &[D], len: usize, one: D) -> Result<SmallVec<[D; 4]>> {
        let mut dims: SmallVec<[D; 4]> = second.into();
        if let Self::Axis(axis) = self
            && len != 1
        {
            let start = if axis < 0 { axis + first as i64 } else { axis };
            let after = usize::try_from(start).ok().and_then(|start| first.checked_sub(start + second.len()));
            let after = after.ok_or_else(|| error!(InvalidGraph, "{} axes from axis {axis} on do not fit {first} axes", second.len()))?;
            dims.extend(std::iter::repeat_n(one, after));
        }
        Ok(dims)
    }

    fn dims(self, a: &[Dim], b: &[Dim]) -> Result<Option<Dims>> {
        let b = self.place(a.len(), b, Shape::checked_len(&known(b)).unwrap_or(0), Dim::Known(1))?;
        let disagree = || error!(InvalidGraph, "Incompatible dimensions: shape {b:?} cannot be laid over {a:?}");
        let out = broadcast_dims(&[Some(a), Some(&b)]).map_err(|_| disagree())?;
        let differ = |x: &[Dim], y: &[Dim]| {
            x.len() != y.len() || x.iter().zip(y).any(|(x, y)| x.known().zip(y.known()).is_some_and(|(x, y)| x != y))
        };
        match self {
            Self::Both => Ok(out),
            Self::Same => {
                ensure!(!differ(a, &b), InvalidGraph, "{}", disagree().detail());
                Ok(out)
            }
            Self::ToFirst | Self::Axis(_) => {
                ensure!(!differ(a, out.as_deref().unwrap_or(a)), InvalidGraph, "{}", disagree().detail());
                Ok(Some(a.into()))
            }
        }
    }

    /// The shape of the output, and the shape in which the second input is broadcast to it.
    pub(crate) fn shapes(self, a: &Shape, b: &Shape) -> Result<(Shape, Shape)> {
        let invalid = |e: Error| e.with_kind(base::ErrorKind::InvalidArgument);
        let placed: Shape = self.place(a.len(), b, Shape::checked_len(b).unwrap_or(0), 1).map_err(invalid)?.iter().copied().collect();
        let out = if *a == placed { a.clone() } else { base::broadcast(a, &placed)? };
        ensure!(self == Self::Both || out == *a, InvalidArgument, "shape {b} cannot be laid over {a}");
        Ok((placed, out))
    }
}

/// Sizes with 0 for those that are not known.
fn known(dims: &[Dim]) -> Shape {
    dims.iter().map(|d| d.size().unwrap_or(0)).collect()
}

impl Op for Binary {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.output.unwrap_or(cx.dtype(0)?);
        let shape = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(a), Some(b)) => self.align.dims(a, b)?,
            _ => None,
        };
        let value = values(cx, dtype, shape.as_deref(), self.value);
        cx.set(0, Fact { shape, value, ..Fact::of(Type::Tensor(dtype)) });
        Ok(())
    }
}

/// The elements of the output, where all inputs are small integer tensors that are known: folded by `f`.
pub(crate) fn values(cx: &Infer<'_>, dtype: DType, shape: Option<&[Dim]>, f: fn(&Dim, &Dim) -> Option<Dim>) -> Option<Arc<[Dim]>> {
    let inputs: SmallVec<[&[Dim]; 2]> = (0..cx.input_count()).map(|i| cx.ints(i)).collect::<Option<_>>()?;
    let len = Shape::checked_len(&shape?.iter().map(Dim::size).collect::<Option<Shape>>()?)?;
    let fits = inputs.iter().all(|x| x.len() == len || x.len() == 1);
    if !matches!(dtype, DType::I32 | DType::I64 | DType::Bool) || !fits || len > ir::SMALL {
        return None;
    }
    let at = |i: usize| inputs.iter().map(move |x| x[if x.len() == 1 { 0 } else { i }].clone());
    let folded = |i: usize| {
        let mut elements = at(i);
        let first = elements.next()?;
        elements.try_fold(first, |a, b| f(&a, &b))
    };
    (0..len).map(folded).collect()
}

impl CpuKernel for Binary {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let from = cx.dtype(0)?;
        let function = (self.function)(from).ok_or_else(|| cx.no_kernel(from))?;
        Ok(Box::new(BinaryKernel { function, from: [from; 2], to: self.output.unwrap_or(from), align: self.align }))
    }
}

/// The kernel of a function of two tensors.
pub(crate) struct BinaryKernel {
    /// The loop.
    pub(crate) function: Box<dyn Zip>,
    /// The types of the inputs.
    pub(crate) from: [DType; 2],
    /// The type of the output.
    pub(crate) to: DType,
    /// How the second input is laid over the first.
    pub(crate) align: Align,
}

impl Prepared for BinaryKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        if zip_alike(cx, &*self.function, self.from, self.to)? {
            return Ok(());
        }
        let (a, b) = (Shape::from(cx.input(0)?.shape()), Shape::from(cx.input(1)?.shape()));
        let (b, out) = self.align.shapes(&a, &b)?;
        zip(cx, &*self.function, self.from, self.to, [&a, &b], &out)
    }
}

/// What `load` gives for a function of two tensors of one type.
///
/// # Errors
/// As [`Align::load`].
pub(crate) fn binary(
    a: &Attrs<'_>,
    function: fn(DType) -> Option<Box<dyn Zip>>,
    value: fn(&Dim, &Dim) -> Option<Dim>,
) -> Result<Box<dyn Op>> {
    consumed_inputs(a);
    Ok(Box::new(Binary { function, output: None, align: Align::load(a)?, value }))
}

/// What `load` gives for a test of two tensors of one type.
///
/// # Errors
/// As [`Align::load`].
pub(crate) fn test(
    a: &Attrs<'_>,
    function: fn(DType) -> Option<Box<dyn Zip>>,
    value: fn(&Dim, &Dim) -> Option<Dim>,
) -> Result<Box<dyn Op>> {
    Ok(Box::new(Binary { function, output: Some(DType::Bool), align: Align::load(a)?, value }))
}

/// For functions of elements that shapes are not computed with.
pub(crate) fn unknown(_: &Dim, _: &Dim) -> Option<Dim> {
    None
}
