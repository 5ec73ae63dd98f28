//! Attention of `ai.onnx`.

use std::marker::PhantomData;
use std::ops::Range;

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use ir::{Attribute, Dim, Dims, Fact, Graph, Node};
use op::body::{Body, dtype_of};
use op::types::FLOATS;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, Sizes, TypeSet, since};

use super::cache::{Cache, Extent, Fresh, Step, by_head, by_position, gather};
use super::coding::Coding;
use super::core::{Computed, Job, Operand, Stage, Target, room, room_bytes, scratch_bytes};
use super::few::is_few;
use crate::floats::{FloatsMut, is_wide};
use crate::number::Numbers;

const MASKS: TypeSet = TypeSet::tensors(&[
    DType::BF16,
    DType::Bool,
    DType::F16,
    DType::F32,
    DType::F64,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::I8,
    DType::U16,
    DType::U32,
    DType::U64,
    DType::U8,
]);
const TYPES: &[(&str, TypeSet)] = &[("T1", FLOATS), ("T2", FLOATS), ("U", MASKS)];
const NEW: &str = "Q:T1, K:T1, V:T2, attn_mask:U?, past_key:T1?, past_value:T2?, nonpad_kv_seqlen:int64? \
                   -> Y:T1, present_key:T1?, present_value:T2?, qk_matmul_output:T1?";
const VERSIONS: &[Since] = &[
    since(
        23,
        "Q:T1, K:T1, V:T2, attn_mask:U?, past_key:T1?, past_value:T2? -> Y:T1, present_key:T1?, present_value:T2?, qk_matmul_output:T1?",
        TYPES,
    ),
    since(24, NEW, TYPES),
    since(25, NEW, TYPES),
];

