//! The kernels of Conv: direct in `f32` (16-bit floats are widened for it), by matrix products for what that does not take.

use std::sync::Arc;

use base::{DType, Layout, Result, Shape, Tensor, bail, ensure};
use op::{Prepare, Prepared, Run, Sizes};

use half::{bf16, f16};
use ir::Dim;

use super::general::GeneralKernel;
use super::pack::Packing;
use super::plain::Conv;
use super::problem::{Channels, Problem, SPATIAL};
use super::target::Job;
use super::winograd::{self, Outputs};
use super::{depthwise, direct, reorder, rows, tile};
use crate::floats::{Floats, FloatsMut};
use crate::widen::{narrow, take, widen};
use crate::window::{AutoPad, WindowAttrs};

/// The kernel for the types, shapes and layouts at hand.
pub(super) fn prepare(op: &Conv, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    let dtype = cx.dtype(0)?;
    let isa = simd::isa::best();
    let layout = |l: &Layout| match l {
        Layout::Blocked(_) => Channels::of(l, &[], tile::lanes(isa)),
        _ => Ok(Channels::Dense),
    };
    let input = layout(&cx.input(0)?.layout)?;
    let output = cx.output(0).map_or(Ok(Channels::Dense), |f| layout(&f.layout))?;
    let dense = (input, output) == (Channels::Dense, Channels::Dense);
    ensure!(dtype == DType::F32 || dense, NotImplemented, "blocked channels of {dtype}");
    let weights: &[Dim] = cx.input(1)?.shape.as_deref().unwrap_or_default();
    let many_axes = weights.len() > SPATIAL + 2;
    if dense && (many_axes || is_pointwise(op, weights) || dtype == DType::F64) {
        return match dtype {
            DType::F32 => GeneralKernel::<f32>::prepare(op, cx),
            DType::F64 => GeneralKernel::<f64>::prepare(op, cx),
            DType::F16 => GeneralKernel::<f16>::prepare(op, cx),
            DType::BF16 => GeneralKernel::<bf16>::prepare(op, cx),
            other => Err(cx.no_kernel(other)),
        };
    }
    if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        return Err(cx.no_kernel(dtype));
    }
    let depthwise = op.groups > 1 && weights.len() > 2 && weights[0].size() == Some(op.groups) && weights[1].is(1);
    let mut kernel = DirectKernel { op: op.clone(), dtype, isa, input, output, depthwise, winograd: None, weights: None };
    if let Some(w) = cx.constant(1) {
        let blocked = (input, output) == (Channels::Blocked, Channels::Blocked);
        kernel.winograd = if blocked { kernel.best_winograd(cx, w)? } else { None };
        kernel.weights = Some(kernel.pack_constant(cx, w)?);
    }
    Ok(Box::new(kernel))
}

/// Whether the kernel has one element and moves by one, so that a convolution is a matrix product.
fn is_pointwise(op: &Conv, weights: &[Dim]) -> bool {
    let rank = weights.len().saturating_sub(2);
    let unit = (0..rank).all(|i| weights[i + 2].is(1) && op.window.stride(i) == 1);
    let padded = op.window.auto == AutoPad::Explicit && (0..rank).any(|i| op.window.pads(i, rank) != (0, 0));
    rank > 0 && unit && !padded
}

/// Direct convolution in `f32`.
struct DirectKernel {
    op: Conv,
    dtype: DType,
    isa: simd::Isa,
    input: Channels,
    output: Channels,
    /// Whether each channel is a group.
    depthwise: bool,
    /// Whether it is done by Winograd's method, with tiles of how many results.
    winograd: Option<Outputs>,
    /// Constant weights, packed.
    weights: Option<Arc<Tensor>>,
}

/// The order in which a kernel reads its weights.
enum Order {
    Tiles(Packing),
    Winograd { packing: Packing, outputs: Outputs },
    Depthwise { channels: usize, taps: usize, lanes: usize },
}

impl Order {
    fn len(&self) -> usize {
        match self {
            Self::Tiles(packing) | Self::Winograd { packing, .. } => packing.len(),
            Self::Depthwise { channels, taps, lanes } => depthwise::packed_len(*channels, *taps, *lanes),
        }
    }

    fn format(&self) -> String {
        match self {
            Self::Tiles(packing) => packing.format(),
            Self::Winograd { packing, outputs } => winograd::format(packing, *outputs),
            Self::Depthwise { lanes, .. } => format!("depthwise convolution {lanes} lanes"),
        }
    }

    fn pack(&self, weights: &[f32], packed: &mut [f32]) -> Result<()> {
        match self {
            Self::Tiles(packing) => packing.pack(weights, packed),
            Self::Winograd { packing, outputs } => winograd::pack(packing, *outputs, weights, packed),
            Self::Depthwise { channels, taps, lanes } => {
                ensure!(weights.len() == channels * taps, Fail, "{} weights are not {channels} times {taps}", weights.len());
                depthwise::pack(weights, *taps, *lanes, packed);
                Ok(())
            }
        }
    }
}

