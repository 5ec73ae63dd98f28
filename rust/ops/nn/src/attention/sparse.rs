//! SparseAttention of `com.microsoft`: grouped attention in which blocks of queries see blocks of keys that a layout of their head names.

use base::{DType, Result, Shape, TensorRef, bail, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, TypeSet, since};
use smallvec::SmallVec;

use super::cache::{Cache, Extent, Fresh, Step, gather};
use super::coding::Coding;
use super::core::{Heads, Job, Operand, Target, room, room_bytes, scratch_bytes};
use super::few::is_few;
use super::grouped::change::{Angles, Change};
use crate::floats::{Floats, FloatsMut};

const FLOATS: TypeSet = TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]);
const INTS: TypeSet = TypeSet::tensors(&[DType::I32]);

/// SparseAttention of `com.microsoft`.
pub static SPARSE_ATTENTION: OpDef = OpDef {
    name: "SparseAttention",
    versions: &[since(
        1,
        "query:T, key:T?, value:T?, past_key:T, past_value:T, block_row_indices:M, block_col_indices:M, total_sequence_length:M, \
         key_total_sequence_lengths:M, cos_cache:T?, sin_cache:T? -> output:T, present_key:T, present_value:T",
        &[("T", FLOATS), ("M", INTS)],
    )],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Sparse>(),
    // A cache has room for more, and keeps its place.
    in_place: &[(3, 1), (4, 2)],
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct Sparse {
    heads: usize,
    kv_heads: usize,
    /// Positions of a block.
    block: usize,
    scale: Option<f32>,
    rotates: bool,
    interleaved: bool,
}

fn load(a: &Attrs<'_>) -> Result<Sparse> {
    let count = |name: &str| -> Result<usize> {
        let n = a.required_int(name)?;
        usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| base::error!(InvalidGraph, "attribute '{name}' is {n}"))
    };
    let (heads, kv_heads, block) = (count("num_heads")?, count("kv_num_heads")?, count("sparse_block_size")?);
    ensure!(heads % kv_heads == 0, InvalidGraph, "{heads} heads share {kv_heads}");
    let scale = a.opt_float("scale")?.filter(|s| *s != 0.0);
    let (rotates, interleaved) = (a.flag("do_rotary", false)?, a.flag("rotary_interleaved", false)?);
    ensure!(!rotates || (a.has_input(9) && a.has_input(10)), InvalidGraph, "do_rotary needs cos_cache and sin_cache");
    Ok(Sparse { heads, kv_heads, block, scale, rotates, interleaved })
}

impl Op for Sparse {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let packed = cx.optional(1).is_none();
        let dims = match cx.dims(0)? {
            Some([batch, rows, hidden]) if packed => {
                let size = hidden.floor_div(&(self.heads + 2 * self.kv_heads).into());
                Some([batch.clone(), rows.clone(), size.mul(&self.heads.into())].into_iter().collect())
            }
            other => other.map(Into::into),
        };
        cx.tensor(0, dtype, dims);
        crate::infer::same(cx, 3, 1)?;
        crate::infer::same(cx, 4, 2)
    }
}

impl CpuKernel for Sparse {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel { op: self.clone(), dtype: cx.dtype(0)? }))
    }
}

struct Kernel {
    op: Sparse,
    dtype: DType,
}

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
struct Plan {
    q: Extent,
    k: Extent,
    packed: bool,
    /// Positions of the cache.
    capacity: usize,
}

/// Which blocks of keys a block of queries sees, for one layout after the other: lists of columns, row by row.
#[derive(Clone, Copy, Debug)]
struct Layouts<'a> {
    rows: &'a [i32],
    cols: &'a [i32],
    /// Ends of rows, and columns, of a layout.
    ends: usize,
    width: usize,
    count: usize,
}

impl<'a> Layouts<'a> {
    /// # Errors
    /// `InvalidArgument` for shapes that are not those of layouts, or rows that do not lie among the columns.
    fn of(rows: TensorRef<'a>, cols: TensorRef<'a>, heads: usize) -> Result<Self> {
        let (&[count, ends], &[same, width]) = (rows.shape(), cols.shape()) else {
            bail!(InvalidArgument, "block indices of shapes {} and {}", Shape::from(rows.shape()), Shape::from(cols.shape()));
        };
        ensure!(
            count == same && count > 0 && ends > 0 && heads.is_multiple_of(count),
            InvalidArgument,
            "{count} and {same} layouts of {heads} heads"
        );
        let own = Self { rows: rows.slice()?, cols: cols.slice()?, ends, width, count };
        let fits = own.rows.chunks_exact(ends).all(|r| r.is_sorted() && r[0] >= 0 && r[ends - 1] as usize <= width);
        ensure!(fits, InvalidArgument, "block_row_indices do not lie in {width} columns");
        Ok(own)
    }

