//! The kernel of normalizations that treat each row by itself: over the last axes of the input.

use std::marker::PhantomData;

use base::{DType, Result, Shape, bail, ensure};
use ir::{Dim, Dims};
use op::{Prepare, Prepared, Run, Sizes};

use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

/// A normalization of rows, and where its operands are among the inputs and outputs of the node.
#[derive(Clone, Debug)]
pub(crate) struct RowNorm {
    /// The first of the axes that make up a row.
    pub(crate) axis: i64,
    pub(crate) epsilon: f32,
    /// Whether the mean stays: division by the root mean square alone.
    pub(crate) simplified: bool,
    /// Whether input 1 is added before normalization, and a bias after it.
    pub(crate) skip: bool,
    pub(crate) gamma: usize,
    pub(crate) beta: Option<usize>,
    /// A bias that is added before normalization.
    pub(crate) bias: Option<usize>,
    pub(crate) mean_output: Option<usize>,
    pub(crate) inverse_output: Option<usize>,
    pub(crate) sum_output: Option<usize>,
    /// The type of the output `Y`, if not that of input 0.
    pub(crate) output_like: usize,
    /// The type of mean and inverse deviation.
    pub(crate) stash: DType,
}

impl RowNorm {
    pub(crate) fn axis(&self, rank: usize) -> Result<usize> {
        base::axis_index(self.axis, rank).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))
    }

    /// The sizes of mean and inverse deviation.
    pub(crate) fn reduced(&self, dims: &[Dim]) -> Result<Dims> {
        let axis = self.axis(dims.len())?;
        Ok(dims.iter().enumerate().map(|(i, d)| if i < axis { d.clone() } else { Dim::Known(1) }).collect())
    }

    /// The kernel for the types at hand.
    pub(crate) fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(if is_wide(cx.dtype(0)?) {
            Box::new(Kernel::<f64> { norm: self.clone(), real: PhantomData })
        } else {
            Box::new(Kernel::<f32> { norm: self.clone(), real: PhantomData })
        })
    }
}

struct Kernel<A> {
    norm: RowNorm,
    real: PhantomData<A>,
}

/// Scale or bias of the rows.
enum Param<'a, A> {
    None,
    /// The same for each row.
    Row(&'a [A]),
    /// Broadcast to the whole input: the distance of neighbours along each of its axes.
    Broadcast(Floats<'a>, Shape),
}

impl<'a, A: Real> Param<'a, A> {
    /// The parameter `t` for inputs of shape `shape` whose rows begin with `axis`; a row of it may be copied into `buffer`.
    fn of(t: Option<base::TensorRef<'a>>, shape: &[usize], axis: usize, buffer: &'a mut [A]) -> Result<Self> {
        let Some(t) = t else { return Ok(Self::None) };
        let data = Floats::of(t)?;
        let strides = broadcast_strides(t.shape(), shape)?;
        let outer_varies = strides.iter().zip(shape).take(axis).any(|(s, d)| *s > 0 && *d > 1);
        if outer_varies {
            return Ok(Self::Broadcast(data, strides));
        }
        if data.len() == buffer.len() {
            return Ok(Self::Row(data.row(0..data.len(), buffer)));
        }
        fill_row(data, &strides, shape, 0, buffer);
        Ok(Self::Row(buffer))
    }

    /// The parameter for row `row`.
    fn row<'b>(&'b self, shape: &[usize], row: usize, buffer: &'b mut [A]) -> Option<&'b [A]> {
        match self {
            Self::None => None,
            Self::Row(row) => Some(row),
            Self::Broadcast(data, strides) => {
                fill_row(*data, strides, shape, row * buffer.len(), buffer);
                Some(buffer)
            }
        }
    }
}

/// The distance of neighbours along each axis of `shape` in a tensor of shape `small` that is broadcast to it.
fn broadcast_strides(small: &[usize], shape: &[usize]) -> Result<Shape> {
    ensure!(small.len() <= shape.len(), InvalidArgument, "shape {} does not broadcast to {}", Shape::from(small), Shape::from(shape));
    let mut strides: Shape = shape.iter().map(|_| 0).collect();
    let (mut stride, offset) = (1, shape.len() - small.len());
    for (i, &d) in small.iter().enumerate().rev() {
        let fits = d == 1 || d == shape[i + offset];
        ensure!(fits, InvalidArgument, "shape {} does not broadcast to {}", Shape::from(small), Shape::from(shape));
        strides.dims_mut()[i + offset] = if d == 1 { 0 } else { stride };
        stride *= d;
    }
    Ok(strides)
}

/// The elements of a broadcast tensor that stand at `start` and on.
fn fill_row<A: Real>(data: Floats<'_>, strides: &[usize], shape: &[usize], start: usize, row: &mut [A]) {
    for (i, to) in row.iter_mut().enumerate() {
        let (mut rest, mut at) = (start + i, 0);
        for (d, s) in shape.iter().zip(strides).rev() {
            at += rest % d * s;
            rest /= d;
        }
        *to = data.get(at);
    }
}

/// What one run works on.
struct Operands<'a, A> {
    shape: &'a [usize],
    len: usize,
    x: Floats<'a>,
    skip: Option<Floats<'a>>,
    bias: Param<'a, A>,
    gamma: Param<'a, A>,
    beta: Param<'a, A>,
    y: FloatsMut<'a>,
    mean: Option<FloatsMut<'a>>,
    inverse: Option<FloatsMut<'a>>,
    sum: Option<FloatsMut<'a>>,
}

