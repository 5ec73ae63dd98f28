//! The kernels of Conv: direct in `f32` (16-bit floats are widened for it), by matrix products for what that does not take.

use std::sync::Arc;

use base::{DType, Layout, Result, Shape, Tensor, bail, ensure};
use op::{Prepare, Prepared, Run, Sizes};

use super::direct::Job;
use super::pack::Packing;
use super::plain::Conv;
use super::problem::{Channels, Problem};
use super::tile;
use crate::floats::{Floats, FloatsMut};
use crate::widen::{narrow, take, widen};

/// The kernel for the types and layouts at hand.
pub(super) fn prepare(op: &Conv, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    let dtype = cx.dtype(0)?;
    match dtype {
        DType::F32 | DType::F16 | DType::BF16 => {}
        other => return Err(cx.no_kernel(other)),
    }
    let isa = simd::isa::best();
    let layout = |l: &Layout| match l {
        Layout::Blocked(_) => Channels::of(l, &[], tile::lanes(isa)),
        _ => Ok(Channels::Dense),
    };
    let input = layout(&cx.input(0)?.layout)?;
    let output = cx.output(0).map_or(Ok(Channels::Dense), |f| layout(&f.layout))?;
    ensure!(dtype == DType::F32 || (input, output) == (Channels::Dense, Channels::Dense), NotImplemented, "blocked channels of {dtype}");
    let mut kernel = DirectKernel { op: op.clone(), dtype, isa, input, output, weights: None };
    if let Some(w) = cx.constant(1) {
        kernel.weights = Some(kernel.pack_constant(cx, w)?);
    }
    Ok(Box::new(kernel))
}

/// Direct convolution in `f32`.
struct DirectKernel {
    op: Conv,
    dtype: DType,
    isa: simd::Isa,
    input: Channels,
    output: Channels,
    /// Constant weights, packed.
    weights: Option<Arc<Tensor>>,
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
    fn packing(&self, problem: &Problem) -> Packing {
        Packing::new(problem, tile::lanes(self.isa), self.input)
    }

    fn pack_constant(&self, cx: &Prepare<'_>, w: &Tensor) -> Result<Arc<Tensor>> {
        // Packing depends on the weights alone; the input may be any that fits.
        let input: Vec<usize> = [1, w.shape().get(1).copied().unwrap_or(0) * self.op.groups].into_iter().chain(w.shape().iter().skip(2).copied()).collect();
        let window = crate::window::WindowAttrs { kernel: self.op.window.kernel.clone(), ..Default::default() };
        let flat = crate::window::WindowAttrs { auto: crate::window::AutoPad::SameUpper, ..window };
        let packing = self.packing(&Problem::new(&flat, self.op.groups, &input, w.shape())?);
        let pack = || {
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

    /// Elements of scratch memory: packed weights if they are no constant, and widened operands.
    fn scratch_len(&self, p: &Problem, residual: bool) -> usize {
        let weights = if self.weights.is_some() { 0 } else { self.packing(p).len() };
        if self.dtype == DType::F32 {
            return weights;
        }
        let (x, y) = (p.batch * p.groups * p.ic * p.in_plane(), p.batch * p.groups * p.oc * p.out_plane());
        let raw = if self.weights.is_some() { 0 } else { p.weights() };
        weights + raw + x + y * if residual { 2 } else { 1 } + p.groups * p.oc
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
        let (problem, packing) = (&p, &packing);
        let job = |x, addend| Job { problem, packing, isa: self.isa, x, weights, bias, addend, activation: self.op.activation, output: self.output };
        match self.dtype {
            DType::F32 => job(x.stored()?, z.map(|z| z.stored()).transpose()?).run(y.stored()?),
            DType::F16 | DType::BF16 => {
                let x = widened(Floats::of(x)?, &mut scratch)?;
                let z = z.map(|z| widened(Floats::of(z)?, &mut scratch)).transpose()?;
                let wide = take(&mut scratch, y.len())?;
                job(x, z).run(wide)?;
                narrow(wide, &FloatsMut::of(y)?);
                base::threads::check()
            }
            other => bail!(NotImplemented, "a direct convolution of {other}"),
        }
    }
}
