//! MatMulNBits: `A * B + bias` for weights of 2, 4 or 8 bits, quantized in blocks along `K`.

use std::sync::Arc;

use base::{DType, Result, Shape, Tensor, TensorRef, ensure};
use gemm::{BlockZeros, Blockwise, Epilogue, Float, Mat, MatMut, Operand, PackedBlocks, Precision, Step, blocks_gemm, blocks_scratch_len};
use half::{bf16, f16};
use ir::Dim;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::reordered;

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const ZEROS: TypeSet = TypeSet::tensors(&[DType::U8, DType::F32, DType::F16, DType::BF16]);

/// MatMulNBits of `com.microsoft`. Weights in the layout of another device are refused.
pub static MAT_MUL_N_BITS: OpDef = OpDef {
    name: "MatMulNBits",
    versions: &[since(
        1,
        "A:T1, B:T2, scales:T1, zero_points:T3?, g_idx:T4?, bias:T1? -> Y:T1",
        &[("T1", FLOATS), ("T2", TypeSet::tensors(&[DType::U8])), ("T3", ZEROS), ("T4", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| Ok(Box::new(MatMulNBits::load(a)?)),
    kernels: Kernels::NONE.cpu::<MatMulNBits>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct MatMulNBits {
    k: usize,
    n: usize,
    bits: usize,
    block: usize,
    precision: Precision,
}

impl MatMulNBits {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let size = |name: &str, value: i64| {
            usize::try_from(value).map_err(|_| base::error!(InvalidGraph, "attribute '{name}' is {value}, which is no size"))
        };
        ensure!(a.int("weight_prepacked", 0)? == 0, NotImplemented, "MatMulNBits with weights packed for another device");
        // Level 4 allows the left operand to be rounded to bytes; all others keep it as it is.
        let precision = if a.int("accuracy_level", 0)? == 4 { Precision::Bytes } else { Precision::Floats };
        let (k, n) = (size("K", a.required_int("K")?)?, size("N", a.required_int("N")?)?);
        Ok(Self { k, n, bits: size("bits", a.int("bits", 4)?)?, block: size("block_size", a.required_int("block_size")?)?, precision })
    }

    /// The weights as they are handed in; their lengths are checked when they are packed.
    fn weights<'t, T: Float>(&self, inputs: [Option<TensorRef<'t>>; 3]) -> Result<Blockwise<'t, T>> {
        let [Some(weights), Some(scales), zeros] = inputs else { base::bail!(InvalidGraph, "weights and scales must be given") };
        let zeros = match zeros {
            None => BlockZeros::Middle,
            Some(z) if z.dtype() == DType::U8 => BlockZeros::Packed(z.slice::<u8>()?),
            Some(z) => BlockZeros::Floats(z.slice::<T>()?),
        };
        let (weights, scales) = (weights.slice::<u8>()?, scales.slice::<T>()?);
        Ok(Blockwise { bits: self.bits, block: self.block, k: self.k, n: self.n, weights, scales, zeros })
    }

    fn prepare_as<T: Float>(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let sources = [1, 2, 3].map(|i| cx.constant(i));
        let fixed = cx.optional(3).is_none() || sources[2].is_some();
        let packed = match (sources, fixed) {
            ([Some(_), Some(_), _], true) => {
                let format = format!("blocks {} {} {} {} {}", self.bits, self.block, self.k, self.n, simd::isa::best().name());
                let pack = |from: [Option<&Tensor>; 3]| PackedBlocks::new(&self.weights::<T>(from.map(|t| t.map(Tensor::as_ref)))?);
                Some(cx.packed.get_of(sources, &format, pack)?)
            }
            _ => None,
        };
        Ok(Box::new(Kernel::<T> { op: self.clone(), packed }))
    }
}

impl Op for MatMulNBits {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(a) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let Some((k, rows)) = a.split_last() else { base::bail!(InvalidGraph, "A must have at least one axis") };
        ensure!(k.known().is_none_or(|d| d == self.k as i64), InvalidGraph, "the last axis of A has {k} elements, not K = {}", self.k);
        cx.tensor(0, dtype, Some(rows.iter().cloned().chain([Dim::from(self.n)]).collect()));
        Ok(())
    }
}

impl CpuKernel for MatMulNBits {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        if cx.optional(4).is_some() {
            return reordered::prepare(reordered::Weights { k: self.k, n: self.n, bits: self.bits, block: self.block }, cx);
        }
        match cx.dtype(0)? {
            DType::F32 => self.prepare_as::<f32>(cx),
            DType::F16 => self.prepare_as::<f16>(cx),
            DType::BF16 => self.prepare_as::<bf16>(cx),
            other => Err(cx.no_kernel(other)),
        }
    }
}

struct Kernel<T> {
    op: MatMulNBits,
    packed: Option<Arc<PackedBlocks<T>>>,
}

