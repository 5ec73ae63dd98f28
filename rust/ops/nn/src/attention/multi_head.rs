//! Attention and MultiHeadAttention of `com.microsoft`: heads of queries, keys and values that the operator makes itself, or gets.

use std::sync::Arc;

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Rhs, Step, gemm, scratch_len};
use ir::{Dim, Dims};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};
use smallvec::{SmallVec, smallvec};

use super::cache::{Cache, Extent, Fresh, Step as Rows, gather};
use super::coding::Coding;
use super::core::{Heads, Job, Stage, Target, room, room_bytes, scratch_bytes};
use super::masks::{Bias, Mask};
use crate::floats::{Floats, FloatsMut};
use crate::widen::take;

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
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct MultiHead {
    heads: usize,
    causal: bool,
    /// What is added to scores that do not count.
    filter: f32,
    scale: Option<f32>,
    /// Whether the operator makes queries, keys and values itself, and their sizes where they differ.
    projects: Option<Option<[usize; 3]>>,
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
        ensure!(!a.has_input(8) && !a.has_input(9), NotImplemented, "MultiHeadAttention with a cache of several beams");
        None
    };
    let filter = a.float("mask_filter_value", -10000.0)?;
    let scale = a.opt_float("scale")?.filter(|s| *s != 0.0);
    Ok(MultiHead { heads, causal: a.flag("unidirectional", false)?, filter, scale, projects })
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
        let (keys, k_size) = given(1).map_or(Ok((queries.clone(), size.clone())), one)?;
        let (_, v_size) = given(2).map_or(Ok((keys.clone(), k_size.clone())), one)?;
        let past = given(6).and_then(|p| p.get(2)).cloned();
        let all = past.map_or(keys.clone(), |p| p.add(&keys));
        let dims = |d: [&Dim; 4]| -> Dims { d.into_iter().cloned().collect() };
        cx.tensor(0, dtype, Some(vec![q[0].clone(), queries.clone(), v_size.mul(&heads)].into()));
        cx.tensor(1, dtype, Some(dims([&q[0], &heads, &all, &k_size])));
        cx.tensor(2, dtype, Some(dims([&q[0], &heads, &all, &v_size])));
        cx.tensor(3, dtype, Some(dims([&q[0], &heads, &queries, &all])));
        Ok(())
    }
}

impl Op for MultiHead {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if self.projects.is_some() { self.infer_projected(cx) } else { self.infer_given(cx) }
    }
}

impl CpuKernel for MultiHead {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let (past, bias, presents) = match self.projects {
            Some(_) => (4, false, [1, 1]),
            None => (6, cx.optional(3).is_some(), [1, 2]),
        };
        let kept = presents.iter().all(|i| cx.output(*i).is_some());
        let gathers = self.projects.is_none() && (dtype != DType::F32 || bias);
        // Caches of other types, and what is put together without being asked for.
        let copies = if kept { dtype != DType::F32 } else { gathers || cx.optional(past).is_some() };
        let mut kernel = Kernel { op: self.clone(), weights: None, dtype, gathers, copies };
        if let (true, Some(w)) = (self.projects.is_some(), cx.constant(1)) {
            let &[rows, cols] = &**w.shape() else { bail!(InvalidGraph, "weights of shape {}", w.shape()) };
            let format = format!("attention projection {}", simd::isa::best().name());
            let pack = |w: &base::Tensor| {
                let mut wide = vec![0f32; w.len()];
                Floats::of(w.as_ref())?.read(0, &mut wide);
                PackedB::new(Mat::row_major(&wide, rows, cols)?)
            };
            kernel.weights = Some(cx.packed.get(w, &format, pack)?);
        }
        Ok(Box::new(kernel))
    }
}

struct Kernel {
    op: MultiHead,
    /// The constant weights that make queries, keys and values.
    weights: Option<Arc<PackedB<f32>>>,
    dtype: DType,
    /// Whether queries are copied before they are used.
    gathers: bool,
    /// Whether keys and values are.
    copies: bool,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    q: Extent,
    k: Extent,
    v: Extent,
    past: usize,
    /// Elements of an input position and of all that is made of it, if the operator makes queries, keys and values itself.
    projection: Option<(usize, usize)>,
}

impl Plan {
    fn keys(&self) -> usize {
        self.past + self.k.rows
    }

    fn all(&self, e: Extent) -> Extent {
        Extent { rows: self.keys(), ..e }
    }
}

/// The bytes of earlier keys, or values, and how many positions they are.
type Past<'a> = Option<(&'a [u8], usize)>;

