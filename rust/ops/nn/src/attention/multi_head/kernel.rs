//! The CPU kernel of the attention operators whose queries have keys of their own.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use op::{CpuKernel, Prepare, Prepared, Run, Sizes};

use super::super::cache::{Cache, Extent, Fresh, Step, gather};
use super::super::coding::Coding;
use super::super::core::{Heads, Job, Operand, Stage, Target, room, room_bytes, scratch_bytes};
use super::super::few::is_few;
use super::super::masks::{Bias, Mask};
use super::MultiHead;
use super::beams::Beams;
use super::projection::{Made, Projection};
use crate::floats::{Floats, FloatsMut};

impl CpuKernel for MultiHead {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let dtype = cx.dtype(0)?;
        let kept = self.places.present.iter().all(|i| cx.output(*i).is_some());
        let given = self.projects.is_none();
        let gathers = given && (dtype != DType::F32 || cx.optional(self.places.bias).is_some());
        let joins = gathers || cx.optional(self.places.past[0]).is_some();
        // Who keeps a cache of every beam puts its positions in order elsewhere.
        let beams = self.shares && cx.optional(self.places.beams).is_some();
        let projection = if given { None } else { Some(Projection::new(cx)?) };
        Ok(Box::new(Kernel { op: self.clone(), projection, dtype, gathers, kept, joins, beams }))
    }
}

struct Kernel {
    op: MultiHead,
    projection: Option<Projection>,
    dtype: DType,
    /// Whether queries are copied before they are used.
    gathers: bool,
    /// Whether both present caches are asked for.
    kept: bool,
    /// Whether keys and values are put together or changed.
    joins: bool,
    /// Whether positions of a cache come from several images.
    beams: bool,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    q: Extent,
    k: Extent,
    v: Extent,
    /// Earlier positions.
    past: usize,
    /// Positions that a present cache has room for.
    capacity: usize,
    /// All in one input, side by side.
    packed: bool,
    /// What the operator makes itself.
    made: Option<Made>,
}

impl Plan {
    fn keys(&self) -> usize {
        self.past + self.k.rows
    }

    fn all(&self, e: Extent) -> Extent {
        Extent { rows: self.keys(), ..e }
    }
}

/// Queries, keys and values of the same heads, one behind the other at each position.
fn side_by_side<'a>(data: Floats<'a>, p: &Plan) -> [Fresh<'a>; 3] {
    let [q, k, v] = [p.q, p.k, p.v].map(|e| e.heads * e.size);
    let width = q + k + v;
    let part = |start: usize, e: Extent| Fresh { data, start, strides: [e.rows * width, e.size, width] };
    [part(0, p.q), part(q, p.k), part(q + k, p.v)]
}

