//! GroupQueryAttention of `com.microsoft`: several heads of queries share one of keys and values, behind those of earlier calls.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use ir::Dim;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};

use super::cache::{Extent, Fresh, Join, by_head};
use super::core::{Job, Stage, Target, scratch_bytes};
use super::masks::Bias;
use super::rotary::turn;
use crate::conv::windows::elements;
use crate::floats::{Floats, FloatsMut};
use crate::widen::take;

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const CACHES: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16, DType::F8E4M3FN, DType::I8, DType::U8]);

/// GroupQueryAttention of `com.microsoft`. Quantized caches are not computed with.
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
    let quantized = ["k_quant_type", "v_quant_type"].map(|name| a.string(name, "NONE"));
    for kind in quantized {
        ensure!(kind? == "NONE", NotImplemented, "GroupQueryAttention with quantized caches");
    }
    ensure!(!a.has_input(12) && !a.has_input(13), NotImplemented, "GroupQueryAttention with quantized caches");
    a.ignore("kv_cache_bit_width");
    ensure!(!a.flag("sliding_window_cache", false)?, NotImplemented, "GroupQueryAttention with a cache that slides");
    let kept = match a.int("qk_output", 0)? {
        0 => None,
        1 => Some(Stage::Biased),
        2 => Some(Stage::Weights),
        other => bail!(InvalidGraph, "attribute 'qk_output' is {other}"),
    };
    let window = a.int("local_window_size", -1)?;
    Ok(Grouped {
        heads,
        kv_heads,
        scale: a.opt_float("scale")?.filter(|s| *s != 0.0),
        softcap: a.float("softcap", 0.0)?,
        window: usize::try_from(window).ok().filter(|w| *w > 0),
        causal: a.flag("causal", true)?,
        rotates: a.flag("do_rotary", false)?,
        interleaved: a.flag("rotary_interleaved", false)?,
        smooth: a.int("smooth_softmax", -1)? == 1,
        kept,
        norm_epsilon: a.float("qk_norm_epsilon", 1e-6)?,
    })
}

impl Op for Grouped {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let cache = cx.optional(3).and_then(|f| f.dtype()).unwrap_or(dtype);
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
            (Some(total), Some(past)) => total.larger(&past),
            (Some(total), None) => total,
            _ => cx.fresh(),
        };
        let seen = total.unwrap_or_else(|| cx.fresh());
        cx.tensor(0, dtype, Some(vec![q[0].clone(), q[1].clone(), size.mul(&Dim::from(self.heads))].into()));
        for i in [1, 2] {
            cx.tensor(i, cache, Some(vec![q[0].clone(), Dim::from(self.kv_heads), all.clone(), size.clone()].into()));
        }
        cx.tensor(3, dtype, Some(vec![q[0].clone(), Dim::from(self.heads), q[1].clone(), seen].into()));
        Ok(())
    }
}

impl CpuKernel for Grouped {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        if let Some(cache) = cx.optional(3).and_then(|f| f.dtype())
            && cache != cx.dtype(0)?
        {
            return Err(cx.no_kernel(cache));
        }
        Ok(Box::new(Kernel(self.clone())))
    }
}

struct Kernel(Grouped);

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    q: Extent,
    k: Extent,
    packed: bool,
    /// Positions of the present cache.
    all: usize,
    /// The greatest number of keys of any image.
    total: usize,
}

impl Plan {
    fn elements(e: Extent) -> usize {
        e.batch * e.heads * e.rows * e.size
    }

    fn cache(&self) -> Extent {
        Extent { rows: self.all, ..self.k }
    }
}

fn padded(len: usize) -> usize {
    (len * size_of::<f32>()).next_multiple_of(64)
}

fn room<'a>(scratch: &mut &'a mut [u8], len: usize) -> Result<&'a mut [f32]> {
    let bytes = padded(len).min(scratch.len());
    elements(take(scratch, bytes)?, len)
}

/// How queries and keys are changed before they meet: normalized, then turned.
struct Change<'a> {
    op: &'a Grouped,
    caches: Option<(Floats<'a>, Floats<'a>, usize)>,
    norm: Option<Floats<'a>>,
    /// The position of the first element of each image.
    first: &'a dyn Fn(usize) -> usize,
    positions: Option<&'a [i64]>,
    rows: usize,
}