impl Kernel {
    fn plan(&self, input: &dyn Fn(usize) -> Option<Shape>) -> Result<Plan> {
        let first = input(0).ok_or_else(|| base::error!(InvalidArgument, "input 0 is missing"))?;
        let heads = self.op.heads;
        if self.op.projects.is_some() {
            let weights = input(1).ok_or_else(|| base::error!(InvalidArgument, "input 1 is missing"))?;
            let (&[batch, rows, inner], &[w_rows, width]) = (&*first, &*weights) else {
                bail!(InvalidArgument, "an input of shape {first} with weights of {weights}");
            };
            ensure!(inner == w_rows, InvalidArgument, "an input of shape {first} with weights of {weights}");
            let [q, k, v] = self.op.parts(width)?;
            let of = |width: usize| Extent { batch, heads, rows, size: width / heads };
            let past = match input(4) {
                None => 0,
                Some(p) => {
                    let fits = p.len() == 5 && p[0] == 2 && p[1] == batch && p[2] == heads && p[4] == k / heads && k == v;
                    ensure!(fits, InvalidArgument, "a past of shape {p}");
                    p[3]
                }
            };
            return Ok(Plan { q: of(q), k: of(k), v: of(v), past, projection: Some((inner, width)) });
        }
        let one = |shape: &Shape, parts: usize| -> Result<Extent> {
            match **shape {
                [batch, rows, hidden] if hidden % heads == 0 => Ok(Extent { batch, heads, rows, size: hidden / heads }),
                [batch, h, rows, size] if h == heads => Ok(Extent { batch, heads, rows, size }),
                [batch, rows, h, p, size] if h == heads && p == parts => Ok(Extent { batch, heads, rows, size }),
                _ => bail!(InvalidArgument, "{heads} heads do not make up an input of shape {shape}"),
            }
        };
        let q = one(&first, 3)?;
        let k = input(1).map_or(Ok(q), |s| one(&s, 2))?;
        let v = input(2).map_or(Ok(k), |s| one(&s, 1))?;
        let fits = k.batch == q.batch && v.batch == q.batch && k.rows == v.rows && k.size == q.size;
        ensure!(fits, InvalidArgument, "queries {q:?}, keys {k:?} and values {v:?} do not fit");
        let past = match (input(6), input(7)) {
            (None, None) => 0,
            (Some(a), Some(b)) => {
                let same = |s: &Shape, size: usize| s.len() == 4 && s[0] == q.batch && s[1] == heads && s[3] == size && s[2] == a[2];
                ensure!(a.len() == 4 && same(&a, k.size) && same(&b, v.size), InvalidArgument, "a past of {a} and {b}");
                a[2]
            }
            _ => bail!(InvalidArgument, "past_key and past_value must be given together"),
        };
        Ok(Plan { q, k, v, past, projection: None })
    }

    fn bytes(&self, p: &Plan) -> usize {
        let padded = room_bytes::<f32>;
        let fresh = if self.gathers { padded(p.q.elements()) } else { 0 };
        let all = if self.copies { padded(p.all(p.k).elements()) + padded(p.all(p.v).elements()) } else { 0 };
        let made = p.projection.map_or(0, |(inner, width)| {
            let rows = p.q.batch * p.q.rows;
            let weights = if self.weights.is_some() { 0 } else { padded(inner * width) };
            padded(rows * inner) + padded(rows * width) + weights + padded(width) + self.product_bytes(p)
        });
        fresh + all + made + scratch_bytes::<f32>(p.keys(), p.q.size, p.v.size)
    }

    fn product_bytes(&self, p: &Plan) -> usize {
        let rows = p.q.batch * p.q.rows;
        let product = |(inner, width)| scratch_len::<f32>(1, rows, width, inner, false, self.weights.is_some());
        p.projection.map_or(0, product).next_multiple_of(64)
    }

