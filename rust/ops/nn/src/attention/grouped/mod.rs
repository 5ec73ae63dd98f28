//! GroupQueryAttention of `com.microsoft`: several heads of queries share one of keys and values, behind those of earlier calls.

pub(crate) mod change;
mod kernel;
mod window;

use base::{DType, Result, bail, ensure};
use ir::Dim;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, since};

use self::kernel::Kernel;
use super::core::Stage;

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const CACHES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16, DType::F8E4M3FN, DType::I8, DType::U8]);

/// GroupQueryAttention of `com.microsoft`.
pub static GROUP_QUERY_ATTENTION: OpDef = OpDef {
    name: "GroupQueryAttention",
    versions: &[since(
        1,
        "query:T, key:T?, value:T?, past_key:T_CACHE?, past_value:T_CACHE?, seqlens_k:M, total_sequence_length:M, cos_cache:T?, \
         sin_cache:T?, position_ids:int64?, attention_bias:T?, head_sink:T?, k_scale:T_KV_SCALE?, v_scale:T_KV_SCALE?, q_norm_weight:T?, \
         k_norm_weight:T? -> output:T, present_key:T_CACHE?, present_value:T_CACHE?, output_qk:T?",
        &[("T", FLOATS), ("T_CACHE", CACHES), ("T_KV_SCALE", TypeSet::tensors(&[DType::F32])), ("M", TypeSet::tensors(&[DType::I32]))],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Grouped>(),
    // A cache that has room for more keeps its place.
    in_place: &[(3, 1), (4, 2)],
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Grouped {
    heads: usize,
    kv_heads: usize,
    scale: Option<f32>,
    softcap: f32,
    /// How many keys back a query sees, itself included; all if `None`.
    window: Option<usize>,
    /// The window of a cache that has room for little more than that.
    slides: Option<usize>,
    /// Whether caches hold numbers of few bits, and of how many, if that is said.
    quantized: bool,
    bits: Option<usize>,
    causal: bool,
    rotates: bool,
    interleaved: bool,
    /// Whether a key of score 0 and no value is added.
    smooth: bool,
    /// What output 3 holds, if anything.
    kept: Option<Stage>,
    norm_epsilon: f32,
}

fn load(a: &Attrs<'_>) -> Result<Grouped> {
    let count = |name: &str| -> Result<usize> {
        let n = a.required_int(name)?;
        usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| base::error!(InvalidGraph, "attribute '{name}' is {n}"))
    };
    let (heads, kv_heads) = (count("num_heads")?, count("kv_num_heads")?);
    ensure!(heads % kv_heads == 0, InvalidGraph, "{heads} heads share {kv_heads}");
    let mut quantized = false;
    for (name, scales) in [("k_quant_type", 12), ("v_quant_type", 13)] {
        let own = match a.string(name, "NONE")? {
            "NONE" => false,
            "PER_TENSOR" | "PER_CHANNEL" => true,
            other => bail!(InvalidGraph, "attribute '{name}' is {other:?}"),
        };
        ensure!(own == a.has_input(scales), InvalidGraph, "attribute '{name}' says otherwise than input {scales}");
        ensure!(scales == 12 || own == quantized, NotImplemented, "a quantized cache beside one that is not");
        quantized = own;
    }
    let bits = match a.opt_int("kv_cache_bit_width")? {
        None | Some(0) => None,
        Some(bits @ (4 | 8)) => Some(bits as usize),
        Some(other) => bail!(InvalidGraph, "attribute 'kv_cache_bit_width' is {other}"),
    };
    let kept = match a.int("qk_output", 0)? {
        0 => None,
        1 => Some(Stage::Seen),
        2 => Some(Stage::Weights),
        other => bail!(InvalidGraph, "attribute 'qk_output' is {other}"),
    };
    let window = usize::try_from(a.int("local_window_size", -1)?).ok().filter(|w| *w > 0);
    let slides = if a.flag("sliding_window_cache", false)? { window } else { None };
    if a.flag("sliding_window_cache", false)? {
        ensure!(slides.is_some(), InvalidGraph, "a cache that slides needs attribute 'local_window_size'");
        ensure!(a.has_input(3), InvalidGraph, "a cache that slides needs input 3, which tells its size");
        ensure!(kept.is_none(), NotImplemented, "GroupQueryAttention with output_qk of a cache that slides");
    }
    Ok(Grouped {
        heads,
        kv_heads,
        scale: a.opt_float("scale")?.filter(|s| *s != 0.0),
        softcap: a.float("softcap", 0.0)?,
        window,
        slides,
        quantized,
        bits,
        causal: a.flag("causal", true)?,
        rotates: a.flag("do_rotary", false)?,
        interleaved: a.flag("rotary_interleaved", false)?,
        smooth: a.int("smooth_softmax", -1)? == 1,
        kept,
        norm_epsilon: a.float("qk_norm_epsilon", 1e-6)?,
    })
}

impl Grouped {
    /// Bits of a number in a quantized cache of type `cache`.
    fn bits(&self, cache: DType) -> usize {
        self.bits.unwrap_or(if cache == DType::U8 { 4 } else { 8 })
    }

    /// How many elements of a cache of type `cache` hold a head of `size` elements.
    fn width(&self, cache: DType, size: usize) -> usize {
        if self.quantized && self.bits(cache) == 4 { size / 2 } else { size }
    }

    /// The type of a cache behind one of type `past`, for operands of type `dtype`.
    fn cache(&self, past: Option<DType>, dtype: DType) -> DType {
        let quantized = if self.bits == Some(4) { DType::U8 } else { DType::I8 };
        past.unwrap_or(if self.quantized { quantized } else { dtype })
    }
}

impl Op for Grouped {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let cache = self.cache(cx.optional(3).and_then(|f| f.dtype()), dtype);
        let Some(q) = cx.dims(0)? else {
            [dtype, cache, cache, dtype].into_iter().enumerate().for_each(|(i, t)| cx.tensor(i, t, None));
            return Ok(());
        };
        ensure!(q.len() == 3, InvalidGraph, "queries of shape {q:?}");
        let parts = if cx.optional(1).is_some() { self.heads } else { self.heads + 2 * self.kv_heads };
        let size = q[2].floor_div(&Dim::from(parts));
        let total = cx.ints(6).and_then(|v| v.first().cloned());
        let past = cx.optional(3).and_then(|f| f.shape.as_deref()).and_then(|s| s.get(2)).cloned();
        let all = match (total.clone(), past) {
            (_, Some(past)) if self.slides.is_some() => past,
            (Some(total), Some(past)) => total.larger(&past),
            (Some(total), None) => total,
            _ => cx.fresh(),
        };
        let width = if self.width(cache, 2) == 1 { size.floor_div(&Dim::Known(2)) } else { size.clone() };
        let seen = total.unwrap_or_else(|| cx.fresh());
        cx.tensor(0, dtype, Some(vec![q[0].clone(), q[1].clone(), size.mul(&Dim::from(self.heads))].into()));
        for i in [1, 2] {
            cx.tensor(i, cache, Some(vec![q[0].clone(), Dim::from(self.kv_heads), all.clone(), width.clone()].into()));
        }
        cx.tensor(3, dtype, Some(vec![q[0].clone(), Dim::from(self.heads), q[1].clone(), seen].into()));
        Ok(())
    }
}

impl CpuKernel for Grouped {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let cache = self.cache(cx.optional(3).and_then(|f| f.dtype()), dtype);
        if cache != dtype && !self.quantized {
            return Err(cx.no_kernel(cache));
        }
        let gathers = dtype != DType::F32 || self.rotates || cx.optional(14).is_some();
        let kept = cx.output(1).is_some() && cx.output(2).is_some();
        Ok(Box::new(Kernel { op: self.clone(), cache, gathers, kept }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, assert_close, single};

    fn op() -> Single {
        single(&GROUP_QUERY_ATTENTION, 1).attr("num_heads", 2i64).attr("kv_num_heads", 1i64)
    }

    #[test]
    fn a_prompt_sees_what_came_before() {
        let s = op().input([1, 2, 2], &[0f32; 4]).input([1, 2, 1], &[1f32, 2.0]).input([1, 2, 1], &[4f32, 8.0]).skip().skip();
        let out = s.input([1], &[1i32]).input([], &[2i32]).run(3).unwrap();
        assert_close(out[0].tensor().unwrap(), &[4.0, 4.0, 6.0, 6.0], 1e-6, 0.0);
        assert_close(out[1].tensor().unwrap(), &[1.0, 2.0], 0.0, 0.0);
    }

    #[test]
    fn one_more_goes_behind_the_past() {
        let s = op().input([1, 1, 2], &[0f32; 2]).input([1, 1, 1], &[3f32]).input([1, 1, 1], &[12f32]);
        let s = s.input([1, 1, 4, 1], &[1f32, 2.0, 0.0, 0.0]).input([1, 1, 4, 1], &[0f32, 6.0, 0.0, 0.0]);
        let out = s.input([1], &[2i32]).input([], &[3i32]).run(3).unwrap();
        assert_close(out[0].tensor().unwrap(), &[6.0, 6.0], 1e-6, 0.0);
        assert_close(out[2].tensor().unwrap(), &[0.0, 6.0, 12.0, 0.0], 0.0, 0.0);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let s = op().input([1, 1, 2], &[0f32; 2]).input([1, 1, 1], &[3f32]).input([1, 1, 1], &[12f32]).skip().skip();
        assert!(s.input([1], &[7i32]).input([], &[1i32]).run(3).is_err());
    }
}