impl Change<'_> {
    fn position(&self, image: usize, row: usize) -> usize {
        match self.positions {
            Some(p) if p.len() == 1 => p[0] as usize + row,
            Some(p) => p[image * self.rows + row] as usize,
            None => (self.first)(image) + row,
        }
    }

    fn apply(&self, image: usize, row: usize, x: &mut [f32]) {
        if let Some(weights) = self.norm {
            let spread = simd::reduce::sum_of_squares(x) / x.len() as f32;
            let factor = 1.0 / (spread + self.op.norm_epsilon).sqrt();
            x.iter_mut().enumerate().for_each(|(i, v)| *v *= factor * weights.get::<f32>(i));
        }
        let Some((cos, sin, half)) = self.caches else { return };
        let at = self.position(image, row) * half;
        let mut parts: [smallvec::SmallVec<[f32; 128]>; 3] = [(&*x).into(), smallvec::smallvec![0.0; half], smallvec::smallvec![0.0; half]];
        let [before, c, s] = &mut parts;
        cos.read(at, c);
        sin.read(at, s);
        turn(before, c, s, self.op.interleaved, x);
    }
}

impl Kernel {
    fn plan(&self, input: &dyn Fn(usize) -> Option<Shape>, total: Option<usize>) -> Result<Plan> {
        let op = &self.0;
        let q = input(0).ok_or_else(|| base::error!(InvalidArgument, "input 0 is missing"))?;
        let &[batch, rows, hidden] = &*q else { bail!(InvalidArgument, "queries of shape {q}") };
        let packed = input(1).is_none();
        let parts = if packed { op.heads + 2 * op.kv_heads } else { op.heads };
        ensure!(hidden % parts == 0, InvalidArgument, "{parts} heads do not make up queries of shape {q}");
        let size = hidden / parts;
        for i in [1, 2].into_iter().filter(|_| !packed) {
            let s = input(i).ok_or_else(|| base::error!(InvalidArgument, "keys and values must be given together"))?;
            ensure!(*s == [batch, rows, op.kv_heads * size], InvalidArgument, "input {i} has shape {s}, the queries {q}");
        }
        let past = match (input(3), input(4)) {
            (None, None) => 0,
            (Some(a), Some(b)) => {
                let fits = a == b && a.len() == 4 && a[0] == batch && a[1] == op.kv_heads && a[3] == size;
                ensure!(fits, InvalidArgument, "a past of {a} and {b}");
                a[2]
            }
            _ => bail!(InvalidArgument, "past_key and past_value must be given together"),
        };
        let total = total.unwrap_or(past + rows);
        let q = Extent { batch, heads: op.heads, rows, size };
        Ok(Plan { q, k: Extent { heads: op.kv_heads, ..q }, packed, all: past.max(total), total })
    }

    fn bytes(p: &Plan) -> usize {
        let fresh = padded(Plan::elements(p.q)) + 2 * padded(Plan::elements(p.k));
        let caches = 2 * padded(Plan::elements(p.cache()));
        fresh + caches + padded(p.k.size) + scratch_bytes::<f32>(p.all, p.k.size, p.k.size)
    }