    /// Multiplies the input by the weights: queries, keys and values side by side.
    fn project<'a>(&self, p: &Plan, cx: &Run<'_>, scratch: &mut &'a mut [u8]) -> Result<&'a [f32]> {
        let Some((inner, width)) = p.projection else { bail!(Fail, "there is nothing to project") };
        let rows = p.q.batch * p.q.rows;
        let (x_room, made) = (room(scratch, rows * inner)?, room(scratch, rows * width)?);
        let bias_room = room(scratch, width)?;
        let x = Floats::of(cx.input(0)?)?;
        let x = x.row(0..x.len(), x_room);
        let w_room = if self.weights.is_some() { &mut [] } else { room(scratch, inner * width)? };
        let b = match &self.weights {
            Some(packed) => Rhs::Packed(packed),
            None => {
                let w = Floats::of(cx.input(1)?)?;
                Rhs::Plain(Mat::row_major(w.row(0..w.len(), w_room), inner, width)?)
            }
        };
        let bias = cx.optional(2)?.map(Floats::of).transpose()?;
        ensure!(bias.is_none_or(|b| b.len() == width), InvalidArgument, "a bias of {:?} elements, not {width}", bias.map(|b| b.len()));
        let bias = bias.map(|b| b.row(0..width, bias_room));
        let steps = bias.map(|b| [Step::add(Operand::per_column(b))]);
        let epilogue = Epilogue::new(steps.as_ref().map_or(&[], |s| &s[..]));
        let product = self.product_bytes(p).min(scratch.len());
        let product = take(scratch, product)?;
        gemm(Mat::row_major(x, rows, inner)?, b, &epilogue, MatMut::row_major(&mut *made, rows, width)?, product)?;
        Ok(made)
    }