/// Attention of `ai.onnx`.
pub static ATTENTION: OpDef = OpDef {
    name: "Attention",
    versions: VERSIONS,
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Attention>(),
    body: Some(body),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Attention {
    scale: Option<f32>,
    softcap: f32,
    causal: bool,
    /// Heads of queries, and of keys and values, where inputs have three axes.
    heads: Option<(usize, usize)>,
    stage: Stage,
    /// How far a query sees back and ahead; without bound if `None`.
    window: (Option<usize>, Option<usize>),
}

fn load(a: &Attrs<'_>) -> Result<Attention> {
    let count = |name: &str| -> Result<Option<usize>> {
        match a.opt_int(name)? {
            None => Ok(None),
            Some(n) => match usize::try_from(n).ok().filter(|n| *n > 0) {
                Some(n) => Ok(Some(n)),
                None => bail!(InvalidGraph, "attribute '{name}' is {n}"),
            },
        }
    };
    let stage = match a.int("qk_matmul_output_mode", 0)? {
        0 => Stage::Products,
        1 => Stage::Capped,
        2 => Stage::Biased,
        3 => Stage::Weights,
        other => bail!(InvalidGraph, "attribute 'qk_matmul_output_mode' is {other}"),
    };
    // The softmax is never less precise than this asks for.
    a.ignore("softmax_precision");
    let window = |name: &str| match if a.since() >= 25 { a.int(name, -1)? } else { -1 } {
        -1 => Ok(None),
        n => usize::try_from(n).map(Some).map_err(|_| base::error!(InvalidGraph, "attribute '{name}' is {n}")),
    };
    let softcap = a.float("softcap", 0.0)?;
    ensure!(softcap >= 0.0, InvalidGraph, "attribute 'softcap' is {softcap}");
    Ok(Attention {
        scale: a.opt_float("scale")?,
        softcap,
        causal: a.flag("is_causal", false)?,
        heads: count("q_num_heads")?.zip(count("kv_num_heads")?),
        stage,
        window: (window("left_window_size")?, window("right_window_size")?),
    })
}

impl Attention {
    /// The sizes of an operand of symbolic shape.
    fn extent_of(&self, dims: &[Dim], heads: impl Fn((usize, usize)) -> usize) -> Result<Extent<Dim>> {
        match dims {
            [batch, h, rows, size] => Ok(Extent { batch: batch.clone(), heads: h.clone(), rows: rows.clone(), size: size.clone() }),
            [batch, rows, hidden] => {
                let Some(counts) = self.heads else { bail!(InvalidGraph, "inputs of three axes need q_num_heads and kv_num_heads") };
                let heads = Dim::from(heads(counts));
                Ok(Extent { batch: batch.clone(), size: hidden.floor_div(&heads), heads, rows: rows.clone() })
            }
            _ => bail!(InvalidGraph, "Attention takes inputs of three or four axes, not {dims:?}"),
        }
    }

    fn extent(&self, shape: &[usize], heads: impl Fn((usize, usize)) -> usize) -> Result<Extent> {
        let dims: Dims = shape.iter().map(|d| Dim::from(*d)).collect();
        let e = self.extent_of(&dims, heads).map_err(|e| e.with_kind(base::ErrorKind::InvalidArgument))?;
        let size = |d: Dim| d.size().unwrap_or(0);
        let e = Extent { batch: size(e.batch), heads: size(e.heads), rows: size(e.rows), size: size(e.size) };
        let fits = shape.len() == 4 || e.heads * e.size == shape[2];
        ensure!(fits, InvalidArgument, "{} heads do not make up an input of shape {}", e.heads, Shape::from(shape));
        Ok(e)
    }
}

impl Op for Attention {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, v_dtype) = (cx.dtype(0)?, cx.dtype(2)?);
        let (Some(q), Some(k), Some(v)) = (cx.dims(0)?, cx.dims(1)?, cx.dims(2)?) else {
            let types = [dtype, dtype, v_dtype, dtype];
            types.into_iter().enumerate().for_each(|(i, t)| cx.tensor(i, t, None));
            return Ok(());
        };
        let (eq, ek, ev) = (self.extent_of(q, |h| h.0)?, self.extent_of(k, |h| h.1)?, self.extent_of(v, |h| h.1)?);
        let past = |i: usize, rows: &Dim| match cx.optional(i).and_then(|f| f.shape.as_deref()) {
            Some([_, _, past, _]) => past.add(rows),
            _ => rows.clone(),
        };
        let (keys, values) = (past(4, &ek.rows), past(5, &ev.rows));
        let y: Dims = match q.len() {
            4 => vec![eq.batch.clone(), eq.heads.clone(), eq.rows.clone(), ev.size.clone()].into(),
            _ => vec![eq.batch.clone(), eq.rows.clone(), eq.heads.mul(&ev.size)].into(),
        };
        cx.tensor(0, dtype, Some(y));
        cx.tensor(1, dtype, Some(vec![ek.batch, ek.heads, keys.clone(), ek.size].into()));
        cx.tensor(2, v_dtype, Some(vec![ev.batch, ev.heads, values, ev.size].into()));
        cx.tensor(3, dtype, Some(vec![eq.batch, eq.heads, eq.rows, keys].into()));
        Ok(())
    }
}

impl CpuKernel for Attention {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match is_wide(cx.dtype(0)?) || is_wide(cx.dtype(2)?) {
            true => Box::new(Kernel::<f64>::new(self, cx)?),
            false => Box::new(Kernel::<f32>::new(self, cx)?),
        })
    }
}

struct Kernel<A> {
    op: Attention,
    /// Whether queries, keys and values are of another type than they are computed in.
    others: [bool; 3],
    /// Whether keys, and values, are put behind earlier ones without being asked for.
    joins: [bool; 2],
    /// Whether they are asked for.
    kept: [bool; 2],
    real: PhantomData<A>,
}