    /// The blocks that block `row` of queries of a head sees.
    fn seen(&self, head: usize, row: usize) -> &'a [i32] {
        let layout = head % self.count;
        let Some([start, end]) = self.rows[layout * self.ends..][..self.ends].get(row..row + 2) else { return &[] };
        &self.cols[layout * self.width..][*start as usize..*end as usize]
    }
}

impl Kernel {
    fn plan(&self, input: &dyn Fn(usize) -> Option<Shape>) -> Result<Plan> {
        let op = &self.op;
        let given = |i: usize| input(i).ok_or_else(|| base::error!(InvalidArgument, "input {i} is missing"));
        let (q, past) = (given(0)?, given(3)?);
        let (&[batch, rows, hidden], &[b, h, capacity, size]) = (&*q, &*past) else {
            bail!(InvalidArgument, "queries of shape {q} and a past of {past}");
        };
        let packed = input(1).is_none();
        let parts = if packed { op.heads + 2 * op.kv_heads } else { op.heads };
        let fits = hidden == parts * size && b == batch && h == op.kv_heads && given(4)? == past;
        ensure!(fits, InvalidArgument, "queries of shape {q} with {parts} heads, a past of {past}");
        for i in [1, 2].into_iter().filter(|_| !packed) {
            let s = given(i)?;
            ensure!(*s == [batch, rows, op.kv_heads * size], InvalidArgument, "input {i} has shape {s}, the queries {q}");
        }
        let q = Extent { batch, heads: op.heads, rows, size };
        Ok(Plan { q, k: Extent { heads: op.kv_heads, ..q }, packed, capacity })
    }

    fn gathers(&self) -> bool {
        self.op.rotates || self.dtype != DType::F32
    }

    /// The elements of caches that attention reads copies of.
    fn copied(&self, p: &Plan) -> usize {
        let direct = self.dtype == DType::F32 || is_few::<f32>(p.q.rows);
        if direct { 0 } else { Extent { rows: p.capacity, ..p.k }.elements() }
    }

    fn bytes(&self, p: &Plan) -> usize {
        let queries = if self.gathers() { p.q.elements() } else { 0 };
        room_bytes::<f32>(queries) + 2 * room_bytes::<f32>(self.copied(p)) + scratch_bytes::<f32>(p.capacity, p.k.size, p.k.size)
    }

    /// How many positions came earlier in each image, and how many there are now.
    fn images(p: &Plan, cx: &Run<'_>) -> Result<SmallVec<[(usize, usize); 8]>> {
        let (total, lengths) = (cx.input(7)?.scalar::<i32>()?, cx.input(8)?.slice::<i32>()?);
        ensure!(lengths.len() == p.q.batch, InvalidArgument, "{} key_total_sequence_lengths for {} images", lengths.len(), p.q.batch);
        let total = usize::try_from(total).ok().filter(|t| *t <= p.capacity && *t >= p.q.rows);
        let total = total.ok_or_else(|| base::error!(InvalidArgument, "total_sequence_length does not fit {p:?}"))?;
        let prompt = total == p.q.rows;
        let image = |l: &i32| {
            let length = usize::try_from(*l).ok().filter(|l| *l <= total && (prompt || *l >= p.q.rows));
            let length = length.ok_or_else(|| base::error!(InvalidArgument, "{l} positions of a key, of {total}"))?;
            Ok((if prompt { 0 } else { length - p.q.rows }, length))
        };
        lengths.iter().map(image).collect()
    }