    /// The number of keys of each image, checked.
    fn lengths<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<&'a [i32]> {
        let lengths = cx.input(5)?.slice::<i32>()?;
        ensure!(lengths.len() == p.q.batch, InvalidArgument, "seqlens_k has {} elements for {} images", lengths.len(), p.q.batch);
        for l in lengths {
            let keys = i64::from(*l) + 1;
            let fits = keys >= 0 && keys <= p.total as i64 && (p.q.rows == p.total || keys >= p.q.rows as i64);
            ensure!(fits, InvalidArgument, "seqlens_k has {l} for {} new positions of {}", p.q.rows, p.total);
        }
        Ok(lengths)
    }

    fn fresh<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Fresh<'a>; 3]> {
        let data = Floats::of(cx.input(0)?)?;
        if p.packed {
            let size = p.q.size;
            let width = (self.0.heads + 2 * self.0.kv_heads) * size;
            let part = |start: usize| Fresh { data, start, strides: [p.q.rows * width, size, width] };
            return Ok([part(0), part(self.0.heads * size), part((self.0.heads + self.0.kv_heads) * size)]);
        }
        let one = |i: usize| Ok::<_, base::Error>(Fresh::by_position(Floats::of(cx.input(i)?)?, p.k));
        Ok([Fresh::by_position(data, p.q), one(1)?, one(2)?])
    }

    fn attend(&self, p: &Plan, cx: &Run<'_>) -> Result<()> {
        let op = &self.0;
        let lengths = self.lengths(p, cx)?;
        // The first call gives all positions at once, perhaps more than an image has.
        let prompt = p.q.rows == p.total;
        let earlier = |image: usize| if prompt { 0 } else { (lengths[image] + 1) as usize - p.q.rows };
        let caches = self.caches(p, cx)?;
        let positions = cx.optional(9)?.map(|t| t.slice::<i64>()).transpose()?;
        let norm = |i: usize| cx.optional(i)?.map(Floats::of).transpose();
        let change = |norm: Option<Floats<'_>>| -> Result<()> {
            ensure!(norm.is_none_or(|n| n.len() == p.q.size), InvalidArgument, "weights of a norm for heads of {} elements", p.q.size);
            Ok(())
        };
        let (q_norm, k_norm) = (norm(14)?, norm(15)?);
        change(q_norm)?;
        change(k_norm)?;
        let of_queries = Change { op, caches, norm: q_norm, first: &earlier, positions, rows: p.q.rows };
        let of_keys = Change { norm: k_norm, op, caches, first: &earlier, positions, rows: p.q.rows };
        self.check_positions(p, &of_queries, caches.map(|(cos, _, half)| cos.len() / half.max(1)))?;
        let fresh = self.fresh(p, cx)?;
        for (f, e) in fresh.iter().zip([p.q, p.k, p.k]) {
            f.check(e)?;
        }
        let mut scratch = cx.scratch::<u8>()?;
        let (q, k) = (room(&mut scratch, Plan::elements(p.q))?, room(&mut scratch, Plan::elements(p.k))?);
        let v = room(&mut scratch, Plan::elements(p.k))?;
        let row = room(&mut scratch, p.k.size)?;
        fresh[0].gather(p.q, q, &|image, _, row, x| of_queries.apply(image, row, x));
        fresh[1].gather(p.k, k, &|image, _, row, x| of_keys.apply(image, row, x));
        fresh[2].gather(p.k, v, &|_, _, _, _| {});
        let (all_k, all_v) = (room(&mut scratch, Plan::elements(p.cache()))?, room(&mut scratch, Plan::elements(p.cache()))?);
        for (input, output, fresh, all) in [(3, 1, &*k, &mut *all_k), (4, 2, &*v, &mut *all_v)] {
            let join = Join { past: cx.optional(input)?, fresh, extent: p.k, all: p.all };
            self.join(cx, join, output, &earlier, row, all)?;
        }
        let heads = (by_head(&*q, p.q), by_head(&*all_k, p.cache()), by_head(&*all_v, p.cache()));
        self.compute(p, cx, heads, lengths, &earlier, scratch)
    }

    /// Writes a present cache, if it is asked for, and the same as `f32`.
    fn join(
        &self,
        cx: &Run<'_>,
        join: Join<'_, f32>,
        output: usize,
        earlier: &dyn Fn(usize) -> usize,
        row: &mut [f32],
        all: &mut [f32],
    ) -> Result<()> {
        if !cx.has_output(output) {
            let all = FloatsMut::F32(base::threads::SharedMut::new(all));
            return join.write(&all, false, earlier, row);
        }
        let y = cx.output(output)?;
        let shared = join.past.is_some_and(|p| p.address() == y.address().cast_const() && !p.is_empty());
        let y = FloatsMut::of(y)?;
        join.write(&y, shared, earlier, row)?;
        // SAFETY: nobody writes the cache any more.
        unsafe { y.read(0, all) };
        Ok(())
    }

    /// Cosines and sines of the positions, and how many there are of each.
    fn caches<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<Option<(Floats<'a>, Floats<'a>, usize)>> {
        if !self.0.rotates {
            return Ok(None);
        }
        let (cos, sin) = (cx.input(7)?, cx.input(8)?);
        let &[_, half] = cos.shape() else { bail!(InvalidArgument, "a cache of shape {}", Shape::from(cos.shape())) };
        let fits = cos.shape() == sin.shape() && 2 * half <= p.q.size;
        ensure!(fits, InvalidArgument, "caches of {} and {}", Shape::from(cos.shape()), Shape::from(sin.shape()));
        Ok(Some((Floats::of(cos)?, Floats::of(sin)?, half)))
    }

    fn check_positions(&self, p: &Plan, change: &Change<'_>, rows: Option<usize>) -> Result<()> {
        let Some(rows) = rows else { return Ok(()) };
        if let Some(given) = change.positions {
            let fits = given.len() == 1 || given.len() == p.q.batch * p.q.rows;
            ensure!(fits && given.iter().all(|v| *v >= 0), InvalidArgument, "position_ids is {given:?}");
        }
        for (image, row) in (0..p.q.batch).flat_map(|b| (0..p.q.rows).map(move |r| (b, r))) {
            let at = change.position(image, row);
            ensure!(at < rows, InvalidArgument, "position {at} is outside of caches of {rows} rows");
        }
        Ok(())
    }

    fn compute(
        &self,
        p: &Plan,
        cx: &Run<'_>,
        (q, k, v): (super::core::Heads<'_, f32>, super::core::Heads<'_, f32>, super::core::Heads<'_, f32>),
        lengths: &[i32],
        earlier: &(dyn Fn(usize) -> usize + Sync),
        scratch: &mut [u8],
    ) -> Result<()> {
        let op = &self.0;
        let visible = |image: usize, query: usize| {
            let at = earlier(image) + query;
            let end = if op.causal { at + 1 } else { (lengths[image] + 1) as usize };
            // Positions behind the end of a sequence see what there is.
            let end = end.min(p.total);
            op.window.map_or(0, |w| end.saturating_sub(w))..end
        };
        let bias = Bias::of(cx.optional(10)?, [p.q.batch, op.heads, p.q.rows, p.total])?;
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [f32]| {
            if let Some(bias) = &bias {
                bias.add(image, head, query, first, scores);
            }
        };
        let sinks = cx.optional(11)?.map(Floats::of).transpose()?;
        ensure!(sinks.is_none_or(|s| s.len() == op.heads), InvalidArgument, "{:?} sinks for {} heads", sinks.map(|s| s.len()), op.heads);
        let sink = |head: usize| sinks.map_or(0.0, |s| s.get::<f32>(head));
        let kept = if op.kept.is_some() && cx.has_output(3) { Some(FloatsMut::of(cx.output(3)?)?) } else { None };
        ensure!(kept.is_none() || p.total == p.all, NotImplemented, "scores of a cache with room for more");
        let y = FloatsMut::of(cx.output(0)?)?;
        let width = op.heads * p.q.size;
        let job = Job {
            q,
            k,
            v,
            batch: p.q.batch,
            heads: op.heads,
            kv_heads: op.kv_heads,
            queries: p.q.rows,
            keys: p.all,
            size: p.q.size,
            v_size: p.q.size,
            scale: op.scale.unwrap_or(1.0 / (p.q.size as f32).sqrt()),
            softcap: op.softcap,
            visible: &visible,
            bias: bias.as_ref().map(|_| &add as _),
            sink: if op.smooth || sinks.is_some() { Some(&sink) } else { None },
            keep: op.kept.zip(kept.as_ref()),
        };
        job.run(&Target { data: &y, batch: p.q.rows * width, head: p.q.size, row: width }, scratch)
    }

    fn total(cx: &Run<'_>) -> Result<usize> {
        let total = cx.input(6)?.scalar::<i32>()?;
        usize::try_from(total).map_err(|_| base::error!(InvalidArgument, "total_sequence_length is {total}"))
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let total = sizes.ints.get(6).copied().flatten().and_then(|v| usize::try_from(*v.first()?).ok());
        // Where the total is not known, the cache that was planned tells.
        let planned = sizes.output(1).ok().and_then(|s| s.get(2).copied());
        let plan = self.plan(&|i| sizes.input(i).ok().map(Shape::from), total.or(planned));
        plan.map_or(0, |p| Self::bytes(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = |t: TensorRef<'_>| Shape::from(t.shape());
        let total = Self::total(cx)?;
        let p = self.plan(&|i| cx.optional(i).ok().flatten().map(shape), Some(total))?;
        ensure!(p.q.rows <= p.total, InvalidArgument, "{} new positions of {}", p.q.rows, p.total);
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, [p.q.batch, p.q.rows, self.0.heads * p.q.size])?;
        cx.allocate(1, dtype, [p.q.batch, self.0.kv_heads, p.all, p.q.size])?;
        cx.allocate(2, dtype, [p.q.batch, self.0.kv_heads, p.all, p.q.size])?;
        cx.allocate(3, dtype, [p.q.batch, self.0.heads, p.q.rows, p.total])?;
        self.attend(&p, cx)
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