impl<T: Float> Kernel<T> {
    fn multiply(&self, cx: &Run<'_>, m: usize) -> Result<()> {
        let a = Mat::row_major(cx.input(0)?.slice::<T>()?, m, self.op.k)?;
        let own;
        let b = match &self.packed {
            Some(packed) => &**packed,
            None => {
                own = PackedBlocks::new(&self.op.weights::<T>([cx.optional(1)?, cx.optional(2)?, cx.optional(3)?])?)?;
                &own
            }
        };
        let bias = cx.optional(5)?.map(|b| b.slice::<T>()).transpose()?;
        let steps = bias.map(|bias| [Step::Add { operand: Operand::strided(bias, 0, 1, &[]), factor: 1.0 }]);
        let epilogue = Epilogue { alpha: 1.0, steps: steps.as_ref().map_or(&[], |s| &s[..]) };
        let c = MatMut::row_major(cx.output(0)?.slice::<T>()?, m, self.op.n)?;
        blocks_gemm(a, b, self.op.precision, &epilogue, c, cx.scratch::<u8>()?)
    }
}

impl<T: Float> Prepared for Kernel<T> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let m = sizes.input(0).map_or(0, |a| a[..a.len().saturating_sub(1)].iter().product());
        blocks_scratch_len::<T>(m, self.op.n, self.op.k, self.op.block, self.op.precision)
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let a = cx.input(0)?;
        let Some((k, rows)) = a.shape().split_last() else { base::bail!(InvalidArgument, "A must have at least one axis") };
        ensure!(*k == self.op.k, InvalidArgument, "A of shape {} does not end in K = {}", Shape::from(a.shape()), self.op.k);
        let (m, dtype) = (rows.iter().product(), a.dtype());
        let shape: Shape = rows.iter().copied().chain([self.op.n]).collect();
        cx.allocate(0, dtype, shape)?;
        self.multiply(cx, m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, assert_close, single};

    const K: usize = 40;
    const N: usize = 3;

    fn case(rows: usize, bits: usize) -> (Single, Vec<f64>, Vec<f64>) {
        let (block, blocks) = (16, K.div_ceil(16));
        let bytes = block * bits / 8;
        let b: Vec<u8> = (0..N * blocks * bytes).map(|i| (i * 37 + 11) as u8).collect();
        let scales: Vec<f32> = (0..N * blocks).map(|i| 0.25 + i as f32 * 0.125).collect();
        let a: Vec<f32> = (0..rows * K).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let weight = |col: usize, row: usize| {
            let (in_block, at) = (row / block, row % block);
            let byte = b[(col * blocks + in_block) * bytes + at * bits / 8];
            let code = (byte >> (at * bits % 8)) & ((1u16 << bits) - 1) as u8;
            (f64::from(code), f64::from(scales[col * blocks + in_block]))
        };
        let product = |zero: f64| {
            let cell =
                |r: usize, c: usize| -> f64 { (0..K).map(|k| f64::from(a[r * K + k]) * (weight(c, k).0 - zero) * weight(c, k).1).sum() };
            (0..rows).flat_map(|r| (0..N).map(move |c| (r, c))).map(|(r, c)| cell(r, c)).collect::<Vec<f64>>()
        };
        let s = single(&MAT_MUL_N_BITS, 1).attr("K", K as i64).attr("N", N as i64).attr("bits", bits as i64).attr("block_size", 16i64);
        let s = s.input([rows, K], &a).input([N, blocks, bytes], &b).input([N, blocks], &scales);
        (s, product(f64::from(1u32 << (bits - 1))), product(2.0))
    }

    #[test]
    fn few_and_many_rows_of_each_width() {
        for bits in [2, 4, 8] {
            for rows in [0, 1, 3, 9] {
                let (s, expected, _) = case(rows, bits);
                assert_close(&s.tensor().unwrap(), &expected, 1e-5, 1e-4);
            }
        }
    }

    #[test]
    fn zero_points_as_floats_and_a_bias() {
        let (s, _, with_two) = case(2, 4);
        let s = s.input([N, 3], &[2f32; N * 3]).skip().input([N], &[10f32, 20., 30.]);
        let expected: Vec<f64> = with_two.iter().enumerate().map(|(i, x)| x + 10.0 * (i % N + 1) as f64).collect();
        assert_close(&s.tensor().unwrap(), &expected, 1e-5, 1e-4);
    }

    #[test]
    fn rows_assigned_to_blocks() {
        let (s, expected, _) = case(3, 4);
        let own: Vec<i32> = (0..K as i32).map(|k| k / 16).collect();
        assert_close(&s.skip().input([K], &own).tensor().unwrap(), &expected, 1e-5, 1e-4);
        let (s, _, with_two) = case(1, 8);
        assert_close(&s.input([N, 3], &[2u8; N * 3]).input([K], &own).tensor().unwrap(), &with_two, 1e-5, 1e-3);
        let (s, ..) = case(1, 4);
        assert!(s.skip().input([K], &[3i32; K]).tensor().is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let s = single(&MAT_MUL_N_BITS, 1).attr("K", 16i64).attr("N", 1i64).attr("block_size", 16i64);
        let e = s.input([1, 15], &[0f32; 15]).input([1, 1, 8], &[0u8; 8]).input([1, 1], &[1f32]).tensor().unwrap_err();
        assert!(e.message().contains("K = 16"), "{e}");
        let s = single(&MAT_MUL_N_BITS, 1).attr("K", 16i64).attr("N", 1i64).attr("block_size", 16i64);
        assert!(s.input([1, 16], &[0f32; 16]).input([1, 1, 7], &[0u8; 7]).input([1, 1], &[1f32]).tensor().is_err());
    }
}
