//! The kernel of Resize: nearest elements are gathered, others are blended axis by axis.

use std::sync::{Arc, Mutex, PoisonError};

use base::threads::{Pace, SharedMut, pieces};
use base::{DType, Element, Result, Shape, Strings, TensorMut, TensorRef, bail, ensure};
use half::{bf16, f16};
use op::{Prepare, Prepared, Run, Sizes};
use simd::{Simd, dispatch};
use smallvec::SmallVec;

use super::coordinates::{AxisPlan, Mode, Table};
use super::plan::{Resize, constant, numbers};
use crate::chunks::{for_rows, rows_per_chunk};
use crate::floats::{cast, cast_mut};
use crate::real::Real;

/// The kernel for one node.
pub(super) struct Kernel {
    op: Resize,
    /// Constant scales, sizes and region.
    scales: Option<Vec<f32>>,
    sizes: Option<Vec<i64>>,
    roi: Option<Vec<f64>>,
    /// The tables of the last sizes.
    last: Mutex<Option<Arc<Tables>>>,
}

/// All axes with their tables.
struct Tables {
    plans: Vec<AxisPlan>,
    axes: Vec<Table>,
}

impl Tables {
    fn output(&self) -> Shape {
        self.plans.iter().map(|p| p.output).collect()
    }
}

impl Kernel {
    pub(super) fn prepare(op: &Resize, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let input = |i: Option<usize>| i.and_then(|i| cx.constant(i));
        let narrow = |v: Vec<f64>| v.iter().map(|v| *v as f32).collect();
        let scales = constant(input(op.scales))?.map(narrow).or(op.fixed.clone());
        let sizes = input(op.sizes).filter(|t| !t.is_empty()).map(|t| t.slice::<i64>().map(<[i64]>::to_vec)).transpose()?;
        let blends = !matches!(op.rules.mode, Mode::Nearest(_));
        let dtype = cx.dtype(0)?;
        let numeric = dtype.size().is_some() && !matches!(dtype, DType::C64 | DType::C128);
        ensure!(!blends || numeric, NotImplemented, "a blending resize of {dtype}");
        Ok(Box::new(Self { op: op.clone(), scales, sizes, roi: constant(input(op.roi))?, last: Mutex::new(None) }))
    }

    /// The axes for the inputs of a run.
    fn plans(&self, cx: &Run<'_>) -> Result<Vec<AxisPlan>> {
        let input = |i: Option<usize>| match i {
            Some(i) => cx.optional(i).map(|t| t.filter(|t| !t.is_empty())),
            None => Ok(None),
        };
        let scales: Option<Vec<f32>> = match (&self.scales, input(self.op.scales)?) {
            (Some(_), _) | (None, None) => None,
            (None, Some(t)) => Some(numbers(t)?.iter().map(|v| *v as f32).collect()),
        };
        let sizes = if self.sizes.is_some() { None } else { input(self.op.sizes)?.map(|t| t.slice::<i64>()).transpose()? };
        let roi = if self.roi.is_some() { None } else { input(self.op.roi)?.map(numbers).transpose()? };
        let (scales, sizes) = (self.scales.as_deref().or(scales.as_deref()), self.sizes.as_deref().or(sizes));
        // Old versions list both, of which one is empty; sizes decide where both say something.
        let scales = if sizes.is_some() { None } else { scales };
        self.op.plan(cx.input(0)?.shape(), scales, sizes, self.roi.as_deref().or(roi.as_deref()))
    }

    /// The tables for `plans`: those of the last run, if nothing changed.
    fn tables(&self, plans: Vec<AxisPlan>) -> Result<Arc<Tables>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last.filter(|l| l.plans == plans) {
            return Ok(last);
        }
        let axes = plans.iter().map(|p| p.table(&self.op.rules)).collect::<Result<Vec<_>>>()?;
        let made = Arc::new(Tables { plans, axes });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        Ok(made)
    }
}