impl<A: Computed> Kernel<A> {
    fn new(op: &Attention, cx: &Prepare<'_>) -> Result<Self> {
        let other = |i: usize| Ok::<_, base::Error>(cx.dtype(i)? != A::DTYPE);
        let kept = [1, 2].map(|i| cx.output(i).is_some());
        let joins = kept.map(|kept| !kept && cx.optional(4).is_some());
        Ok(Self { op: op.clone(), others: [other(0)?, other(1)?, other(2)?], joins, kept, real: PhantomData })
    }
}

/// All sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Extents {
    q: Extent,
    k: Extent,
    v: Extent,
    past: usize,
}

impl Extents {
    fn keys(&self) -> usize {
        self.past + self.k.rows
    }

    /// The sizes of all that is copied: queries, keys and values with earlier ones.
    fn copied(&self) -> [Extent; 3] {
        [self.q, Extent { rows: self.keys(), ..self.k }, Extent { rows: self.keys(), ..self.v }]
    }
}

/// A mask: added to the scores, or telling which count. Its axes broadcast to images, heads, queries and keys.
struct Mask<'a> {
    data: Numbers<'a>,
    truth: bool,
    strides: [usize; 4],
    keys: usize,
}

impl<'a> Mask<'a> {
    fn of(t: TensorRef<'a>, [batch, heads, queries, keys]: [usize; 4]) -> Result<Self> {
        let shown = || Shape::from(t.shape());
        let rank = t.rank();
        ensure!((1..=4).contains(&rank), InvalidArgument, "an attention mask of shape {}", shown());
        let (mut strides, mut stride) = ([0; 4], 1);
        for (i, &d) in t.shape().iter().enumerate().rev() {
            let axis = 4 - rank + i;
            let want = [batch, heads, queries, keys][axis];
            // A mask may cover the first keys only; the others do not count.
            let fits = d == 1 || d == want || (axis == 3 && d < want);
            ensure!(fits, InvalidArgument, "an attention mask of shape {} for {:?}", shown(), [batch, heads, queries, keys]);
            strides[axis] = if d == 1 && want != 1 && axis != 3 { 0 } else { stride };
            stride *= d;
        }
        let covered = t.shape()[rank - 1];
        if covered == 1 && keys != 1 {
            strides[3] = 0;
        }
        Ok(Self { data: Numbers::of(t)?, truth: t.dtype() == DType::Bool, strides, keys: if strides[3] == 0 { keys } else { covered } })
    }

    /// Adds the mask to scores from key `first` on.
    fn add<A: Computed>(&self, image: usize, head: usize, query: usize, first: usize, scores: &mut [A]) {
        let [b, h, q, k] = self.strides;
        let start = image * b + head * h + query * q;
        for (j, score) in scores.iter_mut().enumerate() {
            let key = first + j;
            *score = match key < self.keys {
                false => A::neg_infinity(),
                true if self.truth => {
                    if self.data.get(start + key * k) == 0.0 {
                        A::neg_infinity()
                    } else {
                        *score
                    }
                }
                true => *score + A::of(self.data.get(start + key * k)),
            };
        }
    }

    /// Whether no key of a query counts.
    fn hides_all<A: Computed>(&self, image: usize, head: usize, query: usize, seen: Range<usize>) -> bool {
        let [b, h, q, k] = self.strides;
        let start = image * b + head * h + query * q;
        seen.clone().all(|key| {
            key >= self.keys || {
                let v = self.data.get(start + key * k);
                if self.truth { v == 0.0 } else { v == f64::NEG_INFINITY }
            }
        })
    }
}

