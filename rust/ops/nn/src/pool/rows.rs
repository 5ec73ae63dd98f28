//! Pooling row by row: the taps of a window are folded into a row of the output, one after the other.

use std::marker::PhantomData;
use std::ops::Range;

use base::threads::{Pace, SharedMut};
use base::{DType, Layout, Result, Shape, TensorMut, TensorRef, ensure};
use op::{Prepare, Prepared, Run, Sizes};
use smallvec::SmallVec;

use super::Reduction;
use super::side_by_side;
use super::window::Pool;
use super::windows;
use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;
use crate::window::{Axes, Axis, output_shape};

/// The kernel for the type at hand.
pub(super) fn prepare(op: &Pool, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    let dtype = cx.dtype(0)?;
    Ok(match is_wide(dtype) {
        true => Box::new(RowsKernel::<f64> { op: op.clone(), real: PhantomData }),
        false => Box::new(RowsKernel::<f32> { op: op.clone(), real: PhantomData }),
    })
}

struct RowsKernel<A> {
    op: Pool,
    real: PhantomData<A>,
}

/// Elements to read: floats, or bytes that every float type holds exactly.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Floats(Floats<'a>),
    I8(&'a [i8]),
    U8(&'a [u8]),
}

impl<'a> Source<'a> {
    /// The stored elements of `t`.
    pub(super) fn of(t: TensorRef<'a>) -> Result<Self> {
        Ok(match (t.dtype(), t.layout()) {
            (DType::I8, _) => Self::I8(t.slice()?),
            (DType::U8, _) => Self::U8(t.slice()?),
            (DType::F32, Layout::Blocked(_)) => Self::Floats(Floats::F32(t.stored()?)),
            _ => Self::Floats(Floats::of(t)?),
        })
    }

    /// All elements, if they are `f32`.
    fn vectors(&self) -> Option<&'a [f32]> {
        match self {
            Self::Floats(x) => x.same(),
            _ => None,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(x) => x.len(),
            Self::I8(x) => x.len(),
            Self::U8(x) => x.len(),
        }
    }

    /// Element `i`.
    pub(super) fn get<A: Real>(&self, i: usize) -> A {
        match self {
            Self::Floats(x) => x.get(i),
            Self::I8(x) => A::of(x[i].into()),
            Self::U8(x) => A::of(x[i].into()),
        }
    }

    /// The elements of `range`, perhaps copied into `buffer`.
    pub(super) fn row<'b, A: Real>(&self, range: Range<usize>, buffer: &'b mut [A]) -> &'b [A]
    where
        'a: 'b,
    {
        match self {
            Self::Floats(x) => x.row(range, buffer),
            _ => {
                let buffer = &mut buffer[..range.len()];
                buffer.iter_mut().zip(range).for_each(|(to, i)| *to = self.get(i));
                buffer
            }
        }
    }
}