/// The elements that blending needs between its axes: the largest array on the way, and twice, for there and back.
fn between(input: &[usize], output: &[usize]) -> usize {
    let mut shape = Shape::from(input);
    let mut most = shape.iter().product::<usize>();
    for i in (0..shape.len()).rev() {
        shape.dims_mut()[i] = output[i];
        most = most.max(shape.iter().product());
    }
    2 * most
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        match (self.op.rules.mode, sizes.input(0), sizes.output(0)) {
            (Mode::Nearest(_), ..) => 0,
            (_, Ok(input), Ok(output)) if input.len() == output.len() => between(input, output) * size_of::<f64>(),
            _ => 0,
        }
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let tables = self.tables(self.plans(cx)?)?;
        let (dtype, output) = (cx.input(0)?.dtype(), tables.output());
        if let Ok(strings) = cx.input(0)?.strings() {
            let mut picked = Vec::new();
            each_source(&tables, &mut |i| picked.push(i));
            let picked = Strings::gather(picked.iter().map(|i| strings.get(*i)))?;
            return cx.set_strings(0, output, picked);
        }
        cx.allocate(0, dtype, output)?;
        if tables.output().contains(&0) {
            return Ok(());
        }
        match self.op.rules.mode {
            Mode::Nearest(_) => self.gather(&tables, cx.input(0)?, cx.output(0)?),
            _ => self.blend_any(&tables, cx),
        }
    }
}

/// Calls `f` with the flat index of the element of the input that each element of the output is.
fn each_source(tables: &Tables, f: &mut dyn FnMut(usize)) {
    fn walk(plans: &[AxisPlan], axes: &[Table], base: usize, f: &mut dyn FnMut(usize)) {
        match (plans.split_first(), axes.split_first()) {
            (Some((plan, plans)), Some((table, axes))) => {
                table.from.iter().for_each(|from| walk(plans, axes, base * plan.input + from, f));
            }
            _ => f(base),
        }
    }
    walk(&tables.plans, &tables.axes, 0, f);
}

impl Kernel {
    fn gather(&self, tables: &Tables, x: TensorRef<'_>, y: TensorMut<'_>) -> Result<()> {
        match x.dtype() {
            DType::F32 => self.nearest::<f32>(tables, x.slice()?, y.slice()?, self.op.extrapolation),
            DType::F64 => self.nearest::<f64>(tables, x.slice()?, y.slice()?, self.op.extrapolation.into()),
            DType::F16 => self.nearest::<f16>(tables, x.slice()?, y.slice()?, f16::from_f32(self.op.extrapolation)),
            DType::BF16 => self.nearest::<bf16>(tables, x.slice()?, y.slice()?, bf16::from_f32(self.op.extrapolation)),
            DType::I32 => self.nearest::<i32>(tables, x.slice()?, y.slice()?, self.op.extrapolation as i32),
            DType::I8 => self.nearest::<i8>(tables, x.slice()?, y.slice()?, self.op.extrapolation as i8),
            DType::U8 => self.nearest::<u8>(tables, x.slice()?, y.slice()?, self.op.extrapolation as u8),
            DType::I64 => self.nearest::<i64>(tables, x.slice()?, y.slice()?, self.op.extrapolation as i64),
            DType::I16 => self.nearest::<i16>(tables, x.slice()?, y.slice()?, self.op.extrapolation as i16),
            DType::U16 => self.nearest::<u16>(tables, x.slice()?, y.slice()?, self.op.extrapolation as u16),
            DType::U32 => self.nearest::<u32>(tables, x.slice()?, y.slice()?, self.op.extrapolation as u32),
            DType::U64 => self.nearest::<u64>(tables, x.slice()?, y.slice()?, self.op.extrapolation as u64),
            DType::Bool => self.nearest::<bool>(tables, x.slice()?, y.slice()?, self.op.extrapolation != 0.0),
            DType::C64 => self.nearest::<num_complex::Complex<f32>>(tables, x.slice()?, y.slice()?, self.op.extrapolation.into()),
            DType::C128 => {
                self.nearest::<num_complex::Complex<f64>>(tables, x.slice()?, y.slice()?, f64::from(self.op.extrapolation).into())
            }
            other => bail!(NotImplemented, "a resize of {other}"),
        }
    }

