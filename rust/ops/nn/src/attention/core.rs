//! Scaled dot products of queries and keys, their softmax, and the sum of values it weighs: some queries of one head at a time, so that
//! no array grows with the square of the length.

use std::ops::Range;

use base::{Result, bail, ensure};
use gemm::{Epilogue, Mat, MatMut, Scalar, gemm, scratch_len};

use super::coding::Coded;
use super::few::PIECE;
use crate::chunks::try_for_rows;
use crate::conv::windows::elements;
use crate::floats::FloatsMut;
use crate::real::Real;
use crate::widen::take;

/// Scores that half of a second cache holds.
const SCORES: usize = 128 << 10;

/// The least and the most queries that are handled together.
const ROWS: [usize; 2] = [32, 96];

/// Queries that are handled together: as many as have scores that a cache holds, for keys and values are packed for each such block of
/// queries.
fn rows_at_once(keys: usize) -> usize {
    (SCORES / keys.max(1)).clamp(ROWS[0], ROWS[1])
}

/// A type that attention is computed in.
pub(crate) trait Computed: Real + Scalar<Acc = Self> {}

impl<A: Real + Scalar<Acc = A>> Computed for A {}

/// Queries, keys or values: the distances from one image, one head and one position to the next. The elements of a head are neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a, A> {
    pub(crate) data: &'a [A],
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) row: usize,
}

impl<'a, A> Heads<'a, A> {
    /// What there is of head `head` of image `image` from position `row` on.
    pub(super) fn from(&self, image: usize, head: usize, row: usize) -> &'a [A] {
        &self.data[image * self.batch + head * self.head + row * self.row..]
    }

    /// Whether `sizes` (images, heads, positions, elements) lie in the data.
    fn holds(&self, sizes: [usize; 4]) -> bool {
        let reach = |n: usize, stride: usize| (n - 1).checked_mul(stride);
        let last = || {
            let [images, heads, rows, size] = sizes;
            reach(images, self.batch)?.checked_add(reach(heads, self.head)?)?.checked_add(reach(rows, self.row)?)?.checked_add(size)
        };
        sizes.contains(&0) || last().is_some_and(|n| n <= self.data.len())
    }
}

/// Keys or values.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand<'a, A> {
    /// As elements that are computed with.
    Plain(Heads<'a, A>),
    /// As a cache holds them, for few queries.
    Coded(Coded<'a>),
}

impl<'a, A> Operand<'a, A> {
    /// Whether `sizes` (images, heads, positions, elements) lie in the data.
    fn holds(&self, sizes: [usize; 4]) -> bool {
        match self {
            Self::Plain(heads) => heads.holds(sizes),
            Self::Coded(coded) => coded.holds(sizes),
        }
    }

    fn plain(&self) -> Result<&Heads<'a, A>> {
        match self {
            Self::Plain(heads) => Ok(heads),
            Self::Coded(_) => bail!(Fail, "attention of many queries reads no coded cache"),
        }
    }
}

/// Which values on the way are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The scaled products.
    Products,
    /// After the soft cap.
    Capped,
    /// With bias and mask.
    Biased,
    /// The same, with 0 where a query does not see the key.
    Seen,
    /// After the softmax.
    Weights,
}

/// The scores of one head, to which something is added: image, head, query, the first key, and the scores from it on.
pub(crate) type Bias<'a, A> = &'a (dyn Fn(usize, usize, usize, usize, &mut [A]) + Sync);

/// An attention ready to run.
pub(crate) struct Job<'a, A> {
    pub(crate) q: Heads<'a, A>,
    pub(crate) k: Operand<'a, A>,
    pub(crate) v: Operand<'a, A>,
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// Elements of a query and a key, and of a value.
    pub(crate) size: usize,
    pub(crate) v_size: usize,
    pub(crate) scale: A,
    /// The scores are bent to stay within this; 0 for no bound.
    pub(crate) softcap: A,
    /// The keys that a query of an image sees.
    pub(crate) visible: &'a (dyn Fn(usize, usize) -> Range<usize> + Sync),
    pub(crate) bias: Option<Bias<'a, A>>,
    /// The score of a key of no value that each head has.
    pub(crate) sink: Option<&'a (dyn Fn(usize) -> A + Sync)>,
    pub(crate) keep: Option<(Stage, &'a FloatsMut<'a>)>,
}

/// The place of the result: distances as in [`Heads`].
pub(crate) struct Target<'a> {
    pub(crate) data: &'a FloatsMut<'a>,
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) row: usize,
}

/// Bytes of scratch memory that [`room`] cuts off for `len` elements.
pub(super) fn room_bytes<A>(len: usize) -> usize {
    len.saturating_mul(size_of::<A>()).saturating_add(63) / 64 * 64
}

/// Cuts room for `len` elements off.
///
/// # Errors
/// `Fail` when there is too little.
pub(super) fn room<'a, A: Computed>(scratch: &mut &'a mut [u8], len: usize) -> Result<&'a mut [A]> {
    let bytes = room_bytes::<A>(len).min(scratch.len());
    elements(take(scratch, bytes)?, len)
}