/// Rows of scratch memory that all threads share: scale, bias after and bias before.
const SHARED: usize = 3;
/// Rows of scratch memory of each thread: the input, the result, scale, bias.
const OWN: usize = 4;

impl<A: Real> Kernel<A> {
    fn split(&self, shape: &[usize]) -> Result<(usize, usize)> {
        let axis = self.norm.axis(shape.len())?;
        Ok((shape[..axis].iter().product(), shape[axis..].iter().product()))
    }

    fn output<'a>(&self, cx: &'a Run<'_>, output: Option<usize>, len: usize) -> Result<Option<FloatsMut<'a>>> {
        let Some(i) = output.filter(|i| cx.has_output(*i)) else { return Ok(None) };
        let y = FloatsMut::of(cx.output(i)?)?;
        ensure!(y.len() == len, Fail, "output {i} has {} elements, not {len}", y.len());
        Ok(Some(y))
    }

    fn allocate(&self, cx: &mut Run<'_>) -> Result<Shape> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let axis = self.norm.axis(shape.len())?;
        let reduced: Shape = shape.iter().enumerate().map(|(i, &d)| if i < axis { d } else { 1 }).collect();
        let y_type = cx.input(self.norm.output_like)?.dtype();
        cx.allocate(0, y_type, shape.clone())?;
        for i in [self.norm.mean_output, self.norm.inverse_output].into_iter().flatten() {
            cx.allocate(i, self.norm.stash, reduced.clone())?;
        }
        if let Some(i) = self.norm.sum_output {
            cx.allocate(i, dtype, shape.clone())?;
        }
        Ok(shape)
    }

