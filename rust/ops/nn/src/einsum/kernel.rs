//! The kernel of Einsum: terms are multiplied one after the other, each product a batch of matrix products.

use std::marker::PhantomData;

use base::threads::{Pace, pieces};
use base::{DType, Result, Shape, TensorMut, TensorRef, bail, ensure};
use gemm::{Batch, Epilogue, Mat, MatMut, Scalar, gemm_batched, scratch_len};
use half::{bf16, f16};
use op::{Prepared, Run, Sizes};

use super::equation::{Equation, Label, sizes};
use crate::conv::windows::elements;
use crate::widen::take;

/// A type that products are summed in: `f32` for the shorter floats; for integers one as wide, or wider, that wraps alike.
pub(super) trait Sum: Scalar<Acc = Self> {
    /// `self + other`, wrapping.
    fn plus(self, other: Self) -> Self;
    /// Element `i` of a tensor whose type is summed in this one.
    fn get(t: &TensorRef<'_>, i: usize) -> Result<Self>;
    /// Writes all elements.
    fn put(from: &[Self], to: TensorMut<'_>) -> Result<()>;
}

/// Elements between checkpoints.
const PIECE: usize = 1 << 15;

macro_rules! read_and_write {
    ($s:ty; $($d:ident: $t:ty, $in:expr, $out:expr;)*) => {
        fn get(t: &TensorRef<'_>, i: usize) -> Result<Self> {
            match t.dtype() {
                $(DType::$d => Ok($in(t.slice::<$t>()?[i])),)*
                other => bail!(NotImplemented, "Einsum has no kernel for {other}"),
            }
        }

        fn put(from: &[Self], to: TensorMut<'_>) -> Result<()> {
            match to.dtype() {
                $(DType::$d => {
                    let to = to.slice::<$t>()?;
                    for piece in pieces(to.len(), PIECE) {
                        to[piece.clone()].iter_mut().zip(&from[piece]).for_each(|(to, v)| *to = $out(*v));
                    }
                })*
                other => bail!(NotImplemented, "Einsum has no kernel for {other}"),
            }
            Ok(())
        }
    };
}

impl Sum for f32 {
    fn plus(self, other: Self) -> Self {
        self + other
    }

    read_and_write! { f32;
        F32: f32, |v: f32| v, |v: f32| v;
        F16: f16, f16::to_f32, f16::from_f32;
        BF16: bf16, bf16::to_f32, bf16::from_f32;
    }
}

impl Sum for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }

    read_and_write! { f64; F64: f64, |v: f64| v, |v: f64| v; }
}

impl Sum for i32 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    read_and_write! { i32;
        I32: i32, |v: i32| v, |v: i32| v;
        U32: u32, |v: u32| v as i32, |v: i32| v as u32;
        I16: i16, i32::from, |v: i32| v as i16;
        U16: u16, i32::from, |v: i32| v as u16;
        I8: i8, i32::from, |v: i32| v as i8;
        U8: u8, i32::from, |v: i32| v as u8;
    }
}

impl Sum for i64 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }

    read_and_write! { i64;
        I64: i64, |v: i64| v, |v: i64| v;
        U64: u64, |v: u64| v as i64, |v: i64| v as u64;
    }
}

/// The kernel, summing in `S`.
pub(super) struct Kernel<S> {
    pub(super) equation: Equation,
    pub(super) sum: PhantomData<S>,
}

/// One product: its operands brought into the order `[batch, rows, inner]` and `[batch, inner, columns]`.
#[derive(Debug)]
struct Step {
    left: Vec<Label>,
    right: Vec<Label>,
    result: Vec<Label>,
    batch: usize,
    rows: usize,
    inner: usize,
    columns: usize,
}

/// All steps for concrete sizes.
struct Plan {
    sizes: Vec<(Label, usize)>,
    inputs: Vec<Vec<Label>>,
    output: Vec<Label>,
    steps: Vec<Step>,
    /// What is left of the first term, where there is no step.
    shape: Shape,
}

