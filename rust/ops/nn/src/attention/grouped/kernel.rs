//! The CPU kernel of GroupQueryAttention.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use op::{Prepared, Run, Sizes};
use smallvec::SmallVec;

use super::super::cache::{Cache, Extent, Fresh, Step, gather};
use super::super::coding::Coding;
use super::super::core::{Heads, Job, Operand, Target, room, room_bytes, scratch_bytes};
use super::super::few::is_few;
use super::super::masks::Bias;
use super::Grouped;
use super::change::{Angles, Change};
use super::window::slide;
use crate::floats::{Floats, FloatsMut};

pub(super) struct Kernel {
    pub(super) op: Grouped,
    /// The element type of the cache.
    pub(super) cache: DType,
    /// Whether queries are copied before they are used.
    pub(super) gathers: bool,
    /// Whether both present caches are asked for.
    pub(super) kept: bool,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    q: Extent,
    k: Extent,
    packed: bool,
    /// Positions that the present cache has room for.
    capacity: usize,
    /// The greatest number of positions of any image so far.
    total: usize,
}

impl Plan {
    /// The greatest number of positions that attention reads: in the present cache, and where it reads copies.
    fn keys(&self) -> [usize; 2] {
        [self.total.min(self.capacity), self.total.min(self.capacity + self.q.rows)]
    }

    fn copy(&self) -> Extent {
        Extent { rows: self.keys()[1], ..self.k }
    }
}

/// The positions of one image.
#[derive(Clone, Copy, Debug)]
struct Image {
    /// How many came earlier.
    earlier: usize,
    /// How many there are now; a prompt may be followed by others, that mean nothing.
    total: usize,
    /// How many came before those that the cache held.
    base: usize,
    /// What happens to these.
    step: Step,
}

/// Keys or values as attention reads them, and whether these are rows of the present cache.
type Read<'a> = (Operand<'a, f32>, bool);

impl Kernel {
    fn plan(&self, input: &dyn Fn(usize) -> Option<Shape>, total: Option<usize>) -> Result<Plan> {
        let op = &self.op;
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
        let width = op.width(self.cache, size);
        let past = match (input(3), input(4)) {
            (None, None) => 0,
            (Some(a), Some(b)) => {
                let fits = a == b && a.len() == 4 && a[0] == batch && a[1] == op.kv_heads && a[3] == width;
                ensure!(fits, InvalidArgument, "a past of {a} and {b}");
                a[2]
            }
            _ => bail!(InvalidArgument, "past_key and past_value must be given together"),
        };
        let total = total.unwrap_or(past + rows);
        let q = Extent { batch, heads: op.heads, rows, size };
        let capacity = if op.slides.is_some() { past } else { past.max(total) };
        if let Some(window) = op.slides {
            ensure!(capacity >= window, InvalidArgument, "a cache of {capacity} positions for a window of {window}");
        }
        Ok(Plan { q, k: Extent { heads: op.kv_heads, ..q }, packed, capacity, total })
    }

    /// Whether attention may have to read copies of the caches.
    fn copies(&self, p: &Plan) -> bool {
        let stays = self.kept && (self.op.slides.is_none() || p.q.rows <= 1);
        !stays || !(self.cache == DType::F32 || is_few::<f32>(p.q.rows))
    }

    fn bytes(&self, p: &Plan) -> usize {
        let queries = if self.gathers { room_bytes::<f32>(p.q.elements()) } else { 0 };
        let caches = if self.copies(p) { 2 * room_bytes::<f32>(p.copy().elements()) } else { 0 };
        let [direct, copied] = p.keys().map(|keys| scratch_bytes::<f32>(keys, p.k.size, p.k.size));
        queries + caches + direct.max(copied)
    }