    fn fresh<'a>(&self, p: &Plan, cx: &'a Run<'_>) -> Result<[Fresh<'a>; 3]> {
        let floats = |i: usize| cx.input(i).and_then(Floats::of);
        let data = floats(0)?;
        if !p.packed {
            return Ok([Fresh::by_position(data, p.q), Fresh::by_position(floats(1)?, p.k), Fresh::by_position(floats(2)?, p.k)]);
        }
        let (size, heads) = (p.q.size, self.op.heads);
        let width = (heads + 2 * self.op.kv_heads) * size;
        Ok([0, heads, heads + self.op.kv_heads].map(|h| Fresh { data, start: h * size, strides: [p.q.rows * width, size, width] }))
    }

    fn attend(&self, p: &Plan, cx: &Run<'_>) -> Result<()> {
        let images = Self::images(p, cx)?;
        let first = |image: usize| images[image].0;
        let angles = match self.op.rotates {
            true => Some(Angles::of(cx.input(9)?, cx.input(10)?, p.q.size, self.op.interleaved)?),
            false => None,
        };
        let change = Change { angles, norm: None, first: &first, positions: None, rows: p.q.rows };
        change.check(p.q.batch, p.q.size)?;
        let [q, k, v] = self.fresh(p, cx)?;
        let mut scratch = cx.scratch::<u8>()?;
        let q_room = room::<f32>(&mut scratch, if self.gathers() { p.q.elements() } else { 0 })?;
        let turned = |from: Fresh<'_>, image: usize, head: usize, row: usize, x: &mut [f32]| {
            from.read(image, head, row, x);
            change.apply(image, row, x);
        };
        let q = match q.heads::<f32>().filter(|_| change.is_none()) {
            Some(own) => own,
            None => gather(p.q, &|image, head, row, x| turned(q, image, head, row, x), q_room),
        };
        let key = |image: usize, head: usize, row: usize, x: &mut [f32]| turned(k, image, head, row, x);
        let value = |image: usize, head: usize, row: usize, x: &mut [f32]| v.read(image, head, row, x);
        let steps: SmallVec<[Step; 8]> = images.iter().map(|(before, _)| Step { before: *before, fresh: p.q.rows, dropped: 0 }).collect();
        let (k_room, v_room) = (room::<f32>(&mut scratch, self.copied(p))?, room::<f32>(&mut scratch, self.copied(p))?);
        let cache = |i: usize| Cache::new(Coding::float(self.dtype), p.k, Some(cx.input(i + 2)?), Some(cx.output(i)?), p.capacity);
        let (k, _) = cache(1)?.join((&key, p.q.rows), &steps, p.capacity, k_room)?;
        let (v, _) = cache(2)?.join((&value, p.q.rows), &steps, p.capacity, v_room)?;
        self.compute(p, cx, q, [k, v], &images, scratch)
    }

    fn compute(
        &self,
        p: &Plan,
        cx: &Run<'_>,
        q: Heads<'_, f32>,
        [k, v]: [Operand<'_, f32>; 2],
        images: &[(usize, usize)],
        scratch: &mut [u8],
    ) -> Result<()> {
        let op = &self.op;
        let layouts = Layouts::of(cx.input(5)?, cx.input(6)?, op.heads)?;
        let visible = |image: usize, query: usize| {
            let (earlier, length) = images[image];
            0..length.min(earlier + query + 1)
        };
        let add = |image: usize, head: usize, query: usize, first: usize, scores: &mut [f32]| {
            let seen = layouts.seen(head, (images[image].0 + query) / op.block);
            let hidden = |key: usize| !seen.iter().any(|col| usize::try_from(*col) == Ok(key / op.block));
            let mut at = 0;
            while at < scores.len() {
                // Up to the end of a block, all keys are hidden or none.
                let end = scores.len().min(at + op.block - (first + at) % op.block);
                if hidden(first + at) {
                    scores[at..end].fill(f32::NEG_INFINITY);
                }
                at = end;
            }
        };
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
            keys: p.capacity,
            size: p.q.size,
            v_size: p.q.size,
            scale: op.scale.unwrap_or(1.0 / (p.q.size as f32).sqrt()),
            softcap: 0.0,
            visible: &visible,
            bias: Some(&add),
            sink: None,
            keep: None,
        };
        job.run(&Target { data: &y, batch: p.q.rows * width, head: p.q.size, row: width }, scratch)
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        self.plan(&|i| sizes.input(i).ok().map(Shape::from)).map_or(0, |p| self.bytes(&p))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = |t: TensorRef<'_>| Shape::from(t.shape());
        let p = self.plan(&|i| cx.optional(i).ok().flatten().map(shape))?;
        cx.allocate(0, self.dtype, [p.q.batch, p.q.rows, self.op.heads * p.q.size])?;
        for i in [1, 2] {
            cx.allocate(i, self.dtype, [p.q.batch, self.op.kv_heads, p.capacity, p.q.size])?;
        }
        self.attend(&p, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, assert_close, single};

    /// Blocks of one position, of which the third sees the first and itself.
    fn op(rows: [i32; 4]) -> Single {
        let op = single(&SPARSE_ATTENTION, 1).attr("num_heads", 1i64).attr("kv_num_heads", 1i64).attr("sparse_block_size", 1i64);
        let op = op.input([1, 1, 1], &[0f32]).input([1, 1, 1], &[0f32]).input([1, 1, 1], &[9f32]);
        let op = op.input([1, 1, 3, 1], &[0f32; 3]).input([1, 1, 3, 1], &[3f32, 100.0, 0.0]);
        op.input([1, 4], &rows).input([1, 5], &[0i32, 0, 1, 0, 2]).input([1], &[3i32]).input([1], &[3i32])
    }

    #[test]
    fn blocks_that_are_not_named_are_hidden() {
        let out = op([0, 1, 3, 5]).run(3).unwrap();
        assert_close(out[0].tensor().unwrap(), &[6.0], 1e-6, 0.0);
        assert_close(out[2].tensor().unwrap(), &[3.0, 100.0, 9.0], 0.0, 0.0);
    }

    #[test]
    fn rows_outside_of_the_columns_are_refused() {
        for rows in [[0, 1, 3, 6], [0, 3, 1, 5], [-1, 1, 3, 5]] {
            assert!(op(rows).run(3).unwrap_err().detail().contains("block_row_indices"));
        }
    }
}