impl Plan {
    fn new(equation: &Equation, shapes: &[Shape]) -> Result<Self> {
        let ranks: Vec<usize> = shapes.iter().map(|s| s.len()).collect();
        let (inputs, output) = equation.labels(&ranks)?;
        let sizes = sizes(&inputs, shapes)?;
        let mut plan = Self { shape: Shape::default(), sizes, inputs, output, steps: Vec::new() };
        plan.shape = plan.output.iter().map(|l| plan.size(*l)).collect();
        let mut labels = plan.inputs[0].clone();
        for i in 1..plan.inputs.len() {
            let step = plan.step(&labels, i);
            labels.clone_from(&step.result);
            plan.steps.push(step);
        }
        Ok(plan)
    }

    fn size(&self, label: Label) -> usize {
        self.sizes.iter().find(|(l, _)| *l == label).map_or(1, |(_, n)| *n)
    }

    fn product(&self, labels: &[Label]) -> usize {
        labels.iter().map(|l| self.size(*l)).product()
    }

    /// The product of what has labels `left` by input `i`.
    fn step(&self, left: &[Label], i: usize) -> Step {
        let right = &self.inputs[i];
        let needed = |l: &Label| self.output.contains(l) || self.inputs[i + 1..].iter().any(|t| t.contains(l));
        let unique = |from: &[Label]| {
            let mut seen: Vec<Label> = Vec::new();
            from.iter().for_each(|l| {
                if !seen.contains(l) {
                    seen.push(*l)
                }
            });
            seen
        };
        let (left, right) = (unique(left), unique(right));
        let pick = |from: &[Label], f: &dyn Fn(&Label) -> bool| from.iter().copied().filter(|l| f(l)).collect::<Vec<_>>();
        let batch = pick(&left, &|l| right.contains(l) && needed(l));
        let inner = pick(&left, &|l| right.contains(l) && !needed(l));
        let rows = pick(&left, &|l| !right.contains(l) && needed(l));
        let columns = pick(&right, &|l| !left.contains(l) && needed(l));
        Step {
            batch: self.product(&batch),
            rows: self.product(&rows),
            inner: self.product(&inner),
            columns: self.product(&columns),
            left: [&batch[..], &rows, &inner].concat(),
            right: [&batch[..], &inner, &columns].concat(),
            result: [&batch[..], &rows, &columns].concat(),
        }
    }

    /// Bytes of the arrays that a run needs: both operands and the result of the largest step, the last result, and the product's own.
    fn scratch<S: Sum>(&self) -> usize {
        let [left, right, result] = self.most();
        let product = |s: &Step| scratch_len::<S>(s.batch, s.rows, s.columns, s.inner, false, false);
        let output = self.shape.iter().product::<usize>();
        let arrays = [left, right, result, result, output].iter().map(|n| padded::<S>(*n)).sum::<usize>();
        arrays + self.steps.iter().map(product).max().unwrap_or(0)
    }

    fn most(&self) -> [usize; 3] {
        let most = |f: fn(&Step) -> usize| self.steps.iter().map(f).max().unwrap_or(0);
        [most(|s| s.batch * s.rows * s.inner), most(|s| s.batch * s.inner * s.columns), most(|s| s.batch * s.rows * s.columns)]
    }
}

fn padded<S>(len: usize) -> usize {
    (len * size_of::<S>()).next_multiple_of(64)
}

/// Adds the elements of an array with labels `from` (and these sizes) to one with labels `to`, in the order of `to`; labels that it has not
/// are summed over, an axis of size 1 is repeated.
fn arrange<S: Sum>(
    plan: &Plan,
    from: &[Label],
    shape: &[usize],
    get: impl Fn(usize) -> Result<S>,
    to: &[Label],
    out: &mut [S],
) -> Result<()> {
    let strides = base::dense_strides(shape);
    let stride = |label: Label| {
        let own = from.iter().zip(shape).zip(&strides).filter(|((l, n), _)| **l == label && **n != 1);
        own.map(|(_, s)| *s as usize).sum::<usize>()
    };
    let axis = |l: Label| (plan.size(l), stride(l));
    let kept: Vec<(usize, usize)> = to.iter().map(|l| axis(*l)).collect();
    let mut summed: Vec<Label> = from.iter().copied().filter(|l| !to.contains(l)).collect();
    summed.sort();
    summed.dedup();
    // An axis of size 1 that stands for a larger one counts once: its term is not multiplied by how often it is repeated.
    let own_size = |l: Label| from.iter().zip(shape).filter(|(m, _)| **m == l).map(|(_, n)| *n).max().unwrap_or(1);
    let summed: Vec<(usize, usize)> = summed.into_iter().map(|l| (own_size(l), stride(l))).collect();
    let count: usize = summed.iter().map(|(n, _)| n).product();
    let offset = |mut i: usize, axes: &[(usize, usize)]| {
        let mut offset = 0;
        for (n, s) in axes.iter().rev() {
            offset += i % n * s;
            i /= n;
        }
        offset
    };
    let pace = Pace::default();
    for (i, out) in out.iter_mut().enumerate() {
        pace.spend(16);
        let start = offset(i, &kept);
        *out = match count {
            1 => get(start)?,
            _ => (0..count).try_fold(S::default(), |sum, j| {
                pace.spend(8);
                Ok::<S, base::Error>(sum.plus(get(start + offset(j, &summed))?))
            })?,
        };
    }
    Ok(())
}