impl Kernel {
    fn plan(&self, input: &dyn Fn(usize) -> Option<Shape>, length: Option<usize>) -> Result<Plan> {
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
            let made = Some(Made { rows: batch * rows, inner, width });
            return Ok(Plan { q: of(q), k: of(k), v: of(v), past, capacity: past + rows, packed: false, made });
        }
        let one = |shape: &Shape, parts: usize| -> Result<Extent> {
            match **shape {
                [batch, rows, hidden] if hidden % heads == 0 => Ok(Extent { batch, heads, rows, size: hidden / heads }),
                [batch, h, rows, size] if h == heads => Ok(Extent { batch, heads, rows, size }),
                [batch, rows, h, p, size] if h == heads && p == parts => Ok(Extent { batch, heads, rows, size }),
                _ => bail!(InvalidArgument, "{heads} heads do not make up an input of shape {shape}"),
            }
        };
        let packed = input(1).is_none() && first.len() == 3;
        let mut q = one(&first, 3)?;
        if packed {
            ensure!(q.size % 3 == 0, InvalidArgument, "{heads} heads of queries, keys and values do not make up {first}");
            q.size /= 3;
        }
        let k = input(1).map_or(Ok(q), |s| one(&s, 2))?;
        let v = input(2).map_or(Ok(k), |s| one(&s, 1))?;
        let fits = k.batch == q.batch && v.batch == q.batch && k.rows == v.rows && k.size == q.size;
        ensure!(fits, InvalidArgument, "queries {q:?}, keys {k:?} and values {v:?} do not fit");
        let [past_key, past_value] = self.op.places.past;
        let past = match (input(past_key), input(past_value)) {
            (None, None) => 0,
            (Some(a), Some(b)) => {
                let same = |s: &Shape, size: usize| s.len() == 4 && s[0] == q.batch && s[1] == heads && s[3] == size && s[2] == a[2];
                ensure!(a.len() == 4 && same(&a, k.size) && same(&b, v.size), InvalidArgument, "a past of {a} and {b}");
                a[2]
            }
            _ => bail!(InvalidArgument, "past_key and past_value must be given together"),
        };
        let (past, capacity) = match self.op.shares {
            // Where it is not known how many there are, there may be as many as have room.
            true => (length.unwrap_or(past.saturating_sub(k.rows)), past),
            false => (past, past + k.rows),
        };
        ensure!(past + k.rows <= capacity, InvalidArgument, "{past} earlier and {} new positions in a cache of {capacity}", k.rows);
        Ok(Plan { q, k, v, past, capacity, packed, made: None })
    }

    /// Whether attention reads copies of keys and values: caches of other types, and what is put together without being asked for.
    fn copies(&self, p: &Plan) -> bool {
        if self.kept { self.dtype != DType::F32 && !is_few::<f32>(p.q.rows) } else { self.joins }
    }

    fn bytes(&self, p: &Plan) -> usize {
        let padded = room_bytes::<f32>;
        let fresh = if self.gathers { padded(p.q.elements()) } else { 0 };
        let all = padded(p.all(p.k).elements()) + padded(p.all(p.v).elements());
        let all = all * (usize::from(self.copies(p)) + usize::from(self.beams));
        let made = p.made.zip(self.projection.as_ref()).map_or(0, |(made, projection)| projection.bytes(made));
        fresh + all + made + scratch_bytes::<f32>(p.keys(), p.q.size, p.v.size)
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
        if p.packed {
            return Ok(side_by_side(floats(0)?, p));
        }
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
        let fresh = match (&self.projection, p.made) {
            (Some(projection), Some(made)) => side_by_side(Floats::F32(projection.make(made, cx, &mut scratch)?), p),
            _ => self.given(p, cx)?,
        };
        for (f, e) in fresh.iter().zip([p.q, p.k, p.v]) {
            f.check(e)?;
        }
        // The bias of inputs that the operator did not make: of queries, keys and values, one behind the other.
        let bias = if p.made.is_none() { cx.optional(self.op.places.bias)?.map(Floats::of).transpose()? } else { None };
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
        let beams = match cx.optional(self.op.places.beams)?.filter(|_| self.beams) {
            Some(t) => Some(Beams::of(t, p.q.batch, p.past)?),
            None => None,
        };
        let steps = [Step { before: p.past, fresh: p.k.rows, dropped: 0 }];
        // Keys and values by head have been made, with their bias, earlier.
        let ready = p.made.is_none() && !p.packed && cx.optional(1)?.is_some_and(|t| t.rank() == 4);
        let mut read = [None, None];
        for (i, cache) in self.caches(p, cx)?.into_iter().enumerate() {
            let (fresh, e) = (&fresh[i + 1], [p.k, p.v][i]);
            let add = add(widths[..=i].iter().sum(), e.size);
            let bias = bias.filter(|_| !ready);
            let source = |image: usize, head: usize, row: usize, x: &mut [f32]| {
                fresh.read(image, head, row, x);
                if bias.is_some() {
                    add(image, head, row, x);
                }
            };
            let copy = room(&mut scratch, if self.copies(p) { p.all(e).elements() } else { 0 })?;
            let (all, _) = cache.read((Some(fresh).filter(|_| bias.is_none()), &source, p.q.rows), &steps, p.keys(), copy)?;
            read[i] = Some(match &beams {
                None => all,
                Some(beams) => Operand::Plain(beams.follow(&all, p.all(e), room(&mut scratch, p.all(e).elements())?)?),
            });
        }
        let [Some(k), Some(v)] = read else { bail!(Fail, "keys or values were not read") };
        self.compute(p, cx, q, k, v, scratch)
    }

    /// Where earlier keys and values are, and where all go.
    fn caches<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Cache<'a>; 2]> {
        let (coding, places) = (Coding::float(self.dtype), self.op.places);
        let present = |i: usize| cx.has_output(places.present[i]).then(|| cx.output(places.present[i])).transpose();
        if p.made.is_none() {
            let one = |i: usize, e: Extent| Cache::new(coding, e, cx.optional(places.past[i])?, present(i)?, p.capacity);
            return Ok([one(0, p.k)?, one(1, p.v)?]);
        }
        // Halves of one tensor each.
        let earlier = cx.optional(places.past[0])?.map(|t| Ok::<_, base::Error>((t.bytes()?, t.shape()[3]))).transpose()?;
        let [k_past, v_past] = match earlier.map(|(bytes, rows)| (bytes.split_at(bytes.len() / 2), rows)) {
            Some(((keys, values), rows)) => [Some((keys, rows)), Some((values, rows))],
            None => [None, None],
        };
        let [k_all, v_all] = match present(0)?.map(base::TensorMut::bytes).transpose()?.map(|bytes| bytes.split_at_mut(bytes.len() / 2)) {
            Some((keys, values)) => [Some(keys), Some(values)],
            None => [None, None],
        };
        let one = |e: Extent, past, all| Cache::inside(coding, e, past, all, p.capacity);
        Ok([one(p.k, k_past, k_all)?, one(p.v, v_past, v_all)?])
    }

    fn compute(
        &self,
        p: &Plan,
        cx: &Run<'_>,
        q: Heads<'_, f32>,
        k: Operand<'_, f32>,
        v: Operand<'_, f32>,
        scratch: &mut [u8],
    ) -> Result<()> {
        let places = self.op.places;
        let (keys, queries) = (p.keys(), p.q.rows);
        let mask = Mask::of(cx.optional(places.mask)?, p.q.batch, queries, keys)?;
        let bias = Bias::of(cx.optional(places.scores)?, [p.q.batch, self.op.heads, queries, keys])?;
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [f32]| {
            mask.add(image, query, first, p.past, self.op.filter, scores);
            if let Some(bias) = &bias {
                bias.add(image, head, query, first, scores);
            }
        };
        let visible = |_: usize, query: usize| if self.op.causal { 0..p.past + query + 1 } else { 0..keys };
        let kept = if p.made.is_none() && cx.has_output(3) { Some(FloatsMut::of(cx.output(3)?)?) } else { None };
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
            keep: kept.as_ref().map(|to| (Stage::Biased, to)),
        };
        job.run(&Target { data: &y, batch: queries * width, head: p.v.size, row: width }, scratch)
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let length = sizes.ints.get(self.op.places.length).copied().flatten().and_then(|v| usize::try_from(*v.first()?).ok());
        let plan = self.plan(&|i| sizes.input(i).ok().map(Shape::from), length);
        plan.map_or(0, |p| self.bytes(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = |t: TensorRef<'_>| Shape::from(t.shape());
        let length = if self.op.shares { Some(cx.input(self.op.places.length)?.scalar::<i32>()?) } else { None };
        let count = |n: i32| usize::try_from(n).map_err(|_| base::error!(InvalidArgument, "past_sequence_length is {n}"));
        let p = self.plan(&|i| cx.optional(i).ok().flatten().map(shape), length.map(count).transpose()?)?;
        let dtype = cx.input(0)?.dtype();
        cx.allocate(0, dtype, [p.q.batch, p.q.rows, p.v.heads * p.v.size])?;
        let all = |e: Extent| [p.q.batch, e.heads, p.capacity, e.size];
        match p.made {
            Some(_) => cx.allocate(1, dtype, [2, p.q.batch, p.k.heads, p.capacity, p.k.size])?,
            None => {
                cx.allocate(1, dtype, all(p.k))?;
                cx.allocate(2, dtype, all(p.v))?;
                cx.allocate(3, dtype, [p.q.batch, p.q.heads, p.q.rows, p.keys()])?;
            }
        }
        self.attend(&p, cx)
    }
}
