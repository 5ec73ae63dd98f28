//! Convolution by matrix products, for any number of axes and every float type: the windows of some positions become the columns of a
//! matrix; for kernels of one element, the input itself is that matrix.

use std::sync::Arc;

use base::threads::parallel_chunks_mut;
use base::{Result, Shape, Tensor, ensure};
use gemm::{Epilogue, Lhs, Mat, MatMut, Operand, PackedA, Scalar, Step, gemm, scratch_len};
use op::{Prepare, Prepared, Run, Sizes};

use super::plain::Conv;
use super::problem::Problem;
use super::windows::{Windows, elements, is_pointwise};
use crate::activation;

/// Elements of the matrix of windows, about: what stays in the second cache.
const MATRIX: usize = 1 << 16;
/// Positions that make a matrix at least.
const POSITIONS: usize = 64;

/// Convolution by matrix products.
pub(super) struct GeneralKernel<T> {
    op: Conv,
    /// Constant weights of each group, packed.
    weights: Option<Arc<Vec<PackedA<T>>>>,
}

/// Weights of group `g`: a row for each output channel.
fn matrix<'a, T>(p: &Problem, weights: &'a [T], g: usize) -> Result<Mat<'a, T>> {
    let len = p.oc * p.ic * p.taps();
    Mat::row_major(&weights[g * len..(g + 1) * len], p.oc, p.ic * p.taps())
}

/// Positions whose windows make a matrix at a time.
fn positions_at_once(p: &Problem) -> usize {
    let rows = (p.ic * p.taps()).max(1);
    (MATRIX / rows).next_multiple_of(POSITIONS).clamp(POSITIONS, p.out_plane().max(POSITIONS))
}

impl<T: Scalar> GeneralKernel<T> {
    pub(super) fn prepare(op: &Conv, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let mut kernel = Self { op: op.clone(), weights: None };
        if let Some(w) = cx.constant(1).filter(|w| w.shape().len() >= 2 && !w.is_empty()) {
            let groups = op.groups;
            ensure!(w.shape()[0] % groups == 0, InvalidGraph, "{} output channels do not make {groups} equal groups", w.shape()[0]);
            let (rows, cols) = (w.shape()[0] / groups, w.len() / w.shape()[0]);
            let format = format!("convolution rows {} groups {groups}", simd::isa::best().name());
            let pack = |w: &Tensor| {
                let data = w.slice::<T>()?;
                data.chunks_exact(rows * cols).map(|w| PackedA::new(Mat::row_major(w, rows, cols)?)).collect::<Result<Vec<_>>>()
            };
            kernel.weights = Some(cx.packed.get(w, &format, pack)?);
        }
        Ok(Box::new(kernel))
    }

    fn problem(&self, x: &[usize], w: &[usize]) -> Result<Problem> {
        Problem::new(&self.op.window, self.op.groups, x, w)
    }

    /// Bytes of the matrix of windows.
    fn matrix_bytes(p: &Problem) -> usize {
        if is_pointwise(p) { 0 } else { (p.ic * p.taps() * positions_at_once(p) * size_of::<T>()).next_multiple_of(64) }
    }

    /// Convolves one group of one image.
    fn group(&self, group: Group<'_, T>, y: &mut [T], scratch: &mut [u8]) -> Result<()> {
        let Group { p, x, weights, bias, addend } = group;
        let (rows, plane) = (p.ic * p.taps(), p.out_plane());
        let pointwise = is_pointwise(p);
        let at_once = if pointwise { plane } else { positions_at_once(p) };
        let (room, scratch) = scratch.split_at_mut(Self::matrix_bytes(p).min(scratch.len()));
        for start in (0..plane).step_by(at_once.max(1)) {
            let count = at_once.min(plane - start);
            let windows: &[T] = match pointwise {
                true => x,
                false => {
                    let room = elements(&mut *room, rows * count)?;
                    Windows { p, x, start, count, padding: T::default() }.write(room);
                    room
                }
            };
            let mut steps = [Step::Activate(gemm::Activation::Relu); 3];
            let mut used = 0;
            let mut push = |step| {
                steps[used] = step;
                used += 1;
            };
            bias.iter().for_each(|b| push(Step::add(Operand::per_row(b))));
            addend.iter().for_each(|z| push(Step::add(Operand::strided(&z[start..], plane, 1, &[]))));
            if T::DTYPE != base::DType::F64 {
                self.op.activation.iter().for_each(|a| push(Step::Activate(*a)));
            }
            let b = Mat::row_major(windows, rows, count)?;
            gemm(weights, b, &Epilogue::new(&steps[..used]), MatMut::new(&mut y[start..], p.oc, count, plane)?, scratch)?;
        }
        if let (Some(activation), Some(y)) = (self.op.activation, crate::floats::cast_mut::<T, f64>(y)) {
            parallel_chunks_mut(y, POSITIONS * POSITIONS, &|_, part| activation::apply(activation, part));
        }
        base::threads::check()
    }
}

/// One group of one image.
struct Group<'a, T: Scalar> {
    p: &'a Problem,
    x: &'a [T],
    weights: Lhs<'a, T>,
    bias: Option<&'a [T]>,
    addend: Option<&'a [T]>,
}

impl<T: Scalar> Prepared for GeneralKernel<T> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let Ok(p) = sizes.input(0).and_then(|x| self.problem(x, sizes.input(1)?)) else { return 0 };
        let columns = if is_pointwise(&p) { p.out_plane() } else { positions_at_once(&p) };
        Self::matrix_bytes(&p) + scratch_len::<T>(1, p.oc, columns, p.ic * p.taps(), self.weights.is_some(), false)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let p = self.problem(cx.input(0)?.shape(), cx.input(1)?.shape())?;
        let shape: Shape = p.shape();
        cx.allocate(0, T::DTYPE, shape.clone())?;
        let x = cx.input(0)?.slice::<T>()?;
        let bias = cx.optional(2)?.map(|b| b.slice::<T>()).transpose()?;
        ensure!(bias.is_none_or(|b| b.len() == p.groups * p.oc), InvalidArgument, "a bias of {:?} elements", bias.map(<[T]>::len));
        let z = if self.op.residual { cx.optional(3)? } else { None };
        if let Some(z) = &z {
            ensure!(z.shape() == &*shape, InvalidArgument, "input Z has shape {}, the result {shape}", Shape::from(z.shape()));
        }
        let z = z.map(|z| z.slice::<T>()).transpose()?;
        let y = cx.output(0)?;
        ensure!(y.shape() == &*shape, Fail, "the output has shape {}, not {shape}", Shape::from(y.shape()));
        let (y, scratch) = (y.slice::<T>()?, cx.scratch::<u8>()?);
        let (input, output) = (p.ic * p.in_plane(), p.oc * p.out_plane());
        if y.is_empty() {
            return Ok(());
        }
        for (i, y) in y.chunks_exact_mut(output).enumerate() {
            let g = i % p.groups;
            let weights = match &self.weights {
                Some(packed) => Lhs::Packed(&packed[g]),
                None => Lhs::Plain(matrix(&p, cx.input(1)?.slice::<T>()?, g)?),
            };
            let bias = bias.map(|b| &b[g * p.oc..(g + 1) * p.oc]);
            let addend = z.map(|z| &z[i * output..(i + 1) * output]);
            self.group(Group { p: &p, x: &x[i * input..(i + 1) * input], weights, bias, addend }, y, scratch)?;
        }
        Ok(())
    }
}
