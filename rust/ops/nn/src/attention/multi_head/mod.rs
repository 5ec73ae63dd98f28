//! Attention, MultiHeadAttention and DecoderMaskedMultiHeadAttention of `com.microsoft`: heads of queries, keys and values that the
//! operator makes itself, or gets.

mod beams;
mod kernel;
mod projection;

use base::{DType, Result, bail, ensure};
use ir::{Dim, Dims};
use op::{Attrs, Infer, Kernels, Op, OpDef, TypeSet, since};

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const INTS: TypeSet = TypeSet::tensors(&[DType::I32]);

/// Attention of `com.microsoft`.
pub static MICROSOFT_ATTENTION: OpDef = OpDef {
    name: "Attention",
    versions: &[since(
        1,
        "input:T, weights:T, bias:T?, mask_index:M?, past:T?, attention_bias:T?, past_sequence_length:M? -> output:T, present:T?",
        &[("T", FLOATS), ("M", INTS)],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<MultiHead>(),
    ..OpDef::MICROSOFT
};

/// MultiHeadAttention of `com.microsoft`.
pub static MULTI_HEAD_ATTENTION: OpDef = OpDef {
    name: "MultiHeadAttention",
    versions: &[since(
        1,
        "query:T, key:T?, value:T?, bias:T?, key_padding_mask:M?, attention_bias:T?, past_key:T?, past_value:T?, past_sequence_length:M?, \
         cache_indirection:M? -> output:T, present_key:T?, present_value:T?, qk:QK?",
        &[("T", FLOATS), ("QK", FLOATS), ("M", INTS)],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<MultiHead>(),
    // Caches that have room for more keep their place.
    in_place: &[(6, 1), (7, 2)],
    ..OpDef::MICROSOFT
};

/// DecoderMaskedMultiHeadAttention of `com.microsoft`.
pub static DECODER_MASKED_MULTI_HEAD_ATTENTION: OpDef = OpDef {
    name: "DecoderMaskedMultiHeadAttention",
    versions: &[since(
        1,
        "query:T, key:T?, value:T?, mask_index:M?, attention_bias:T?, past_key:T?, past_value:T?, past_sequence_length:M?, beam_width:M?, \
         cache_indirection:M?, bias:T? -> output:T, present_key:T?, present_value:T?, qk:QK?",
        &[("T", FLOATS), ("QK", FLOATS), ("M", INTS)],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<MultiHead>(),
    // Caches that have room for more keep their place.
    in_place: &[(5, 1), (6, 2)],
    ..OpDef::MICROSOFT
};

/// Where an operator has its inputs.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// What is added to queries, keys and values.
    bias: usize,
    mask: usize,
    /// What is added to scores.
    scores: usize,
    /// Earlier keys and values, which may be one tensor.
    past: [usize; 2],
    /// How many earlier ones there are in a cache that has room for more.
    length: usize,
    /// The beam that each position of a cache is taken from.
    beams: usize,
    /// Present keys and values among the outputs, which may be one tensor.
    present: [usize; 2],
}

const PROJECTED: Places = Places { bias: 2, mask: 3, scores: 5, past: [4, 4], length: 6, beams: usize::MAX, present: [1, 1] };
const GIVEN: Places = Places { bias: 3, mask: 4, scores: 5, past: [6, 7], length: 8, beams: 9, present: [1, 2] };
const DECODER: Places = Places { bias: 10, mask: 3, scores: 4, past: [5, 6], length: 7, beams: 9, present: [1, 2] };

#[derive(Clone, Debug)]
struct MultiHead {
    places: Places,
    heads: usize,
    causal: bool,
    /// What is added to scores that do not count.
    filter: f32,
    scale: Option<f32>,
    /// Whether the operator makes queries, keys and values itself, and their sizes where they differ.
    projects: Option<Option<[usize; 3]>>,
    /// Whether a cache has room for more, and an input tells how many earlier ones are in it.
    shares: bool,
}

fn load(a: &Attrs<'_>) -> Result<MultiHead> {
    let heads = a.required_int("num_heads")?;
    let Some(heads) = usize::try_from(heads).ok().filter(|h| *h > 0) else { bail!(InvalidGraph, "attribute 'num_heads' is {heads}") };
    let projects = if a.op() == "Attention" {
        ensure!(!a.flag("do_rotary", false)?, NotImplemented, "Attention with do_rotary");
        a.ignore("rotary_embedding_dim");
        ensure!(!a.flag("past_present_share_buffer", false)?, NotImplemented, "Attention with past_present_share_buffer");
        let sizes = match crate::window::sizes(a, "qkv_hidden_sizes", 1)?.as_deref() {
            None => None,
            Some([q, k, v]) if q == k => Some([*q, *k, *v]),
            Some(other) => bail!(InvalidGraph, "attribute 'qkv_hidden_sizes' is {other:?}"),
        };
        Some(sizes)
    } else {
        None
    };
    let places = match a.op() {
        "Attention" => PROJECTED,
        "MultiHeadAttention" => GIVEN,
        _ => DECODER,
    };
    let shares = projects.is_none() && a.has_input(places.length);
    if a.op() == "DecoderMaskedMultiHeadAttention" {
        let asked = a.flag("past_present_share_buffer", false)?;
        ensure!(!asked || shares, InvalidGraph, "past_present_share_buffer needs input {}, past_sequence_length", places.length);
        // It says what output 3 does: that it is asked for.
        a.ignore("output_qk");
    }
    let beams = a.has_input(places.beams);
    ensure!(!beams || a.has_input(places.past[0]), InvalidGraph, "input {}, cache_indirection, needs a past", places.beams);
    let filter = a.float("mask_filter_value", -10000.0)?;
    let scale = a.opt_float("scale")?.filter(|s| *s != 0.0);
    Ok(MultiHead { heads, causal: a.flag("unidirectional", false)?, filter, scale, projects, places, shares })
}

impl MultiHead {
    /// Sizes of all queries, keys and values of a position that the operator makes from weights of `width` columns.
    fn parts(&self, width: usize) -> Result<[usize; 3]> {
        let parts = self.projects.flatten().unwrap_or([width / 3; 3]);
        let fits = parts.iter().sum::<usize>() == width && parts.iter().all(|p| p % self.heads == 0);
        ensure!(fits, InvalidArgument, "{} heads of {parts:?} from weights of {width} columns", self.heads);
        Ok(parts)
    }

    fn infer_projected(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (Some(x), Some(w)) = (cx.dims(0)?, cx.dims(1)?) else {
            let dims = cx.fresh_dims(3);
            cx.tensor(0, dtype, Some(dims));
            cx.tensor(1, dtype, None);
            return Ok(());
        };
        ensure!(x.len() == 3 && w.len() == 2, InvalidGraph, "an input of shape {x:?} with weights of {w:?}");
        let (values, keys) = match self.projects.flatten() {
            Some([_, k, v]) => (Dim::from(v), Dim::from(k)),
            None => (w[1].floor_div(&Dim::Known(3)), w[1].floor_div(&Dim::Known(3))),
        };
        let past = cx.optional(4).and_then(|f| f.shape.as_deref()).and_then(|s| s.get(3)).cloned();
        let all = past.map_or(x[1].clone(), |p| p.add(&x[1]));
        let heads = Dim::from(self.heads);
        let size = keys.floor_div(&heads);
        cx.tensor(0, dtype, Some(vec![x[0].clone(), x[1].clone(), values].into()));
        cx.tensor(1, dtype, Some(vec![Dim::Known(2), x[0].clone(), heads, all, size].into()));
        Ok(())
    }

    fn infer_given(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let heads = Dim::from(self.heads);
        let given = |i: usize| cx.optional(i).and_then(|f| f.shape.as_deref());
        let Some(q) = given(0) else {
            (0..4).for_each(|i| cx.tensor(i, dtype, None));
            return Ok(());
        };
        // Keys and values: positions, elements of a head.
        let one = |dims: &[Dim]| match dims {
            [_, rows, hidden] => Ok((rows.clone(), hidden.floor_div(&heads))),
            [_, _, rows, size] | [_, rows, _, _, size] => Ok((rows.clone(), size.clone())),
            _ => Err(base::error!(InvalidGraph, "keys or values of shape {dims:?}")),
        };
        let (queries, size) = one(q)?;
        // All in one, side by side.
        let size = if given(1).is_none() && q.len() == 3 { size.floor_div(&Dim::Known(3)) } else { size };
        let (keys, k_size) = given(1).map_or(Ok((queries.clone(), size.clone())), one)?;
        let (_, v_size) = given(2).map_or(Ok((keys.clone(), k_size.clone())), one)?;
        let past = given(self.places.past[0]).and_then(|p| p.get(2)).cloned();
        let all = match past {
            Some(past) if self.shares => past,
            Some(past) => past.add(&keys),
            None => keys.clone(),
        };
        // In a cache that has room for more, only a run tells.
        let seen = if self.shares { cx.fresh() } else { all.clone() };
        let dims = |d: [&Dim; 4]| -> Dims { d.into_iter().cloned().collect() };
        cx.tensor(0, dtype, Some(vec![q[0].clone(), queries.clone(), v_size.mul(&heads)].into()));
        cx.tensor(1, dtype, Some(dims([&q[0], &heads, &all, &k_size])));
        cx.tensor(2, dtype, Some(dims([&q[0], &heads, &all, &v_size])));
        cx.tensor(3, dtype, Some(dims([&q[0], &heads, &queries, &seen])));
        Ok(())
    }
}

impl Op for MultiHead {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if self.projects.is_some() { self.infer_projected(cx) } else { self.infer_given(cx) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn keys_that_do_not_count() {
        let op = single(&MULTI_HEAD_ATTENTION, 1).attr("num_heads", 1i64).input([1, 1, 1], &[0f32]).input([1, 3, 1], &[1f32, 2.0, 3.0]);
        let op = op.input([1, 3, 1], &[2f32, 4.0, 90.0]).skip();
        assert_close(&op.input([1, 3], &[1i32, 1, 0]).tensor().unwrap(), &[3.0], 1e-6, 0.0);
    }

    #[test]
    fn queries_keys_and_values_from_weights() {
        let w = [0f32, 0.0, 1.0, 0.0, 0.0, 1.0];
        let op =
            single(&MICROSOFT_ATTENTION, 1).attr("num_heads", 1i64).attr("unidirectional", 1i64).input([1, 2, 2], &[1f32, 2.0, 3.0, 4.0]);
        let out = op.input([2, 3], &w).input([3], &[0f32, 5.0, 1.0]).run(2).unwrap();
        assert_close(out[0].tensor().unwrap(), &[4.0, 6.0], 1e-6, 0.0);
        assert_close(out[1].tensor().unwrap(), &[5.0, 5.0, 4.0, 8.0], 0.0, 0.0);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let op = single(&MULTI_HEAD_ATTENTION, 1).attr("num_heads", 2i64).input([1, 1, 3], &[0f32; 3]).input([1, 1, 3], &[0f32; 3]);
        assert!(op.input([1, 1, 3], &[0f32; 3]).tensor().is_err());
    }
}
