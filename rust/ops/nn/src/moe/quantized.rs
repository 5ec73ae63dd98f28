//! QMoE of `com.microsoft`: experts with weights of 2, 4 or 8 bits.

use std::sync::Arc;

use base::{DType, Result, Tensor, TensorRef, ensure};
use gemm::{BlockZeros, Blockwise, Epilogue, Mat, MatMut, Operand, PackedBlocks, Precision, Step, blocks_gemm};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::route::Route;
use crate::floats::{Floats, FloatsMut};

const SIGNATURE: &str = "input:T, router_probs:T, fc1_experts_weights:T1, fc1_scales:T2?, fc1_experts_bias:T?, fc2_experts_weights:T1, \
                         fc2_scales:T2?, fc2_experts_bias:T?, fc3_experts_weights:T1?, fc3_scales:T2?, fc3_experts_bias:T?, \
                         fc1_zero_points:T1?, fc2_zero_points:T1?, fc3_zero_points:T1?, router_weights:T? -> output:T";
const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);

/// QMoE of `com.microsoft`.
pub static Q_MOE: OpDef = OpDef {
    name: "QMoE",
    versions: &[since(1, SIGNATURE, &[("T", FLOATS), ("T1", TypeSet::tensors(&[DType::U8])), ("T2", FLOATS)])],
    load: |a| {
        ensure!(!(8..=10).any(|i| a.has_input(i)), NotImplemented, "QMoE with a third product");
        ensure!(a.choice("quant_type", &["int"], "int")? == 0, NotImplemented, "QMoE with weights that are no integers");
        let (bits, block) = (a.int("expert_weight_bits", 4)?, a.int("block_size", 0)?);
        ensure!(matches!(bits, 2 | 4 | 8) && block >= 0, InvalidGraph, "weights of {bits} bits in blocks of {block}");
        for name in ["fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"] {
            ensure!(a.int(name, bits)? == bits, NotImplemented, "QMoE with products of different bits");
        }
        Ok(Box::new(QMoe { route: Route::load(a, false)?, bits: bits as usize, block: block as usize }))
    },
    kernels: Kernels::NONE.cpu::<QMoe>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct QMoe {
    route: Route,
    bits: usize,
    /// Weights of a row that share a scale; all if 0.
    block: usize,
}

impl Op for QMoe {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        crate::infer::same(cx, 0, 0)
    }
}

/// All elements of `t`.
fn wide(t: TensorRef<'_>) -> Result<Vec<f32>> {
    let mut all = vec![0f32; t.len()];
    Floats::of(t)?.read(0, &mut all);
    Ok(all)
}

/// The blocks that stand for rows that share one scale.
const WHOLE: usize = 32;

/// The numbers of rows that have one scale each, once for every block.
fn repeated(values: impl Iterator<Item = f32>, blocks: usize) -> Vec<f32> {
    values.flat_map(|v| std::iter::repeat_n(v, blocks)).collect()
}