    fn nearest<T: Element>(&self, tables: &Tables, x: &[T], y: &mut [T], extrapolation: T) -> Result<()> {
        let Some((inner, outer)) = tables.axes.split_last() else {
            y.copy_from_slice(x);
            return Ok(());
        };
        let (width, source_width) = (inner.from.len(), tables.plans[outer.len()].input);
        ensure!(x.len() == tables.plans.iter().map(|p| p.input).product::<usize>(), Fail, "{} elements to resize", x.len());
        let rows = y.len() / width;
        let y = SharedMut::new(y);
        for_rows::<u8>(&mut [], 0, rows, rows_per_chunk(width * size_of::<T>()), &|_, range| {
            for row in range {
                // SAFETY: each row belongs to one chunk.
                let to = unsafe { y.part(row * width..(row + 1) * width) };
                let Some(source) = source_row(tables, outer, row) else {
                    to.fill(extrapolation);
                    continue;
                };
                let from = &x[source * source_width..(source + 1) * source_width];
                if inner.same {
                    to.copy_from_slice(from);
                } else {
                    let each = to.iter_mut().zip(&inner.from).zip(&inner.outside);
                    each.for_each(|((to, i), outside)| *to = if *outside { extrapolation } else { from[*i] });
                }
            }
        })
    }

    fn blend_any(&self, tables: &Tables, cx: &Run<'_>) -> Result<()> {
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        match x.dtype() {
            DType::F64 => self.blend::<f64>(tables, cx, x.slice()?, y.slice()?),
            DType::F32 => self.blend::<f32>(tables, cx, x.slice()?, y.slice()?),
            _ => {
                let (len, x) = (x.len(), crate::number::Numbers::of(x)?);
                let wide: Vec<f32> = pieces(len, PIECE).flatten().map(|i| x.get(i) as f32).collect();
                let mut result = vec![0.0; y.len()];
                self.blend::<f32>(tables, cx, &wide, &mut result)?;
                crate::number::write(&result, y)
            }
        }
    }

    /// Resizes axis after axis, innermost first.
    fn blend<A: Real>(&self, tables: &Tables, cx: &Run<'_>, x: &[A], y: &mut [A]) -> Result<()> {
        let (mut shape, output): (Shape, Shape) = (tables.plans.iter().map(|p| p.input).collect(), tables.output());
        let lengths = (shape.iter().product::<usize>(), output.iter().product::<usize>());
        ensure!((x.len(), y.len()) == lengths, Fail, "{} and {} elements, not {lengths:?}", x.len(), y.len());
        let room = between(&shape, &output) / 2;
        let scratch = cx.scratch::<A>()?;
        let mut own;
        // Where the output's sizes were not known, neither was the memory.
        let scratch = if scratch.len() >= 2 * room {
            scratch
        } else {
            own = vec![A::zero(); 2 * room];
            &mut own
        };
        let (mut from, mut to) = scratch.split_at_mut(room);
        let axes: Vec<usize> = (0..shape.len()).rev().filter(|a| !tables.axes[*a].same).collect();
        let extrapolation = A::of(self.op.extrapolation.into());
        for (i, axis) in axes.iter().copied().enumerate() {
            let sizes = [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()];
            let source = if i == 0 { x } else { &*from };
            let target = if i + 1 == axes.len() { &mut *y } else { &mut *to };
            blend_axis(&tables.axes[axis], sizes, source, target, extrapolation)?;
            shape.dims_mut()[axis] = output[axis];
            std::mem::swap(&mut from, &mut to);
        }
        if axes.is_empty() {
            y.copy_from_slice(x);
        }
        Ok(())
    }
}