    /// Queries, keys and values as the inputs give them, and the bias of each.
    fn given<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Fresh<'a>; 3]> {
        let floats = |i: usize| cx.input(i).and_then(Floats::of);
        let packed = |data: Floats<'a>, e: Extent, parts: usize, part: usize| Fresh {
            data,
            start: part * e.size,
            strides: [e.rows * e.heads * parts * e.size, parts * e.size, e.heads * parts * e.size],
        };
        let one = |i: usize, e: Extent| Fresh::of(cx.input(i)?, e);
        if cx.input(0)?.rank() == 5 {
            let data = floats(0)?;
            return Ok([packed(data, p.q, 3, 0), packed(data, p.q, 3, 1), packed(data, p.q, 3, 2)]);
        }
        let q = one(0, p.q)?;
        if !cx.has_input(1) {
            bail!(InvalidArgument, "keys are missing");
        }
        if cx.input(1)?.rank() == 5 {
            let data = floats(1)?;
            return Ok([q, packed(data, p.k, 2, 0), packed(data, p.k, 2, 1)]);
        }
        Ok([q, one(1, p.k)?, one(2, p.v)?])
    }

    fn attend(&self, p: &Plan, cx: &Run<'_>) -> Result<()> {
        let mut scratch = cx.scratch::<u8>()?;
        let projected = match p.projection {
            Some((_, width)) => Some((self.project(p, cx, &mut scratch)?, width)),
            None => None,
        };
        let fresh = match projected {
            Some((made, width)) => {
                let part = |start: usize, e: Extent| Fresh { data: Floats::F32(made), start, strides: [e.rows * width, e.size, width] };
                [part(0, p.q), part(p.q.heads * p.q.size, p.k), part(p.q.heads * p.q.size + p.k.heads * p.k.size, p.v)]
            }
            None => self.given(p, cx)?,
        };
        for (f, e) in fresh.iter().zip([p.q, p.k, p.v]) {
            f.check(e)?;
        }
        // The bias of inputs that the operator did not make: of queries, keys and values, one behind the other.
        let bias = if p.projection.is_none() { cx.optional(3)?.map(Floats::of).transpose()? } else { None };
        let widths = [p.q, p.k, p.v].map(|e| e.heads * e.size);
        let want = widths.iter().sum::<usize>();
        ensure!(bias.is_none_or(|b| b.len() == want), InvalidArgument, "a bias of {:?} elements, not {want}", bias.map(|b| b.len()));
        let add = |start: usize, size: usize| {
            move |_: usize, head: usize, _: usize, x: &mut [f32]| {
                if let Some(b) = bias {
                    x.iter_mut().enumerate().for_each(|(i, v)| *v += b.get::<f32>(start + head * size + i));
                }
            }
        };
        let q_room = room(&mut scratch, if self.gathers { p.q.elements() } else { 0 })?;
        let q = match fresh[0].heads::<f32>().filter(|_| bias.is_none()) {
            Some(own) => own,
            None => {
                let add = add(0, p.q.size);
                let source = |image: usize, head: usize, row: usize, x: &mut [f32]| {
                    fresh[0].read(image, head, row, x);
                    add(image, head, row, x);
                };
                gather(p.q, &source, q_room)
            }
        };
        let (pasts, presents) = (self.past(cx)?, self.present(p, cx)?);
        let steps: SmallVec<[Rows; 8]> = smallvec![Rows { before: p.past, fresh: p.k.rows, dropped: 0 }; p.q.batch];
        let mut read = [None, None];
        for (i, (past, present)) in pasts.into_iter().zip(presents).enumerate() {
            let (fresh, e) = (&fresh[i + 1], [p.k, p.v][i]);
            let add = add(widths[..=i].iter().sum(), e.size);
            let source = |image: usize, head: usize, row: usize, x: &mut [f32]| {
                fresh.read(image, head, row, x);
                add(image, head, row, x);
            };
            let room = room(&mut scratch, if self.copies { p.all(e).elements() } else { 0 })?;
            let cache = Cache::inside(Coding::float(self.dtype), e, past, present, p.keys())?;
            read[i] = Some(cache.read((Some(fresh).filter(|_| bias.is_none()), &source), &steps, p.keys(), room)?.0);
        }
        let [Some(k), Some(v)] = read else { bail!(Fail, "keys or values were not read") };
        self.compute(p, cx, q, k, v, scratch)
    }

    /// Earlier keys and values.
    fn past<'a>(&self, cx: &'a Run<'_>) -> Result<[Past<'a>; 2]> {
        if self.op.projects.is_none() {
            let one = |i: usize| cx.optional(i)?.map(|t| Ok((t.bytes()?, t.shape()[2]))).transpose();
            return Ok([one(6)?, one(7)?]);
        }
        let Some(past) = cx.optional(4)? else { return Ok([None, None]) };
        let (keys, values) = past.bytes()?.split_at(past.bytes()?.len() / 2);
        Ok([keys, values].map(|half| Some((half, past.shape()[3]))))
    }

    /// Where all keys and values go.
    fn present<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Option<&'a mut [u8]>; 2]> {
        let output = |i: usize| if cx.has_output(i) { cx.output(i)?.bytes().map(Some) } else { Ok(None) };
        if p.projection.is_none() {
            return Ok([output(1)?, output(2)?]);
        }
        let Some(both) = output(1)? else { return Ok([None, None]) };
        let (keys, values) = both.split_at_mut(both.len() / 2);
        Ok([Some(keys), Some(values)])
    }

    fn compute(&self, p: &Plan, cx: &Run<'_>, q: Heads<'_, f32>, k: Heads<'_, f32>, v: Heads<'_, f32>, scratch: &mut [u8]) -> Result<()> {
        let (mask_at, bias_at) = if p.projection.is_some() { (3, 5) } else { (4, 5) };
        let (keys, queries) = (p.keys(), p.q.rows);
        let mask = Mask::of(cx.optional(mask_at)?, p.q.batch, queries, keys)?;
        let bias = Bias::of(cx.optional(bias_at)?, [p.q.batch, self.op.heads, queries, keys])?;
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [f32]| {
            mask.add(image, query, first, p.past, self.op.filter, scores);
            if let Some(bias) = &bias {
                bias.add(image, head, query, first, scores);
            }
        };
        let visible = |_: usize, query: usize| if self.op.causal { 0..p.past + query + 1 } else { 0..keys };
        let kept = if p.projection.is_none() && cx.has_output(3) { Some(FloatsMut::of(cx.output(3)?)?) } else { None };
        let y = FloatsMut::of(cx.output(0)?)?;
        let width = p.v.heads * p.v.size;
        ensure!(y.len() == p.q.batch * queries * width, Fail, "the output has {} elements", y.len());
        let job = Job {
            q,
            k,
            v,
            batch: p.q.batch,
            heads: self.op.heads,
            kv_heads: self.op.heads,
            queries,
            keys,
            size: p.q.size,
            v_size: p.v.size,
            scale: self.op.scale.unwrap_or(1.0 / (p.q.size as f32).sqrt()),
            softcap: 0.0,
            visible: &visible,
            bias: Some(&add),
            sink: None,
            keep: kept.as_ref().map(|to| (Stage::Products, to)),
        };
        job.run(&Target { data: &y, batch: queries * width, head: p.v.size, row: width }, scratch)
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let plan = self.plan(&|i| sizes.input(i).ok().map(Shape::from));
        plan.map_or(0, |p| self.bytes(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = |t: TensorRef<'_>| Shape::from(t.shape());
        let p = self.plan(&|i| cx.optional(i).ok().flatten().map(shape))?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, [p.q.batch, p.q.rows, p.v.heads * p.v.size])?;
        let keys = p.keys();
        match p.projection {
            Some(_) => cx.allocate(1, dtype, [2, p.q.batch, p.k.heads, keys, p.k.size])?,
            None => {
                cx.allocate(1, dtype, [p.q.batch, p.k.heads, keys, p.k.size])?;
                cx.allocate(2, dtype, [p.q.batch, p.v.heads, keys, p.v.size])?;
                cx.allocate(3, dtype, [p.q.batch, p.q.heads, p.q.rows, keys])?;
            }
        }
        self.attend(&p, cx)
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