impl QMoe {
    /// Packs the weights of all experts: `[experts, n, k * bits / 8]`, their scales and zero points.
    fn pack(&self, [weights, scales, zeros]: [Option<TensorRef<'_>>; 3]) -> Result<Experts> {
        let (Some(weights), Some(scales)) = (weights, scales) else { base::bail!(InvalidArgument, "experts without weights or scales") };
        let &[experts, n, bytes] = weights.shape() else {
            base::bail!(InvalidArgument, "weights of experts of shape {:?}", weights.shape())
        };
        let (k, bits) = (bytes * 8 / self.bits, self.bits);
        let block = if self.block == 0 { WHOLE } else { self.block };
        ensure!(k > 0 && k.is_multiple_of(block), NotImplemented, "QMoE with rows of {k} weights in blocks of {block}");
        let (blocks, given) = (k / block, if self.block == 0 { 1 } else { k / block });
        let per_row = (given * bits).div_ceil(8);
        let want = experts * n * given;
        ensure!(scales.len() == want, InvalidArgument, "{} scales for {experts} experts of {n} rows of {given} blocks", scales.len());
        let zero_bytes = if self.block == 0 { (n * bits).div_ceil(8) } else { n * per_row };
        if let Some(z) = zeros {
            ensure!(z.len() == experts * zero_bytes, InvalidArgument, "{} bytes of zero points, not {}", z.len(), experts * zero_bytes);
        }
        let (codes, scales) = (weights.slice::<u8>()?, wide(scales)?);
        let zeros = zeros.map(|z| z.slice::<u8>()).transpose()?;
        let one = |e: usize| {
            let mut row_scales = scales[e * n * given..(e + 1) * n * given].to_vec();
            let mut floats = Vec::new();
            let packed = zeros.map(|z| &z[e * zero_bytes..(e + 1) * zero_bytes]);
            if self.block == 0 {
                row_scales = repeated(row_scales.into_iter(), blocks);
                let code = |r: usize, z: &[u8]| f32::from(z[r * bits / 8] >> (r * bits % 8) & (u8::MAX >> (8 - bits)));
                floats = packed.map_or(Vec::new(), |z| repeated((0..n).map(|r| code(r, z)), blocks));
            }
            let zeros = match packed {
                None => BlockZeros::Middle,
                Some(_) if self.block == 0 => BlockZeros::Floats(&floats),
                Some(z) => BlockZeros::Packed(z),
            };
            let weights = &codes[e * n * bytes..(e + 1) * n * bytes];
            PackedBlocks::new(&Blockwise { bits, block, k, n, weights, scales: &row_scales, zeros })
        };
        (0..experts).map(one).collect()
    }
}

/// One product of every expert.
type Experts = Vec<PackedBlocks<f32>>;

struct Kernel {
    op: QMoe,
    /// Constant weights of the two products.
    packed: [Option<Arc<Experts>>; 2],
}

/// Where weights, scales and zero points of the two products are among the inputs.
const PLACES: [[usize; 3]; 2] = [[2, 3, 11], [5, 6, 12]];

impl CpuKernel for QMoe {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let format = format!("experts of {} bits in blocks of {} {}", self.bits, self.block, simd::isa::best().name());
        let mut packed = [None, None];
        for (packed, places) in packed.iter_mut().zip(PLACES) {
            let sources = places.map(|i| cx.constant(i));
            let fixed = cx.optional(places[2]).is_none() || sources[2].is_some();
            if let ([Some(_), Some(_), _], true) = (sources, fixed) {
                let pack = |from: [Option<&Tensor>; 3]| self.pack(from.map(|t| t.map(Tensor::as_ref)));
                *packed = Some(cx.packed.get_of(sources, &format, pack)?);
            }
        }
        Ok(Box::new(Kernel { op: self.clone(), packed }))
    }
}