impl<A: Computed> Kernel<A> {
    fn extents(&self, input: &dyn Fn(usize) -> Option<Shape>) -> Result<Extents> {
        let given = |i: usize| input(i).ok_or_else(|| base::error!(InvalidArgument, "input {i} is missing"));
        let (q, k) = (self.op.extent(&given(0)?, |h| h.0)?, self.op.extent(&given(1)?, |h| h.1)?);
        let v = self.op.extent(&given(2)?, |h| h.1)?;
        let fits = q.batch == k.batch && k.batch == v.batch && k.heads == v.heads && k.rows == v.rows && q.size == k.size;
        ensure!(fits && k.heads > 0 && q.heads % k.heads == 0, InvalidArgument, "queries {q:?}, keys {k:?} and values {v:?} do not fit");
        let past = match (input(4), input(5)) {
            (Some(key), Some(value)) => {
                let same = |s: &Shape, size: usize| s.len() == 4 && s[0] == k.batch && s[1] == k.heads && s[3] == size && s[2] == key[2];
                ensure!(key.len() == 4 && same(&key, k.size) && same(&value, v.size), InvalidArgument, "a past of {key} and {value}");
                key[2]
            }
            (None, None) => 0,
            _ => bail!(InvalidArgument, "past_key and past_value must be given together"),
        };
        Ok(Extents { q, k, v, past })
    }

    /// How many elements of queries, keys and values are copied.
    fn copied(&self, e: &Extents) -> [usize; 3] {
        let few = is_few::<A>(e.q.rows);
        let copies = |i: usize| match i {
            0 => self.others[0],
            _ => self.joins[i - 1] || (self.others[i] && !(few && self.kept[i - 1])),
        };
        let all = e.copied();
        std::array::from_fn(|i| if copies(i) { all[i].elements() } else { 0 })
    }

    fn bytes(&self, e: &Extents) -> usize {
        let copies = self.copied(e).map(room_bytes::<A>).iter().sum::<usize>();
        copies + scratch_bytes::<A>(e.keys(), e.q.size, e.v.size)
    }

    fn attend(&self, e: &Extents, cx: &Run<'_>) -> Result<()> {
        let q = cx.input(0)?;
        let mut scratch = cx.scratch::<u8>()?;
        let [q_len, k_len, v_len] = self.copied(e);
        let q_room = room(&mut scratch, q_len)?;
        let fresh = Fresh::of(q, e.q)?;
        let queries = match fresh.heads::<A>() {
            Some(own) => own,
            None => gather(e.q, &|image, head, row, x| fresh.read(image, head, row, x), q_room),
        };
        let keys = Self::cached(cx, (1, e.q.rows), e.past, e.k, room(&mut scratch, k_len)?)?;
        let values = Self::cached(cx, (2, e.q.rows), e.past, e.v, room(&mut scratch, v_len)?)?;
        let sizes = [e.q.batch, e.q.heads, e.q.rows, e.keys()];
        let mask = cx.optional(3)?.map(|m| Mask::of(m, sizes)).transpose()?;
        let lengths = cx.optional(6)?.map(|l| l.slice::<i64>()).transpose()?;
        ensure!(
            lengths.is_none_or(|l| l.len() == e.q.batch),
            InvalidArgument,
            "{:?} lengths for {} images",
            lengths.map(<[i64]>::len),
            e.q.batch
        );
        let visible = |image: usize, query: usize| self.visible(e, lengths.map(|l| l[image]), query);
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [A]| {
            let Some(mask) = &mask else { return };
            // Where nothing counts, no score shall: infinities and what is no number included.
            match mask.hides_all::<A>(image, head, query, visible(image, query)) {
                true => scores.fill(A::neg_infinity()),
                false => mask.add(image, head, query, first, scores),
            }
        };
        let kept = if cx.has_output(3) { Some(FloatsMut::of(cx.output(3)?)?) } else { None };
        let y = FloatsMut::of(cx.output(0)?)?;
        let out = Extent { size: e.v.size, ..e.q };
        let strides = match q.rank() {
            4 => by_head::<()>(&[], out),
            _ => by_position(&[], out),
        };
        let scale = self.op.scale.map_or(1.0 / (e.q.size as f64).sqrt(), f64::from);
        let job = Job {
            q: queries,
            k: keys,
            v: values,
            batch: e.q.batch,
            heads: e.q.heads,
            kv_heads: e.k.heads,
            queries: e.q.rows,
            keys: e.keys(),
            size: e.q.size,
            v_size: e.v.size,
            scale: A::of(scale),
            softcap: A::of(self.op.softcap.into()),
            visible: &visible,
            bias: mask.as_ref().map(|_| &add as _),
            sink: None,
            keep: kept.as_ref().map(|to| (self.op.stage, to)),
        };
        job.run(&Target { data: &y, batch: strides.batch, head: strides.head, row: strides.row }, scratch)
    }

