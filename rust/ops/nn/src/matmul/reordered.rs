//! MatMulNBits whose rows of weights are assigned to blocks by an index: the weights are widened to floats once.

use std::sync::Arc;

use base::{DType, Result, Shape, TensorRef, bail, ensure, packed};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm, scratch_len};
use op::{Prepare, Prepared, Run, Sizes};

use crate::floats::Floats;

/// The sizes of quantized weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) bits: usize,
    pub(super) block: usize,
}

/// Zero points of blocks, column by column.
enum Zeros<'a> {
    Middle,
    Packed(&'a [u8]),
    Floats(Floats<'a>),
}

impl Weights {
    fn blocks(&self) -> usize {
        self.k.div_ceil(self.block.max(1))
    }

    /// Number `i` of packed numbers.
    fn code(&self, bytes: &[u8], i: usize) -> u8 {
        match self.bits {
            2 => packed::get(DType::U2, bytes, i),
            4 => packed::get(DType::U4, bytes, i),
            _ => bytes.get(i).copied(),
        }
        .unwrap_or_default()
    }

    fn zeros<'a>(&self, t: Option<TensorRef<'a>>) -> Result<Zeros<'a>> {
        let Some(t) = t else { return Ok(Zeros::Middle) };
        let (zeros, want) = match t.dtype() {
            DType::U8 => (Zeros::Packed(t.slice()?), self.n * (self.blocks() * self.bits).div_ceil(8)),
            _ => (Zeros::Floats(Floats::of(t)?), self.n * self.blocks()),
        };
        ensure!(t.len() == want, InvalidArgument, "{} zero points for {self:?}", t.len());
        Ok(zeros)
    }

    /// The weights, `[k, n]`. `inputs` are weights, scales, zero points and indices.
    fn floats(&self, inputs: [Option<TensorRef<'_>>; 4]) -> Result<Vec<f32>> {
        let [Some(weights), Some(scales), zeros, Some(indices)] = inputs else { bail!(InvalidGraph, "weights and scales must be given") };
        ensure!(matches!(self.bits, 2 | 4 | 8), NotImplemented, "weights of {} bits", self.bits);
        let (blocks, zeros) = (self.blocks(), self.zeros(zeros)?);
        let (weights, scales, indices) = (weights.slice::<u8>()?, Floats::of(scales)?, indices.slice::<i32>()?);
        let column = blocks * self.block * self.bits / 8;
        let fits = weights.len() == self.n * column && scales.len() == self.n * blocks && indices.len() >= self.k;
        ensure!(fits, InvalidArgument, "{} bytes, {} scales and {} indices for {self:?}", weights.len(), scales.len(), indices.len());
        let zero_column = (blocks * self.bits).div_ceil(8);
        let zero = |n: usize, block: usize| match &zeros {
            Zeros::Middle => (1u32 << (self.bits - 1)) as f32,
            Zeros::Packed(z) => self.code(&z[n * zero_column..(n + 1) * zero_column], block).into(),
            Zeros::Floats(z) => z.get(n * blocks + block),
        };
        let mut floats = vec![0.0; self.k * self.n];
        for (k, row) in floats.chunks_exact_mut(self.n.max(1)).enumerate() {
            let Some(block) = usize::try_from(indices[k]).ok().filter(|b| *b < blocks) else {
                bail!(InvalidArgument, "g_idx has block {} of {blocks}", indices[k]);
            };
            for (n, w) in row.iter_mut().enumerate() {
                let code = self.code(&weights[n * column..(n + 1) * column], k);
                *w = (f32::from(code) - zero(n, block)) * scales.get::<f32>(n * blocks + block);
            }
        }
        Ok(floats)
    }
}

/// The kernel; products are computed in `f32`.
pub(super) fn prepare(weights: Weights, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    let sources = [1, 2, 3, 4].map(|i| cx.constant(i));
    let fixed = sources[0].is_some() && sources[1].is_some() && sources[3].is_some();
    let packed = match fixed && (cx.optional(3).is_none() || sources[2].is_some()) {
        false => None,
        true => {
            let format = format!("blocks by index {weights:?} {}", simd::isa::best().name());
            let pack = |from: [Option<&base::Tensor>; 4]| {
                let floats = weights.floats(from.map(|t| t.map(base::Tensor::as_ref)))?;
                PackedB::new(Mat::row_major(&floats, weights.k, weights.n)?)
            };
            Some(cx.packed.get_of(sources, &format, pack)?)
        }
    };
    Ok(Box::new(Kernel { weights, packed }))
}

struct Kernel {
    weights: Weights,
    packed: Option<Arc<PackedB<f32>>>,
}

impl Kernel {
    fn rows(shape: &[usize]) -> usize {
        shape[..shape.len().saturating_sub(1)].iter().product()
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let m = sizes.input(0).map_or(0, Self::rows);
        let Weights { k, n, .. } = self.weights;
        (m * k + m * n + n) * size_of::<f32>() + scratch_len::<f32>(1, m, n, k, false, true)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let Weights { k, n, .. } = self.weights;
        let (dtype, a_shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        ensure!(a_shape.last() == Some(&k), InvalidArgument, "A of shape {a_shape} does not end in K = {k}");
        let m = Self::rows(&a_shape);
        let shape: Shape = a_shape[..a_shape.len() - 1].iter().copied().chain([n]).collect();
        cx.allocate(0, dtype, shape)?;
        let own;
        let b = match &self.packed {
            Some(packed) => &**packed,
            None => {
                let floats = self.weights.floats([cx.optional(1)?, cx.optional(2)?, cx.optional(3)?, cx.optional(4)?])?;
                own = PackedB::new(Mat::row_major(&floats, k, n)?)?;
                &own
            }
        };
        let scratch = cx.scratch::<u8>()?;
        let floats = (m * k + m * n + n) * size_of::<f32>();
        ensure!(floats <= scratch.len(), Fail, "the scratch memory is too small");
        let (room, scratch) = scratch.split_at_mut(floats);
        let mut room = crate::conv::windows::elements::<f32>(room, m * k + m * n + n)?;
        let (wide_a, wide_y) = (crate::widen::take(&mut room, m * k)?, crate::widen::take(&mut room, m * n)?);
        let a = Floats::of(cx.input(0)?)?;
        let a = a.row(0..a.len(), wide_a);
        let bias = cx.optional(5)?.map(Floats::of).transpose()?;
        ensure!(bias.is_none_or(|b| b.len() == n), InvalidArgument, "a bias of {:?} elements, not {n}", bias.map(|b| b.len()));
        let bias = bias.map(|b| b.row(0..n, room));
        let steps = bias.map(|b| [Step::add(Operand::per_column(b))]);
        let epilogue = Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..]));
        gemm(Mat::row_major(a, m, k)?, b, &epilogue, MatMut::row_major(&mut *wide_y, m, n)?, scratch)?;
        crate::number::write(wide_y, cx.output(0)?)
    }
}