/// Rows of `x` times the weights of one expert, plus its bias.
fn multiply(b: &PackedBlocks<f32>, n: usize, k: usize, bias: Option<&[f32]>, x: &[f32], rows: usize) -> Result<Vec<f32>> {
    let steps = bias.map(|b| [Step::add(Operand::per_column(b))]);
    let epilogue = Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..]));
    let mut out = vec![0.0; rows * n];
    blocks_gemm(Mat::row_major(x, rows, k)?, b, Precision::Floats, &epilogue, MatMut::row_major(&mut out, rows, n)?, &mut [])?;
    Ok(out)
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (shape, dtype) = (cx.input(0)?.shape().to_vec(), cx.input(0)?.dtype());
        cx.allocate(0, dtype, &*shape)?;
        let (Some(&hidden), &[experts, inner, _]) = (shape.last(), cx.input(2)?.shape()) else {
            base::bail!(InvalidArgument, "an input of shape {shape:?} for experts of shape {:?}", cx.input(2)?.shape());
        };
        let x = wide(cx.input(0)?)?;
        let rows = x.len() / hidden.max(1);
        let logits = wide(cx.input(1)?)?;
        ensure!(
            logits.len() == rows * experts,
            InvalidArgument,
            "router_probs of shape {:?} for {rows} rows and {experts} experts",
            cx.input(1)?.shape()
        );
        let weights = cx.optional(14)?.map(wide).transpose()?;
        ensure!(
            weights.as_ref().is_none_or(|w| w.len() == logits.len()),
            InvalidArgument,
            "router_weights must be as many as router_probs"
        );
        let mut own: [Experts; 2] = Default::default();
        for ((own, packed), [w, s, z]) in own.iter_mut().zip(&self.packed).zip(PLACES) {
            if packed.is_none() {
                *own = self.op.pack([Some(cx.input(w)?), Some(cx.input(s)?), cx.optional(z)?])?;
            }
        }
        let [first, second] = [0, 1].map(|i| self.packed[i].as_deref().unwrap_or(&own[i]));
        let half = inner / self.op.route.activation.inputs();
        let second_shape = cx.input(5)?.shape();
        let fits = second_shape.len() == 3 && second_shape[..2] == [experts, hidden] && second_shape[2] * 8 / self.op.bits == half;
        let fits = fits && cx.input(2)?.shape()[2] * 8 / self.op.bits == hidden;
        ensure!(fits, InvalidArgument, "experts of shapes {:?} and {second_shape:?} for rows of {hidden}", cx.input(2)?.shape());
        let bias = |i: usize, n: usize| {
            let Some(t) = cx.optional(i)? else { return Ok(None) };
            ensure!(t.len() == experts * n, InvalidArgument, "input {i} of shape {:?} for {experts} experts of {n}", t.shape());
            wide(t).map(Some)
        };
        let (first_bias, second_bias) = (bias(4, inner)?, bias(7, hidden)?);
        let of = |bias: &Option<Vec<f32>>, e: usize, n: usize| bias.as_ref().map(|b| b[e * n..(e + 1) * n].to_vec());
        let plan = self.op.route.plan(&logits, weights.as_deref(), experts)?;
        let mut out = vec![0.0; x.len()];
        self.op.route.run(
            &x,
            hidden,
            &plan,
            &|e, x, rows| multiply(&first[e], inner, hidden, of(&first_bias, e, inner).as_deref(), x, rows),
            &|e, x, rows| multiply(&second[e], hidden, half, of(&second_bias, e, hidden).as_deref(), x, rows),
            &mut out,
        )?;
        // SAFETY: only this thread writes the output.
        unsafe { FloatsMut::of(cx.output(0)?)?.write(0, &out) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    const EXPERTS: usize = 3;
    const HIDDEN: usize = 32;
    const INNER: usize = 64;

    fn codes(n: usize, salt: usize) -> Vec<u8> {
        (0..n).map(|i| (i * 37 + salt * 11) as u8).collect()
    }

    fn data(n: usize, salt: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + salt * 5 + 3) % 17) as f32 / 8.0 - 1.0).collect()
    }

    fn op(block: usize, bits: usize) -> Single {
        let s = single(&Q_MOE, 1).attr("k", 2).attr("expert_weight_bits", bits as i64).attr("block_size", block as i64);
        let s = s.attr("activation_type", "swiglu").attr("swiglu_fusion", 1).attr("normalize_routing_weights", 1);
        let blocks = |k: usize| k.checked_div(block).unwrap_or(1);
        let s = s.input([4, HIDDEN], &data(4 * HIDDEN, 0)).input([4, EXPERTS], &data(4 * EXPERTS, 1));
        let s = s.input([EXPERTS, INNER, HIDDEN * bits / 8], &codes(EXPERTS * INNER * HIDDEN * bits / 8, 2));
        let s = s
            .input([EXPERTS, INNER, blocks(HIDDEN)], &scales(EXPERTS * INNER * blocks(HIDDEN)))
            .input([EXPERTS, INNER], &data(EXPERTS * INNER, 3));
        let s = s.input([EXPERTS, HIDDEN, INNER / 2 * bits / 8], &codes(EXPERTS * HIDDEN * INNER / 2 * bits / 8, 4));
        s.input([EXPERTS, HIDDEN, blocks(INNER / 2)], &scales(EXPERTS * HIDDEN * blocks(INNER / 2)))
    }

    fn scales(n: usize) -> Vec<f32> {
        (0..n).map(|i| 0.01 + (i % 5) as f32 * 0.004).collect()
    }

    fn plain(block: usize, bits: usize) -> Vec<f64> {
        let weight = |codes: &[u8], scales: &[f32], row: usize, k: usize, col: usize| {
            let at = row * k + col;
            let code = codes[at * bits / 8] >> (at * bits % 8) & (u8::MAX >> (8 - bits));
            let scale = scales[(row * k + col).checked_div(block).unwrap_or(row)];
            (f64::from(code) - f64::from(1u32 << (bits - 1))) * f64::from(scale)
        };
        let (x, logits, bias) = (data(4 * HIDDEN, 0), data(4 * EXPERTS, 1), data(EXPERTS * INNER, 3));
        let (c1, c2) = (codes(EXPERTS * INNER * HIDDEN * bits / 8, 2), codes(EXPERTS * HIDDEN * INNER / 2 * bits / 8, 4));
        let s = scales(EXPERTS * INNER * HIDDEN);
        let mut out = vec![0.0; 4 * HIDDEN];
        for row in 0..4 {
            let logits = &logits[row * EXPERTS..][..EXPERTS];
            let mut order: Vec<usize> = (0..EXPERTS).collect();
            order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(b.cmp(&a)));
            let e: Vec<f64> = order[..2].iter().map(|&i| f64::from(logits[i]).exp()).collect();
            for (&expert, share) in order.iter().zip(e.iter().map(|v| v / (e[0] + e[1]))) {
                let product = |i: usize| -> f64 {
                    let row_of = expert * INNER + i;
                    f64::from(bias[row_of])
                        + (0..HIDDEN).map(|c| f64::from(x[row * HIDDEN + c]) * weight(&c1, &s, row_of, HIDDEN, c)).sum::<f64>()
                };
                let inner: Vec<f64> =
                    (0..INNER / 2).map(|i| (product(2 * i), product(2 * i + 1))).map(|(g, v)| g / (1. + (-g).exp()) * v).collect();
                for o in 0..HIDDEN {
                    let sum: f64 = (0..INNER / 2).map(|c| inner[c] * weight(&c2, &s, expert * HIDDEN + o, INNER / 2, c)).sum();
                    out[row * HIDDEN + o] += share * sum;
                }
            }
        }
        out
    }

    #[test]
    fn blocks_and_whole_rows() {
        for (block, bits) in [(16, 4), (32, 4), (0, 4), (16, 8), (0, 8)] {
            assert_close(&op(block, bits).tensor().unwrap(), &plain(block, bits), 1e-3, 1e-3);
        }
    }

    #[test]
    fn zero_points_in_the_middle_change_nothing() {
        let s = op(16, 4).skip().skip().skip().skip().input([EXPERTS, INNER, 1], &[0x88u8; EXPERTS * INNER]);
        assert_close(&s.input([EXPERTS, HIDDEN, 1], &[0x88u8; EXPERTS * HIDDEN]).tensor().unwrap(), &plain(16, 4), 1e-3, 1e-3);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(op(16, 4).attr("k", 4).tensor().unwrap_err().detail().contains("there are 3 experts"));
        assert!(op(16, 4).attr("swiglu_fusion", 0).tensor().is_err());
        assert!(op(16, 4).attr("expert_weight_bits", 3).tensor().is_err());
        assert!(op(16, 4).attr("block_size", 64).tensor().is_err());
        assert!(op(16, 4).input([EXPERTS, 1], &[0f32; EXPERTS]).tensor().unwrap_err().detail().contains("input 7 of shape"));
    }
}