    fn row(&self, o: &Operands<'_, A>, row: usize, [first, second, gamma, beta]: [&mut [A]; 4]) {
        let range = row * o.len..(row + 1) * o.len;
        let x: &[A] = match o.skip {
            None => o.x.row(range.clone(), first),
            Some(skip) => {
                o.x.read(range.start, first);
                let from = range.start % skip.len();
                let skip = skip.row(from..from + o.len, second);
                first.iter_mut().zip(skip).for_each(|(a, b)| *a += *b);
                if let Some(bias) = o.bias.row(o.shape, row, second) {
                    first.iter_mut().zip(bias).for_each(|(a, b)| *a += *b);
                }
                first
            }
        };
        if let Some(sum) = &o.sum {
            // SAFETY: each row belongs to one chunk.
            unsafe { sum.write(range.start, x) };
        }
        let (mean, spread) = match self.norm.simplified {
            true => (A::zero(), A::sum_of_squares(x) / A::of(x.len() as f64)),
            false => A::mean_variance(x),
        };
        let factor = A::one() / (spread + A::of(self.norm.epsilon.into())).sqrt();
        let (gamma, beta) = (o.gamma.row(o.shape, row, gamma), o.beta.row(o.shape, row, beta));
        // SAFETY: each row belongs to one chunk.
        unsafe {
            o.y.fill(range, second, |y| A::normalize(x, y, mean, factor, gamma, beta));
            if let Some(y) = &o.mean {
                y.write(row, &[mean]);
            }
            if let Some(y) = &o.inverse {
                y.write(row, &[factor]);
            }
        }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let Ok((_, len)) = sizes.input(0).and_then(|shape| self.split(shape)) else { return 0 };
        len.saturating_mul(SHARED * size_of::<A>()).saturating_add(scratch_bytes::<A>(len.saturating_mul(OWN)))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = self.allocate(cx)?;
        let (rows, len) = self.split(&shape)?;
        let n = &self.norm;
        let axis = n.axis(shape.len())?;
        let scratch = cx.scratch::<A>()?;
        ensure!(scratch.len() >= SHARED * len, Fail, "the scratch memory is too small for rows of {len}");
        let (shared, own) = scratch.split_at_mut(SHARED * len);
        let (gamma, rest) = shared.split_at_mut(len);
        let (beta, bias) = rest.split_at_mut(len);
        if rows * len == 0 {
            return self.nothing(cx, rows);
        }
        let optional = |i: Option<usize>| i.map_or(Ok(None), |i| cx.optional(i));
        let skip = if n.skip { Some(Floats::of(cx.input(1)?)?) } else { None };
        if let Some(skip) = &skip {
            let (have, want) = (skip.len(), rows * len);
            ensure!(have > 0 && want % have == 0 && have % len == 0, InvalidArgument, "a skip of {have} elements does not fit {want}");
        }
        let operands = Operands {
            shape: &shape,
            len,
            x: Floats::of(cx.input(0)?)?,
            skip,
            bias: Param::of(optional(n.bias)?, &shape, axis, bias)?,
            gamma: Param::of(Some(cx.input(n.gamma)?), &shape, axis, gamma)?,
            beta: Param::of(optional(n.beta)?, &shape, axis, beta)?,
            y: FloatsMut::of(cx.output(0)?)?,
            mean: self.output(cx, n.mean_output, rows)?,
            inverse: self.output(cx, n.inverse_output, rows)?,
            sum: self.output(cx, n.sum_output, rows * len)?,
        };
        ensure!(operands.y.len() == rows * len, Fail, "the output has {} elements, not {}", operands.y.len(), rows * len);
        for_rows(own, OWN * len, rows, rows_per_chunk(len * size_of::<A>()), &|own, range| {
            let (first, rest) = own.split_at_mut(len);
            let (second, rest) = rest.split_at_mut(len);
            let (third, fourth) = rest.split_at_mut(len);
            range.for_each(|row| self.row(&operands, row, [&mut *first, &mut *second, &mut *third, &mut *fourth]));
        })
    }
}

impl<A: Real> Kernel<A> {
    /// Rows of no elements: their mean is not a number.
    fn nothing(&self, cx: &Run<'_>, rows: usize) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        for y in [self.output(cx, self.norm.mean_output, rows)?, self.output(cx, self.norm.inverse_output, rows)?].into_iter().flatten() {
            // SAFETY: nobody else uses the output.
            (0..rows).for_each(|row| unsafe { y.write(row, &[A::nan()]) });
        }
        Ok(())
    }
}

/// The element type that attribute `stash_type` names.
pub(crate) fn stash_type(a: &op::Attrs<'_>) -> Result<DType> {
    match a.int("stash_type", 1)? {
        1 => Ok(DType::F32),
        10 => Ok(DType::F16),
        11 => Ok(DType::F64),
        16 => Ok(DType::BF16),
        other => bail!(InvalidGraph, "attribute 'stash_type' is {other}, which is no float type"),
    }
}