/// Elements to write.
pub(super) enum Target<'a> {
    Floats(FloatsMut<'a>),
    I8(SharedMut<'a, i8>),
    U8(SharedMut<'a, u8>),
}

impl<'a> Target<'a> {
    /// The stored elements of `t`.
    pub(super) fn of(t: TensorMut<'a>) -> Result<Self> {
        Ok(match (t.dtype(), t.layout()) {
            (DType::I8, _) => Self::I8(SharedMut::new(t.slice()?)),
            (DType::U8, _) => Self::U8(SharedMut::new(t.slice()?)),
            (DType::F32, Layout::Blocked(_)) => Self::Floats(FloatsMut::F32(SharedMut::new(t.stored()?))),
            _ => Self::Floats(FloatsMut::of(t)?),
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(y) => y.len(),
            Self::I8(y) => y.len(),
            Self::U8(y) => y.len(),
        }
    }

    /// Writes elements from `start` on.
    ///
    /// # Safety
    /// Nobody else uses these elements meanwhile.
    pub(super) unsafe fn write<A: Real>(&self, start: usize, from: &[A]) {
        let range = start..start + from.len();
        // SAFETY: the caller keeps others away from the range.
        unsafe {
            match self {
                Self::Floats(y) => y.write(start, from),
                Self::I8(y) => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = x.f64() as i8),
                Self::U8(y) => y.part(range).iter_mut().zip(from).for_each(|(y, x)| *y = x.f64() as u8),
            }
        }
    }
}

/// A pooling of concrete sizes.
#[derive(Clone, Debug)]
pub(super) struct Sized {
    /// The innermost spatial axis.
    inner: Axis,
    /// All others, outermost first.
    outer: Axes,
    /// Channels side by side.
    lanes: usize,
    /// Images times blocks of channels.
    planes: usize,
}

impl Sized {
    pub(super) fn new(op: &Pool, shape: &[usize], lanes: usize) -> Result<(Self, Axes)> {
        ensure!(shape.len() == op.kernel.len() + 2 && shape.len() > 2, InvalidArgument, "a window over shape {}", Shape::from(shape));
        let axes = op.window.axes(&shape[2..], &op.kernel)?;
        let (inner, outer) = (axes[axes.len() - 1], axes[..axes.len() - 1].iter().copied().collect());
        let planes = shape[0] * shape[1].div_ceil(lanes);
        Ok((Self { inner, outer, lanes, planes }, axes))
    }

    /// Rows of the output's planes.
    fn rows(&self) -> usize {
        self.outer.iter().map(|a| a.output).product()
    }

    fn input_rows(&self) -> usize {
        self.outer.iter().map(|a| a.input).product()
    }

    /// The first coordinates of the window of row `row`, and how many of its elements are in the padded input.
    fn counted(&self, mut row: usize) -> usize {
        let mut count = 1;
        for a in self.outer.iter().rev() {
            count *= counted(a, row % a.output);
            row /= a.output;
        }
        count
    }

    /// Calls `f` with each row of the input that the windows of output row `row` reach; gives their number.
    fn each_row(&self, row: usize, f: &mut dyn FnMut(usize)) -> usize {
        self.walk(&self.outer, row, self.rows(), 0, f)
    }

    fn walk(&self, axes: &[Axis], row: usize, below: usize, base: usize, f: &mut dyn FnMut(usize)) -> usize {
        let Some((axis, rest)) = axes.split_first() else {
            f(base);
            return 1;
        };
        let below = below / axis.output;
        let position = row / below;
        let taps = axis.taps(position);
        let at = |tap: usize| (axis.start(position) + (tap * axis.dilation) as isize) as usize;
        taps.map(|tap| self.walk(rest, row % below, below, base * axis.input + at(tap), f)).sum()
    }
}

/// How many elements of the window at `position` are in the padded input.
fn counted(a: &Axis, position: usize) -> usize {
    let room = a.input as isize + a.after - a.start(position);
    let room = (room.max(0) as usize).div_ceil(a.dilation);
    room.min(a.kernel)
}

impl<A: Real> RowsKernel<A> {
    /// Elements of scratch memory for each thread: a row of sums, and one of the input.
    fn buffer(&self, sized: &Sized) -> usize {
        (sized.inner.output + sized.inner.input) * sized.lanes
    }

    fn row(&self, sized: &Sized, x: Source<'_>, y: &Target<'_>, row: usize, buffer: &mut [A]) {
        let (sums, room) = buffer.split_at_mut(sized.inner.output * sized.lanes);
        let (plane, in_plane) = (row / sized.rows(), row % sized.rows());
        let reduction = self.op.reduction;
        sums.fill(reduction.start());
        let width = sized.inner.input * sized.lanes;
        let mut rows: SmallVec<[usize; 16]> = SmallVec::new();
        let reached = sized.each_row(in_plane, &mut |source| rows.push((plane * sized.input_rows() + source) * width));
        if !x.vectors().is_some_and(|x| windows::fold(reduction, &sized.inner, sized.lanes, x, &rows, sums)) {
            for at in rows {
                fold_row(reduction, &sized.inner, sized.lanes, x.row(at..at + width, room), sums);
            }
        }
        if !matches!(reduction, Reduction::Max | Reduction::Norm(1.0)) {
            let padding = matches!(reduction, Reduction::Average { padding: true });
            let rows = if padding { sized.counted(in_plane) } else { reached };
            for (o, sums) in sums.chunks_exact_mut(sized.lanes).enumerate() {
                let across = if padding { counted(&sized.inner, o) } else { sized.inner.taps(o).len() };
                sums.iter_mut().for_each(|s| *s = reduction.finish(*s, rows * across));
            }
        }
        // SAFETY: each row belongs to one chunk.
        unsafe { y.write(row * sums.len(), sums) }
    }
}

/// Folds one row of the input into a row of windows.
fn fold_row<A: Real>(reduction: Reduction, axis: &Axis, lanes: usize, x: &[A], sums: &mut [A]) {
    let pace = Pace::default();
    for tap in 0..axis.kernel {
        pace.spend(4 * axis.output * lanes);
        let positions = axis.positions(tap);
        let at = |o: usize| (axis.start(o) + (tap * axis.dilation) as isize) as usize;
        for o in positions {
            let from = &x[at(o) * lanes..][..lanes];
            sums[o * lanes..][..lanes].iter_mut().zip(from).for_each(|(s, x)| *s = reduction.fold(*s, *x));
        }
    }
}

impl<A: Real> Prepared for RowsKernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        // As many lanes as any layout has: the input's is not known here.
        let sized = sizes.input(0).and_then(|shape| Sized::new(&self.op, shape, 1));
        sized.map_or(0, |(sized, _)| scratch_bytes::<A>(self.buffer(&Sized { lanes: simd::MAX_LANES, ..sized })))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let lanes = side_by_side(cx.input(0)?.layout(), dtype)?;
        let (sized, axes) = Sized::new(&self.op, &shape, lanes)?;
        let output: Shape = shape[..2].iter().copied().chain(output_shape(&axes).iter().copied()).collect();
        cx.allocate(0, dtype, output)?;
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        ensure!(side_by_side(y.layout(), dtype)? == lanes || y.is_empty(), Fail, "input {:?}, output {:?}", x.layout(), y.layout());
        let (x, y) = (Source::of(x)?, Target::of(y)?);
        let rows = sized.planes * sized.rows();
        let want = (sized.planes * sized.input_rows() * sized.inner.input * lanes, rows * sized.inner.output * lanes);
        ensure!((x.len(), y.len()) == want, Fail, "{} and {} elements, not {want:?}", x.len(), y.len());
        let grain = rows_per_chunk((self.buffer(&sized) * self.op.kernel.iter().product::<usize>()) * size_of::<A>() / 2);
        let rows = if sized.inner.output == 0 { 0 } else { rows };
        for_rows(cx.scratch()?, self.buffer(&sized), rows, grain, &|buffer, range| {
            range.for_each(|row| self.row(&sized, x, &y, row, buffer));
        })
    }
}