impl<S: Sum> Kernel<S> {
    fn compute(&self, plan: &Plan, cx: &Run<'_>) -> Result<()> {
        let y = cx.output(0)?;
        ensure!(y.shape() == &*plan.shape, Fail, "the output has shape {}, not {}", Shape::from(y.shape()), plan.shape);
        let mut scratch = cx.scratch::<u8>()?;
        let mut room = |len: usize| {
            let bytes = padded::<S>(len).min(scratch.len());
            elements::<S>(take(&mut scratch, bytes)?, len)
        };
        let [left, right, result] = plan.most();
        let (left, right) = (room(left)?, room(right)?);
        let (mut old, mut new, out) = (room(result)?, room(result)?, room(plan.shape.iter().product())?);
        let product = scratch;
        let mut labels = plan.inputs[0].clone();
        for (i, step) in plan.steps.iter().enumerate() {
            let (a, b) = (&mut left[..step.batch * step.rows * step.inner], &mut right[..step.batch * step.inner * step.columns]);
            if i == 0 {
                let x = cx.input(0)?;
                arrange(plan, &labels, x.shape(), |j| S::get(&x, j), &step.left, a)?;
            } else {
                let shape: Shape = labels.iter().map(|l| plan.size(*l)).collect();
                arrange(plan, &labels, &shape, |j| Ok(old[j]), &step.left, a)?;
            }
            let x = cx.input(i + 1)?;
            arrange(plan, &plan.inputs[i + 1], x.shape(), |j| S::get(&x, j), &step.right, b)?;
            multiply(step, a, b, &mut new[..step.batch * step.rows * step.columns], product)?;
            std::mem::swap(&mut old, &mut new);
            labels.clone_from(&step.result);
        }
        match plan.steps.is_empty() {
            true => {
                let x = cx.input(0)?;
                arrange(plan, &labels, x.shape(), |j| S::get(&x, j), &plan.output, out)?;
            }
            false => {
                let shape: Shape = labels.iter().map(|l| plan.size(*l)).collect();
                arrange(plan, &labels, &shape, |j| Ok(old[j]), &plan.output, out)?;
            }
        }
        S::put(out, y)
    }
}

/// The batch of products of one step.
fn multiply<S: Sum>(step: &Step, a: &[S], b: &[S], c: &mut [S], scratch: &mut [u8]) -> Result<()> {
    let (dims, m, n, k) = ([step.batch], step.rows, step.columns, step.inner);
    let strides = [[m * k], [k * n], [m * n]];
    let batch = Batch { dims: &dims, a: &strides[0], b: &strides[1], c: &strides[2] };
    if c.is_empty() {
        return Ok(());
    }
    let (a, b) = (Mat::row_major(a, m, k)?, Mat::row_major(b, k, n)?);
    gemm_batched(&batch, a, b, &Epilogue::default(), MatMut::row_major(c, m, n)?, scratch)
}

impl<S: Sum> Prepared for Kernel<S> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let shapes: Option<Vec<Shape>> = sizes.inputs.iter().map(|s| s.map(Shape::from)).collect();
        let plan = shapes.and_then(|shapes| Plan::new(&self.equation, &shapes).ok());
        plan.map_or(0, |plan| plan.scratch::<S>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shapes: Vec<Shape> = (0..cx.input_count()).map(|i| Ok(cx.input(i)?.shape().into())).collect::<Result<_>>()?;
        ensure!(!shapes.is_empty(), InvalidArgument, "Einsum of no inputs");
        let plan = Plan::new(&self.equation, &shapes)?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, plan.shape.clone())?;
        self.compute(&plan, cx)
    }
}
