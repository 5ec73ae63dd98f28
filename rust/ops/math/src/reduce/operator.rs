//! What all reductions share as operators: attributes, inference, the kernel.

use std::sync::Arc;

use base::{DType, Result, Shape, Type, axis_index, ensure, error};
use ir::{Dim, Dims, Fact};
use op::{Attrs, CpuKernel, Infer, Op, Prepare, Prepared, Run};
use smallvec::SmallVec;

use super::driver::Reduction;
use super::fold::Reduce;
use super::plan::Plan;
use super::{Kind, fold_of};
use crate::elementwise::{Target, check_apart};

/// A reduction: its kind and what its attributes say.
#[derive(Clone, Debug)]
pub(super) struct ReduceOp {
    kind: Kind,
    keepdims: bool,
    /// Whether no axes mean none; else they mean all.
    noop: bool,
    /// The axes that an attribute gives. Later versions have an input for them.
    axes: Option<Vec<i64>>,
}

/// Reads the attributes of a reduction.
///
/// # Errors
/// `InvalidGraph` for attributes of the wrong kind.
pub(super) fn load(a: &Attrs<'_>, kind: Kind) -> Result<Box<dyn Op>> {
    let input_since = if kind == Kind::Sum { 13 } else { 18 };
    let by_input = a.since() >= input_since;
    Ok(Box::new(ReduceOp {
        kind,
        keepdims: a.flag("keepdims", true)?,
        noop: by_input && a.flag("noop_with_empty_axes", false)?,
        axes: if by_input { None } else { a.opt_ints("axes")?.map(<[i64]>::to_vec) },
    }))
}

/// For each of up to 64 axes, whether it is reduced.
#[derive(Clone, Copy)]
struct Reduced(u64);

impl ReduceOp {
    /// Which of `rank` axes `axes` names.
    fn reduced(&self, axes: &[i64], rank: usize) -> Result<Reduced> {
        ensure!(rank <= 64, InvalidArgument, "a tensor of rank {rank} cannot be reduced");
        if axes.is_empty() {
            return Ok(Reduced(if self.noop { 0 } else { u64::MAX }));
        }
        axes.iter().try_fold(Reduced(0), |set, &axis| Ok(Reduced(set.0 | 1 << axis_index(axis, rank)?)))
    }

    fn output<D: Clone>(&self, dims: &[D], reduced: Reduced, one: &D) -> SmallVec<[D; 4]> {
        let kept = |(i, d): (usize, &D)| match (reduced.has(i), self.keepdims) {
            (false, _) => Some(d.clone()),
            (true, true) => Some(one.clone()),
            (true, false) => None,
        };
        dims.iter().enumerate().filter_map(kept).collect()
    }

    /// The sizes that an input of sizes `shape` is reduced to, and which of its axes go; `given` is what input 1 says.
    pub(super) fn reduction(&self, shape: &[usize], given: Option<&[i64]>) -> Result<(Shape, impl Fn(usize) -> bool)> {
        let axes = self.axes.as_deref().or(given).unwrap_or_default();
        let reduced = self.reduced(axes, shape.len())?;
        Ok((self.output(shape, reduced, &1).iter().copied().collect(), move |i| reduced.has(i)))
    }

    /// The axes, as far as they are known before the run.
    fn known_axes(&self, cx: &Infer<'_>) -> Option<Vec<i64>> {
        match (&self.axes, cx.optional(1)) {
            (Some(axes), _) => Some(axes.clone()),
            (None, None) => Some(Vec::new()),
            (None, Some(fact)) => match cx.known_ints(1) {
                None if fact.shape.as_ref().is_some_and(|s| s.contains(&Dim::Known(0))) => Some(Vec::new()),
                known => known,
            },
        }
    }

    /// Sizes when the axes are not known: the rank at most.
    fn guess(&self, cx: &mut Infer<'_>, rank: usize) -> Option<Dims> {
        if self.keepdims {
            return Some(cx.fresh_dims(rank));
        }
        let axes = cx.optional(1)?.shape.as_ref()?.first()?.size()?;
        Some(cx.fresh_dims(rank.checked_sub(axes)?))
    }

    /// The one element of the output, where the input is a small vector of integers that is known.
    fn value(&self, cx: &Infer<'_>, dtype: DType, dims: &[Dim], reduced: Reduced) -> Option<Arc<[Dim]>> {
        let all = (0..dims.len()).all(|i| reduced.has(i)) && matches!(dtype, DType::I32 | DType::I64);
        let elements = cx.ints(0).filter(|_| all)?;
        let (first, rest) = elements.split_first()?;
        let fold: fn(&Dim, &Dim) -> Dim = match self.kind {
            Kind::Sum => Dim::add,
            Kind::Prod => Dim::mul,
            Kind::Max => Dim::larger,
            Kind::Min => Dim::smaller,
            _ => return None,
        };
        Some([rest.iter().fold(first.clone(), |a, b| fold(&a, b))].into())
    }
}

impl Reduced {
    fn has(self, axis: usize) -> bool {
        self.0 >> axis.min(63) & 1 != 0
    }
}

impl Op for ReduceOp {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            let shape = (!self.keepdims && !self.noop && self.known_axes(cx).is_some_and(|a| a.is_empty())).then(Dims::new);
            cx.tensor(0, dtype, shape);
            return Ok(());
        };
        let Some(axes) = self.known_axes(cx) else {
            let shape = self.guess(cx, dims.len());
            cx.tensor(0, dtype, shape);
            return Ok(());
        };
        let reduced = self.reduced(&axes, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let value = self.value(cx, dtype, dims, reduced);
        let shape = Some(self.output(dims, reduced, &Dim::Known(1)));
        cx.set(0, Fact { shape, value, ..Fact::of(Type::Tensor(dtype)) });
        Ok(())
    }
}

impl CpuKernel for ReduceOp {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let reduce = fold_of(self.kind, dtype).ok_or_else(|| cx.no_kernel(dtype))?;
        Ok(Box::new(Kernel { op: self.clone(), reduce, dtype }))
    }
}

struct Kernel {
    op: ReduceOp,
    reduce: Box<dyn Reduce>,
    dtype: DType,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        let given = cx.optional(1)?.map(|axes| axes.ints()).transpose()?;
        let (dims, reduced) = self.op.reduction(&shape, given.as_deref())?;
        cx.allocate(0, self.dtype, dims.clone())?;
        let (input, output) = (cx.input(0)?, cx.output(0)?);
        ensure!(input.dtype() == self.dtype && output.shape() == &*dims, Fail, "{output:?} is not what {input:?} reduces to, {dims}");
        let size = self.dtype.size().ok_or_else(|| error!(Fail, "{} has no size", self.dtype))?;
        let (bytes, out) = (input.bytes()?, output.address());
        ensure!(output.memory().is_host() && output.layout().is_dense(&dims), Fail, "a dense output of the host is needed, not {output:?}");
        check_apart((bytes.as_ptr(), bytes.len()), (out, output.len() * size), false)?;
        let plan = Plan::new(&shape, reduced);
        let reduction = Reduction { reduce: &*self.reduce, plan: &plan, input: bytes.as_ptr(), size, output: Target::new(out, size) };
        // SAFETY: the input holds the elements of its shape, and the output those of the shape reduced, apart from it.
        unsafe { reduction.run() };
        Ok(())
    }
}