/// Bytes of scratch memory for each thread: no fewer for more keys.
pub(super) fn own_bytes<A: Computed>(keys: usize, size: usize, v_size: usize) -> usize {
    let [least, most] = ROWS;
    let scores = most.saturating_mul(keys).min(SCORES.max(least.saturating_mul(keys)));
    let products = scratch_len::<A>(1, most, keys, size, false, false).max(scratch_len::<A>(1, most, v_size, keys, false, false));
    let read = room_bytes::<A>(PIECE * size.max(v_size));
    let sums = room_bytes::<A>(most * v_size);
    room_bytes::<A>(scores).saturating_add(sums).saturating_add(room_bytes::<u8>(products).max(read))
}

/// Bytes of scratch memory for all threads.
pub(crate) fn scratch_bytes<A: Computed>(keys: usize, size: usize, v_size: usize) -> usize {
    own_bytes::<A>(keys, size, v_size).saturating_mul(base::threads::slots())
}

impl<A: Computed> Job<'_, A> {
    /// Computes the attention into `y`.
    ///
    /// # Errors
    /// `Fail` when operands are shorter than their sizes say.
    pub(crate) fn run(&self, y: &Target<'_>, scratch: &mut [u8]) -> Result<()> {
        let q = [self.batch, self.heads, self.queries, self.size];
        let k = [self.batch, self.kv_heads, self.keys, self.size];
        let v = [self.batch, self.kv_heads, self.keys, self.v_size];
        ensure!(self.q.holds(q) && self.k.holds(k) && self.v.holds(v), Fail, "operands shorter than {q:?}, {k:?} and {v:?}");
        ensure!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            InvalidArgument,
            "{} heads share {}",
            self.heads,
            self.kv_heads
        );
        // Heads that nothing comes of may be any number.
        if self.queries == 0 || (self.v_size == 0 && (self.keep.is_none() || self.keys == 0)) {
            return Ok(());
        }
        if self.is_few() {
            return self.run_few(y, scratch);
        }
        let at_once = rows_at_once(self.keys);
        let blocks = self.queries.div_ceil(at_once);
        try_for_rows(scratch, own_bytes::<A>(self.keys, self.size, self.v_size), self.batch * self.heads * blocks, 1, &|own, mut range| {
            range.try_for_each(|i| {
                let (image, head, block) = (i / (self.heads * blocks), i / blocks % self.heads, i % blocks);
                self.block(image, head, block * at_once..((block + 1) * at_once).min(self.queries), y, own)
            })
        })
    }

    /// The keys that one query sees.
    pub(super) fn seen(&self, image: usize, i: usize) -> Range<usize> {
        let seen = (self.visible)(image, i);
        seen.start.min(self.keys)..seen.end.min(self.keys)
    }

    /// The keys that any of some queries sees, and what lies between; all where values on the way are kept.
    pub(super) fn keys_seen(&self, image: usize, rows: Range<usize>) -> Range<usize> {
        if self.keep.is_some() {
            return 0..self.keys;
        }
        let seen = rows.map(|i| self.seen(image, i)).filter(|s| !s.is_empty());
        seen.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }

    /// Some queries of one head.
    fn block(&self, image: usize, head: usize, rows: Range<usize>, y: &Target<'_>, mut own: &mut [u8]) -> Result<()> {
        let keys = self.keys_seen(image, rows.clone());
        let (scores, sums) = (room::<A>(&mut own, rows.len() * keys.len())?, room::<A>(&mut own, rows.len() * self.v_size)?);
        let kv = head / (self.heads / self.kv_heads);
        self.products(image, head, kv, &rows, &keys, scores, own)?;
        for (i, scores) in rows.clone().zip(scores.chunks_exact_mut(keys.len().max(1))) {
            self.weigh(image, head, i, self.seen(image, i), keys.start, scores);
        }
        self.sum(image, kv, rows.len(), &keys, scores, sums, own)?;
        for (i, sums) in rows.zip(sums.chunks_exact(self.v_size.max(1))) {
            // SAFETY: each query of each head belongs to one chunk.
            unsafe { y.data.write(image * y.batch + head * y.head + i * y.row, sums) }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // One step of `block`.
    fn products(
        &self,
        image: usize,
        head: usize,
        kv: usize,
        rows: &Range<usize>,
        keys: &Range<usize>,
        scores: &mut [A],
        own: &mut [u8],
    ) -> Result<()> {
        if scores.is_empty() {
            return Ok(());
        }
        let (q, k) = (self.q.from(image, head, rows.start), self.k.plain()?);
        let a = Mat::new(q, rows.len(), self.size, self.q.row, 1)?;
        let b = Mat::new(k.from(image, kv, keys.start), keys.len(), self.size, k.row, 1)?.transposed();
        gemm(a, b, &Epilogue { alpha: self.scale, steps: &[] }, MatMut::row_major(scores, rows.len(), keys.len())?, own)
    }

    /// Turns the scores of one query into weights.
    pub(super) fn weigh(&self, image: usize, head: usize, i: usize, seen: Range<usize>, first: usize, scores: &mut [A]) {
        let keep = |stage: Stage, scores: &[A]| {
            if let Some((_, to)) = self.keep.filter(|(s, _)| *s == stage) {
                let at = ((image * self.heads + head) * self.queries + i) * self.keys;
                // SAFETY: each query of each head belongs to one chunk.
                unsafe { to.write(at, scores) }
            }
        };
        keep(Stage::Products, scores);
        if self.softcap > A::zero() {
            scores.iter_mut().for_each(|s| *s = (*s / self.softcap).tanh() * self.softcap);
        }
        keep(Stage::Capped, scores);
        if let Some(bias) = self.bias {
            bias(image, head, i, first, scores);
        }
        let (start, end) = (seen.start.saturating_sub(first).min(scores.len()), seen.end.saturating_sub(first).min(scores.len()));
        let inside = start..end.max(start);
        for (stage, unseen) in [(Stage::Seen, A::zero()), (Stage::Biased, A::neg_infinity())] {
            scores[..start].fill(unseen);
            scores[inside.end..].fill(unseen);
            keep(stage, scores);
        }
        let max = A::greatest(&scores[inside.clone()]);
        scores[..start].fill(A::zero());
        scores[inside.end..].fill(A::zero());
        let scores_seen = &mut scores[inside];
        match self.sink {
            // A query that sees no key gets no value.
            _ if max == A::neg_infinity() => scores_seen.fill(A::zero()),
            None => A::softmax_in_place(scores_seen),
            Some(sink) => {
                let sink = sink(head);
                let max = if sink > max { sink } else { max };
                scores_seen.iter_mut().for_each(|s| *s = (*s - max).exp());
                let total = A::sum_of(scores_seen) + (sink - max).exp();
                scores_seen.iter_mut().for_each(|s| *s = *s / total);
            }
        }
        keep(Stage::Weights, scores);
    }

    #[allow(clippy::too_many_arguments)] // One step of `block`.
    fn sum(&self, image: usize, kv: usize, rows: usize, keys: &Range<usize>, weights: &[A], sums: &mut [A], own: &mut [u8]) -> Result<()> {
        if keys.is_empty() || sums.is_empty() {
            sums.fill(A::zero());
            return Ok(());
        }
        let v = self.v.plain()?;
        let a = Mat::row_major(weights, rows, keys.len())?;
        let b = Mat::new(v.from(image, kv, keys.start), keys.len(), self.v_size, v.row, 1)?;
        gemm(a, b, &Epilogue::default(), MatMut::row_major(sums, rows, self.v_size)?, own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::threads::SharedMut;

    fn data(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 37 + seed * 11) % 23) as f32 * 0.1 - 1.1).collect()
    }

    #[test]
    fn few_and_many_queries_of_shared_heads() {
        for (queries, keys, size, v_size) in [(1, 50, 40, 70), (2, 7, 16, 3), (40, 90, 20, 33), (130, 45, 8, 5)] {
            let (batch, heads, kv_heads) = (2, 4, 2);
            let (q, k) = (data(batch * heads * queries * size, 1), data(batch * kv_heads * keys * size, 2));
            let v = data(batch * kv_heads * keys * v_size, 3);
            let mut y = vec![0f32; batch * heads * queries * v_size];
            let visible = |_: usize, i: usize| 0..(i + keys - queries.min(keys) + 1);
            {
                let shared = FloatsMut::F32(SharedMut::new(&mut y));
                let of =
                    |data, heads: usize, rows: usize, size: usize| Heads { data, batch: heads * rows * size, head: rows * size, row: size };
                let job = Job {
                    q: of(&q[..], heads, queries, size),
                    k: Operand::Plain(of(&k[..], kv_heads, keys, size)),
                    v: Operand::Plain(of(&v[..], kv_heads, keys, v_size)),
                    batch,
                    heads,
                    kv_heads,
                    queries,
                    keys,
                    size,
                    v_size,
                    scale: 0.3,
                    softcap: 0.0,
                    visible: &visible,
                    bias: None,
                    sink: None,
                    keep: None,
                };
                let target = Target { data: &shared, batch: heads * queries * v_size, head: queries * v_size, row: v_size };
                let mut scratch = base::Buffer::zeroed(scratch_bytes::<f32>(keys, size, v_size)).unwrap();
                job.run(&target, scratch.bytes_mut().unwrap()).unwrap();
            }
            for (i, got) in y.iter().enumerate() {
                let (row, d) = (i / v_size, i % v_size);
                let (head, query) = (row / queries, row % queries);
                let kv = head / heads * kv_heads + head % heads / (heads / kv_heads);
                let score = |j: usize| {
                    (0..size).map(|l| f64::from(q[row * size + l]) * f64::from(k[(kv * keys + j) * size + l])).sum::<f64>() * 0.3
                };
                let seen = visible(0, query).end.min(keys);
                let e: Vec<f64> = (0..seen).map(|j| score(j).exp()).collect();
                let want: f64 = (0..seen).map(|j| e[j] * f64::from(v[(kv * keys + j) * v_size + d])).sum::<f64>() / e.iter().sum::<f64>();
                assert!((f64::from(*got) - want).abs() < 1e-4, "{queries} {i}: {got} and {want}");
            }
        }
    }
}