    /// What is so far of each image.
    fn images(&self, p: &Plan, lengths: &[i32]) -> Result<SmallVec<[Image; 8]>> {
        ensure!(lengths.len() == p.q.batch, InvalidArgument, "seqlens_k has {} elements for {} images", lengths.len(), p.q.batch);
        // The first call gives all positions at once, perhaps more than an image has.
        let prompt = p.q.rows == p.total;
        let image = |l: &i32| {
            let keys = i64::from(*l) + 1;
            let fits = keys >= 0 && keys <= p.total as i64 && (prompt || keys >= p.q.rows as i64);
            ensure!(fits, InvalidArgument, "seqlens_k has {l} for {} new positions of {}", p.q.rows, p.total);
            let total = keys as usize;
            let earlier = if prompt { 0 } else { total - p.q.rows };
            let (base, step) = match self.op.slides {
                None => (0, Step { before: earlier, fresh: p.q.rows, dropped: 0 }),
                Some(window) => slide(earlier, total - earlier, window, p.capacity),
            };
            Ok(Image { earlier, total, base, step })
        };
        lengths.iter().map(image).collect()
    }

    fn fresh<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Fresh<'a>; 3]> {
        let data = Floats::of(cx.input(0)?)?;
        let fresh = if p.packed {
            let size = p.q.size;
            let width = (self.op.heads + 2 * self.op.kv_heads) * size;
            let part = |start: usize| Fresh { data, start, strides: [p.q.rows * width, size, width] };
            [part(0), part(self.op.heads * size), part((self.op.heads + self.op.kv_heads) * size)]
        } else {
            let one = |i: usize| Ok::<_, base::Error>(Fresh::by_position(Floats::of(cx.input(i)?)?, p.k));
            [Fresh::by_position(data, p.q), one(1)?, one(2)?]
        };
        for (f, e) in fresh.iter().zip([p.q, p.k, p.k]) {
            f.check(e)?;
        }
        Ok(fresh)
    }

    /// What happens to queries, and to keys.
    fn changes<'a>(&self, p: &Plan, cx: &'a Run<'_>, first: &'a (dyn Fn(usize) -> usize + Sync)) -> Result<[Change<'a>; 2]> {
        let op = &self.op;
        let angles = match op.rotates {
            true => Some(Angles::of(cx.input(7)?, cx.input(8)?, p.q.size, op.interleaved)?),
            false => None,
        };
        let positions = cx.optional(9)?.map(|t| t.slice::<i64>()).transpose()?;
        let one = |i: usize| -> Result<Change<'a>> {
            let norm = cx.optional(i)?.map(Floats::of).transpose()?.map(|weights| (weights, op.norm_epsilon));
            let change = Change { angles, norm, first, positions, rows: p.q.rows };
            change.check(p.q.batch, p.q.size)?;
            Ok(change)
        };
        Ok([one(14)?, one(15)?])
    }

    fn coding<'a>(&self, p: &Plan, cx: &'a Run<'_>, scales: usize) -> Result<Coding<'a>> {
        match self.op.quantized {
            false => Ok(Coding::float(self.cache)),
            true => Coding::scaled(self.cache, self.op.bits(self.cache), cx.input(scales)?, p.k.heads, p.k.size),
        }
    }

    fn attend(&self, p: &Plan, cx: &Run<'_>) -> Result<()> {
        let images = self.images(p, cx.input(5)?.slice::<i32>()?)?;
        let earlier = |image: usize| images[image].earlier;
        let [of_queries, of_keys] = self.changes(p, cx, &earlier)?;
        let [q, k, v] = self.fresh(p, cx)?;
        let mut scratch = cx.scratch::<u8>()?;
        let q_room = room::<f32>(&mut scratch, if self.gathers { p.q.elements() } else { 0 })?;
        let q = match q.heads::<f32>().filter(|_| of_queries.is_none()) {
            Some(own) => own,
            None => {
                let source = |image: usize, head: usize, row: usize, x: &mut [f32]| {
                    q.read(image, head, row, x);
                    of_queries.apply(image, row, x);
                };
                gather(p.q, &source, q_room)
            }
        };
        let key = |image: usize, head: usize, row: usize, x: &mut [f32]| {
            k.read(image, head, row, x);
            of_keys.apply(image, row, x);
        };
        let value = |image: usize, head: usize, row: usize, x: &mut [f32]| v.read(image, head, row, x);
        let steps: SmallVec<[Step; 8]> = images.iter().map(|i| i.step).collect();
        let copy = if self.copies(p) { p.copy().elements() } else { 0 };
        let (k_room, v_room) = (room::<f32>(&mut scratch, copy)?, room::<f32>(&mut scratch, copy)?);
        let present = |i: usize| cx.has_output(i).then(|| cx.output(i)).transpose();
        let keys = p.copy().rows;
        let k = Cache::new(self.coding(p, cx, 12)?, p.k, cx.optional(3)?, present(1)?, p.capacity)?.join(
            (&key, p.q.rows),
            &steps,
            keys,
            k_room,
        )?;
        let v = Cache::new(self.coding(p, cx, 13)?, p.k, cx.optional(4)?, present(2)?, p.capacity)?.join(
            (&value, p.q.rows),
            &steps,
            keys,
            v_room,
        )?;
        self.compute(p, cx, q, [k, v], &images, scratch)
    }

    fn compute(
        &self,
        p: &Plan,
        cx: &Run<'_>,
        q: Heads<'_, f32>,
        [(k, k_present), (v, v_present)]: [Read<'_>; 2],
        images: &[Image],
        scratch: &mut [u8],
    ) -> Result<()> {
        let op = &self.op;
        ensure!(k_present == v_present, NotImplemented, "one present cache without the other");
        let base = |image: usize| images[image].base + if k_present { images[image].step.dropped } else { 0 };
        let visible = |image: usize, query: usize| {
            let i = &images[image];
            let end = if op.causal { i.earlier + query + 1 } else { i.total };
            let start = op.window.map_or(0, |w| end.saturating_sub(w));
            let end = end.min(i.total);
            start.saturating_sub(base(image))..end.saturating_sub(base(image))
        };
        let bias = Bias::of(cx.optional(10)?, [p.q.batch, op.heads, p.q.rows, p.total])?;
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [f32]| {
            if let Some(bias) = &bias {
                bias.add(image, head, query, first + base(image), scores);
            }
        };
        let sinks = cx.optional(11)?.map(Floats::of).transpose()?;
        ensure!(sinks.is_none_or(|s| s.len() == op.heads), InvalidArgument, "{:?} sinks for {} heads", sinks.map(|s| s.len()), op.heads);
        let sink = |head: usize| sinks.map_or(0.0, |s| s.get::<f32>(head));
        let kept = if op.kept.is_some() && cx.has_output(3) { Some(FloatsMut::of(cx.output(3)?)?) } else { None };
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
            keys: if k_present { p.keys()[0] } else { p.keys()[1] },
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
        plan.map_or(0, |p| self.bytes(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = |t: TensorRef<'_>| Shape::from(t.shape());
        let total = Self::total(cx)?;
        let p = self.plan(&|i| cx.optional(i).ok().flatten().map(shape), Some(total))?;
        ensure!(p.q.rows <= p.total, InvalidArgument, "{} new positions of {}", p.q.rows, p.total);
        let dtype = cx.input(0)?.dtype();
        let width = self.op.width(self.cache, p.k.size);
        cx.allocate(0, dtype, [p.q.batch, p.q.rows, self.op.heads * p.q.size])?;
        cx.allocate(1, self.cache, [p.q.batch, self.op.kv_heads, p.capacity, width])?;
        cx.allocate(2, self.cache, [p.q.batch, self.op.kv_heads, p.capacity, width])?;
        cx.allocate(3, dtype, [p.q.batch, self.op.heads, p.q.rows, p.total])?;
        self.attend(&p, cx)
    }
}