/// Which row of the input a row of the output is; `None` outside of the input.
fn source_row(tables: &Tables, outer: &[Table], mut row: usize) -> Option<usize> {
    let (mut source, mut stride) = (0, 1);
    for (table, plan) in outer.iter().zip(&tables.plans).rev() {
        let i = row % plan.output;
        if table.outside[i] {
            return None;
        }
        source += table.from[i] * stride;
        stride *= plan.input;
        row /= plan.output;
    }
    Some(source)
}

/// Elements between checkpoints.
const PIECE: usize = 1 << 14;

/// Resizes the middle axis of `[outer, len, inner]`.
fn blend_axis<A: Real>(table: &Table, sizes: [usize; 3], from: &[A], to: &mut [A], extrapolation: A) -> Result<()> {
    let ([outer, len, inner], count) = (sizes, table.outside.len());
    let to = SharedMut::new(to);
    for_rows::<u8>(&mut [], 0, outer, rows_per_chunk(count * inner * table.taps * size_of::<A>()), &|_, range| {
        for o in range {
            let source = &from[o * len * inner..(o + 1) * len * inner];
            // SAFETY: each row belongs to one chunk.
            let target = unsafe { to.part(o * count * inner..(o + 1) * count * inner) };
            blend_rows(table, source, target, inner, extrapolation);
        }
    })
}

/// Each row of `target`, of `inner` elements, as a weighted sum of rows of `source`. Rows of weight zero are not read: they may be
/// infinite.
fn blend_rows<A: Real>(table: &Table, source: &[A], target: &mut [A], inner: usize, extrapolation: A) {
    let mut terms: SmallVec<[(usize, A); 8]> = SmallVec::new();
    let (taps, pace) = (table.taps, Pace::default());
    for (i, target) in target.chunks_exact_mut(inner).enumerate() {
        pace.spend(4 * taps + 4);
        if table.outside[i] {
            target.fill(extrapolation);
            continue;
        }
        let all = table.from[i * taps..(i + 1) * taps].iter().zip(&table.weights[i * taps..(i + 1) * taps]);
        let each = all.filter(|(_, w)| **w != 0.0).map(|(f, w)| (f * inner, A::of(*w)));
        if let [target] = target {
            *target = each.fold(A::zero(), |sum, (f, w)| sum + source[f] * w);
            continue;
        }
        terms.clear();
        terms.extend(each);
        match (cast::<A, f32>(source), cast_mut::<A, f32>(target)) {
            (Some(source), Some(target)) => {
                for piece in pieces(inner, PIECE) {
                    let part = |(f, w): &(usize, A)| (&source[f + piece.start..f + piece.end], w.f64() as f32);
                    let terms = terms.iter().map(part).collect::<SmallVec<[_; 8]>>();
                    dispatch(WeightedRows { terms: &terms, target: &mut target[piece] });
                }
            }
            _ => {
                target.fill(A::zero());
                for (f, w) in &terms {
                    pace.spend(inner);
                    target.iter_mut().zip(&source[*f..f + inner]).for_each(|(t, s)| *t += *s * *w);
                }
            }
        }
    }
}

/// The sum of rows times weights; each row is as long as the target.
struct WeightedRows<'a> {
    terms: &'a [(&'a [f32], f32)],
    target: &'a mut [f32],
}

impl simd::Kernel for WeightedRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.target.len();
        assert!(self.terms.iter().all(|(row, _)| row.len() == len), "rows of several lengths");
        let mut i = 0;
        while i < len {
            let n = S::LANES.min(len - i);
            let mut sum = s.zero();
            for (row, weight) in self.terms {
                // SAFETY: the row holds `n` elements from `i` on.
                let x = unsafe { if n == S::LANES { s.load(row.as_ptr().add(i)) } else { s.load_partial(row.as_ptr().add(i), n) } };
                sum = s.fma(x, s.splat(*weight), sum);
            }
            // SAFETY: the target holds `n` elements from `i` on.
            unsafe {
                if n == S::LANES {
                    s.store(self.target.as_mut_ptr().add(i), sum);
                } else {
                    s.store_partial(self.target.as_mut_ptr().add(i), n, sum);
                }
            }
            i += n;
        }
    }
}