/// A slice of `f32`: the tensor's own elements, or a widened copy in `scratch`.
fn widened<'a>(data: Floats<'a>, scratch: &mut &'a mut [f32]) -> Result<&'a [f32]> {
    if let Some(own) = data.same::<f32>() {
        return Ok(own);
    }
    let copy = take(scratch, data.len())?;
    widen(data, copy);
    Ok(copy)
}

impl DirectKernel {
    fn packing(&self, problem: &Problem) -> Order {
        let lanes = tile::lanes(self.isa);
        if self.depthwise {
            Order::Depthwise { channels: problem.groups, taps: problem.taps(), lanes }
        } else if let Some(outputs) = self.winograd {
            Order::Winograd { packing: winograd::packing(problem, lanes, outputs), outputs }
        } else {
            Order::Tiles(Packing::new(problem, lanes, self.input))
        }
    }

    /// How Winograd's method serves weights `w` best, as far as the sizes of the input are known.
    fn best_winograd(&self, cx: &Prepare<'_>, w: &Tensor) -> Result<Option<Outputs>> {
        let [_, of_group, kernel @ ..] = &**w.shape() else { return Ok(None) };
        let known = cx.input(0)?.shape.as_ref().and_then(|x| x.get(2..)?.iter().map(Dim::size).collect::<Option<Vec<usize>>>());
        let spatial = known.clone().unwrap_or_else(|| kernel.to_vec());
        let x: Vec<usize> = [1, of_group * self.op.groups].into_iter().chain(spatial).collect();
        let Ok(problem) = self.problem(&x, w.shape()) else { return Ok(None) };
        let sizes = known.filter(|_| problem.axes.len() == 2).map(|_| [problem.axes[0].output, problem.axes[1].output]);
        Ok(Outputs::best(&problem, sizes))
    }

    fn pack_constant(&self, cx: &Prepare<'_>, w: &Tensor) -> Result<Arc<Tensor>> {
        // Packing depends on the weights alone; the input may be any that fits.
        let [_, of_group, kernel @ ..] = &**w.shape() else { bail!(InvalidGraph, "weights of shape {}", w.shape()) };
        let input: Vec<usize> = [1, of_group * self.op.groups].into_iter().chain(kernel.iter().copied()).collect();
        let window = WindowAttrs { kernel: self.op.window.kernel.clone(), ..WindowAttrs::default() };
        let packing = self.packing(&Problem::new(&window, self.op.groups, &input, w.shape())?);
        let pack = |w: &Tensor| {
            let mut wide = Vec::new();
            let data = Floats::of(w.as_ref())?;
            let data = match data.same::<f32>() {
                Some(own) => own,
                None => {
                    wide.resize(data.len(), 0.0);
                    data.read(0, &mut wide);
                    &wide
                }
            };
            let mut packed = Tensor::zeros(DType::F32, [packing.len()])?;
            packing.pack(data, packed.as_mut()?.slice()?)?;
            Ok(packed)
        };
        cx.packed.get(w, &packing.format(), pack)
    }

    /// Elements of scratch memory: packed weights if they are no constant, widened operands, reordered ones.
    fn scratch_len(&self, p: &Problem, residual: bool) -> usize {
        let weights = if self.weights.is_some() { 0 } else { self.packing(p).len() };
        let (x, y) = (p.batch * p.groups * p.ic * p.in_plane(), p.batch * p.groups * p.oc * p.out_plane());
        let results = if residual { 2 } else { 1 };
        let raw = if self.weights.is_some() { 0 } else { p.weights() };
        let wide = if self.dtype == DType::F32 { 0 } else { raw + x + y * results + p.groups * p.oc };
        let blocks = p.batch * p.groups.next_multiple_of(tile::lanes(self.isa));
        let reordered = if self.depthwise && self.input == Channels::Dense { blocks * (p.in_plane() + p.out_plane() * results) } else { 0 };
        let tiles = self.winograd.map_or(0, |outputs| winograd::scratch_len(p, tile::lanes(self.isa), outputs));
        let rows = if self.input == Channels::Dense && !self.depthwise { rows::scratch_len(p) } else { 0 };
        weights + wide + reordered + tiles + rows
    }