    /// All keys or values, of input and output `i`: the input itself where there is nothing else, else put behind earlier ones.
    fn cached<'a>(cx: &'a Run<'_>, (i, queries): (usize, usize), past: usize, e: Extent, room: &'a mut [A]) -> Result<Operand<'a, A>> {
        let new = cx.input(i)?;
        let fresh = Fresh::of(new, e)?;
        let present = cx.has_output(i).then(|| cx.output(i)).transpose()?;
        let cache = Cache::new(Coding::float(new.dtype()), e, cx.optional(i + 3)?, present, past + e.rows)?;
        let steps = [Step { before: past, fresh: e.rows, dropped: 0 }];
        let source = |image: usize, head: usize, row: usize, x: &mut [A]| fresh.read(image, head, row, x);
        Ok(cache.read((Some(&fresh), &source, queries), &steps, past + e.rows, room)?.0)
    }

    /// The keys that a query sees; `length` is how many keys of its image there are, where that is given.
    fn visible(&self, e: &Extents, length: Option<i64>, query: usize) -> Range<usize> {
        let keys = e.keys() as i64;
        let valid = length.unwrap_or(keys).clamp(0, keys);
        // How many keys come before the first query.
        let before = length.map_or(e.past as i64, |l| l.saturating_sub(e.q.rows as i64));
        let at = before.saturating_add(query as i64);
        let (mut start, mut end) = (0, valid);
        if self.op.causal {
            end = end.min(at.saturating_add(1));
        }
        if let Some(left) = self.op.window.0 {
            start = start.max(at.saturating_sub(left as i64));
        }
        if let Some(right) = self.op.window.1 {
            end = end.min(at.saturating_add(right as i64).saturating_add(1));
        }
        let start = start.clamp(0, keys);
        start as usize..end.clamp(start, keys) as usize
    }
}

impl<A: Computed> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let extents = self.extents(&|i| sizes.input(i).ok().map(Shape::from));
        extents.map_or(0, |e| self.bytes(&e))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let e = self.extents(&|i| cx.optional(i).ok().flatten().map(|t| t.shape().into()))?;
        let (dtype, v_dtype, rank) = (cx.input(0)?.dtype(), cx.input(2)?.dtype(), cx.input(0)?.rank());
        let y: Shape = match rank {
            4 => [e.q.batch, e.q.heads, e.q.rows, e.v.size].into(),
            _ => [e.q.batch, e.q.rows, e.q.heads * e.v.size].into(),
        };
        cx.allocate(0, dtype, y)?;
        cx.allocate(1, dtype, [e.k.batch, e.k.heads, e.keys(), e.k.size])?;
        cx.allocate(2, v_dtype, [e.v.batch, e.v.heads, e.keys(), e.v.size])?;
        cx.allocate(3, dtype, [e.q.batch, e.q.heads, e.q.rows, e.keys()])?;
        self.attend(&e, cx)
    }
}

/// The operator in older ones: what graph passes make of patterns, which is neither causal nor cached, and has a row for each head.
fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let attributes = Attrs::new(node);
    let Attention { scale, softcap, causal, heads, window, .. } = load(&attributes)?;
    let fact = |i: usize| facts.get(i).copied().flatten();
    let heads_of = |i: usize| fact(i).and_then(|f| f.shape.as_deref()).filter(|s| s.len() == 4).map(|s| s[1].clone());
    let plain = softcap == 0.0 && !causal && heads.is_none() && window == (None, None) && node.inputs.len() <= 4 && node.outputs.len() == 1;
    let alike = heads_of(0).is_some() && heads_of(0) == heads_of(1);
    let dtype = dtype_of(facts, 0)?;
    let biased = fact(3).is_none_or(|mask| mask.dtype() == Some(dtype));
    let scale = scale.or_else(|| fact(0)?.shape.as_ref()?.last()?.known().map(|d| 1.0 / (d as f32).sqrt()));
    let Some(scale) = scale.filter(|_| plain && alike && biased) else {
        bail!(NotImplemented, "attention with caches, groups, caps or masks of truth values has no function body");
    };
    let mut b = Body::of(node);
    let (Some(q), Some(k), Some(v)) = (b.input(0), b.input(1), b.input(2)) else { bail!(InvalidGraph, "an input is missing") };
    let scale = b.float(scale)?;
    let scale = if dtype == DType::F32 { scale } else { b.cast(scale, dtype) };
    let scaled = b.node(("Mul", 14), &[q, scale], &[]);
    let turned = b.node(("Transpose", 13), &[k], &[("perm", Attribute::Ints(vec![0, 1, 3, 2]))]);
    let mut scores = b.node(("MatMul", 13), &[scaled, turned], &[]);
    if let Some(mask) = b.input(3) {
        scores = b.node(("Add", 14), &[scores, mask], &[]);
    }
    let weights = b.node(("Softmax", 13), &[scores], &[("axis", Attribute::Int(-1))]);
    let y = b.node(("MatMul", 13), &[weights, v], &[]);
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn one_key_gives_its_value() {
        let op = single(&ATTENTION, 23).input([1, 1, 1, 2], &[1f32, 2.0]).input([1, 1, 1, 2], &[3f32, 4.0]);
        assert_close(&op.input([1, 1, 1, 3], &[5f32, 6.0, 7.0]).tensor().unwrap(), &[5.0, 6.0, 7.0], 1e-6, 0.0);
    }

    #[test]
    fn three_axes_and_a_past() {
        let op = single(&ATTENTION, 23).attr("q_num_heads", 2i64).attr("kv_num_heads", 1i64);
        let op = op.input([1, 1, 4], &[0f32; 4]).input([1, 1, 2], &[1f32, 1.0]).input([1, 1, 2], &[4f32, 8.0]).skip();
        let out = op.input([1, 1, 1, 2], &[0f32, 0.0]).input([1, 1, 1, 2], &[0f32, 2.0]).run(3).unwrap();
        assert_close(out[0].tensor().unwrap(), &[2.0, 5.0, 2.0, 5.0], 1e-6, 0.0);
        assert_close(out[1].tensor().unwrap(), &[0.0, 0.0, 1.0, 1.0], 0.0, 0.0);
        assert_eq!(&**out[2].tensor().unwrap().shape(), [1, 1, 2, 2]);
    }

    #[test]
    fn a_query_that_sees_nothing_gets_zero() {
        let op = single(&ATTENTION, 23).input([1, 1, 1, 1], &[1f32]).input([1, 1, 2, 1], &[3f32, f32::INFINITY]);
        let y = op.input([1, 1, 2, 1], &[5f32, 6.0]).input([1, 2], &[false, false]).tensor().unwrap();
        assert_eq!(y.slice::<f32>().unwrap(), [0.0]);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let op = single(&ATTENTION, 23).input([1, 2, 1, 2], &[0f32; 4]).input([1, 2, 1, 3], &[0f32; 6]).input([1, 2, 1, 2], &[0f32; 4]);
        assert!(op.tensor().is_err());
        assert!(
            single(&ATTENTION, 23).input([1, 1, 4], &[0f32; 4]).input([1, 1, 4], &[0f32; 4]).input([1, 1, 4], &[0f32; 4]).tensor().is_err()
        );
    }
}