    /// Convolves operands of `f32` in the planned layouts.
    fn convolve(&self, o: Operands<'_>, y: &mut [f32], mut scratch: &mut [f32]) -> Result<()> {
        let (p, isa, lanes, activation) = (o.problem, self.isa, tile::lanes(self.isa), self.op.activation);
        let packing = match o.order {
            Order::Tiles(packing) => {
                let Operands { problem, x, weights, bias, addend, .. } = o;
                let job = Job { problem, packing, isa, x, weights, bias, addend, activation, output: self.output };
                return match self.input {
                    Channels::Dense => rows::run(&job, y, scratch),
                    Channels::Blocked => direct::run(&job, y),
                };
            }
            Order::Winograd { packing, outputs } => {
                let Operands { problem, x, weights, kernels, bias, addend, .. } = o;
                let outputs = *outputs;
                return winograd::Job { problem, packing, outputs, isa, x, weights, kernels, bias, addend, activation }.run(y, scratch);
            }
            Order::Depthwise { .. } => (self.input, self.output),
        };
        let Operands { problem, x, weights, bias, addend, .. } = o;
        let job = |x, addend| depthwise::Job { problem, isa, lanes, x, weights, bias, addend, activation };
        if packing == (Channels::Blocked, Channels::Blocked) {
            return job(x, addend).run(y);
        }
        ensure!(packing == (Channels::Dense, Channels::Dense), NotImplemented, "a depthwise convolution from {packing:?}");
        let (input, output) = ([p.batch, p.groups, p.in_plane()], [p.batch, p.groups, p.out_plane()]);
        let blocks = p.batch * p.groups.next_multiple_of(lanes);
        let blocked_x = take(&mut scratch, blocks * p.in_plane())?;
        reorder::to_blocked(x, blocked_x, input, lanes)?;
        let blocked_z = addend.map(|z| {
            let blocked = take(&mut scratch, blocks * p.out_plane())?;
            reorder::to_blocked(z, blocked, output, lanes)?;
            Ok::<&[f32], base::Error>(blocked)
        });
        let blocked_y = take(&mut scratch, blocks * p.out_plane())?;
        job(blocked_x, blocked_z.transpose()?).run(blocked_y)?;
        reorder::to_dense(blocked_y, y, output, lanes)
    }

    fn problem(&self, x: &[usize], w: &[usize]) -> Result<Problem> {
        Problem::new(&self.op.window, self.op.groups, x, w)
    }

    /// Checks that an operand has the layout that was planned.
    fn check_layout(&self, what: &str, layout: &Layout, dims: &[usize], planned: Channels) -> Result<()> {
        let have = Channels::of(layout, dims, tile::lanes(self.isa))?;
        ensure!(have == planned || dims.contains(&0), Fail, "the {what} is {have:?}, not {planned:?}");
        Ok(())
    }
}

impl Prepared for DirectKernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let problem = sizes.input(0).and_then(|x| self.problem(x, sizes.input(1)?));
        let residual = self.op.residual && sizes.input(3).is_ok();
        problem.map_or(0, |p| self.scratch_len(&p, residual) * size_of::<f32>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let p = self.problem(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        let shape: Shape = p.shape();
        cx.allocate(0, self.dtype, shape.clone())?;
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        ensure!(y.shape() == &*shape, Fail, "the output has shape {}, not {shape}", Shape::from(y.shape()));
        self.check_layout("input", x.layout(), x.shape(), self.input)?;
        self.check_layout("output", y.layout(), y.shape(), self.output)?;
        let z = if self.op.residual { cx.optional(3)? } else { None };
        if let Some(z) = &z {
            ensure!(z.shape() == &*shape, InvalidArgument, "input Z has shape {}, the result {shape}", Shape::from(z.shape()));
            self.check_layout("residual", z.layout(), z.shape(), self.output)?;
        }
        let mut scratch = cx.scratch::<f32>()?;
        let packing = self.packing(&p);
        let weights: &[f32] = match &self.weights {
            Some(packed) => packed.slice()?,
            None => {
                let w = widened(Floats::of(cx.input(1)?)?, &mut scratch)?;
                let packed = take(&mut scratch, packing.len())?;
                packing.pack(w, packed)?;
                packed
            }
        };
        let bias = cx.optional(2)?.map(Floats::of).transpose()?;
        let bias = bias.map(|b| widened(b, &mut scratch)).transpose()?;
        let kernels = if self.winograd.is_some() { cx.input(1)?.slice::<f32>()? } else { &[] };
        let operands = |x, addend| Operands { problem: &p, order: &packing, x, weights, kernels, bias, addend };
        if self.dtype == DType::F32 {
            return self.convolve(operands(x.stored()?, z.map(|z| z.stored()).transpose()?), y.stored()?, scratch);
        }
        let x = widened(Floats::of(x)?, &mut scratch)?;
        let z = z.map(|z| widened(Floats::of(z)?, &mut scratch)).transpose()?;
        let wide = take(&mut scratch, y.len())?;
        self.convolve(operands(x, z), wide, scratch)?;
        narrow(wide, &FloatsMut::of(y)?);
        base::threads::check()
    }
}

/// The operands of a convolution in `f32`, and the order of its packed weights.
struct Operands<'a> {
    problem: &'a Problem,
    order: &'a Order,
    x: &'a [f32],
    weights: &'a [f32],
    /// Weights as they are, where the method wants them too.
    kernels: &'a [f32],
    bias: Option<&'a [f32]>,
    addend: Option<&'a [f32]>,
}
