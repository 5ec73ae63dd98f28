//! Attention of one or two queries: all heads that share keys go through these together, piece by piece, so that each key and each value
//! is read from memory once.

use std::ops::Range;

use base::threads::pieces;
use base::{Result, ensure};
use simd::{Kernel, Simd, dispatch};
use smallvec::{SmallVec, smallvec};

use super::core::{Computed, Job, Operand, Target, own_bytes, room};
use crate::chunks::try_for_rows;
use crate::floats::{cast, cast_mut};

/// Up to this many queries are multiplied by keys as they lie.
pub(super) const FEW: usize = 2;

/// Rows of keys or values that are at hand at once.
pub(super) const PIECE: usize = 64;

/// Queries of all heads that go through the keys together at most: no more than the scratch memory of a block has rows for.
const TOGETHER: usize = 32;

/// Rows that share a loaded vector.
const ROWS: usize = 4;

impl<A: Computed> Job<'_, A> {
    /// Whether there are so few queries that [`run_few`](Self::run_few) is for them.
    pub(super) fn is_few(&self) -> bool {
        is_few::<A>(self.queries)
    }

    /// Computes the attention into `y`.
    pub(super) fn run_few(&self, y: &Target<'_>, scratch: &mut [u8]) -> Result<()> {
        let group = self.heads / self.kv_heads;
        // As many parts of each group as there are threads for.
        let parts = base::threads::slots().div_ceil((self.batch * self.kv_heads).max(1));
        let together = group.div_ceil(parts).min(TOGETHER / self.queries.max(1)).max(1);
        let parts = group.div_ceil(together);
        let own = own_bytes::<A>(self.keys, self.size, self.v_size);
        try_for_rows(scratch, own, self.batch * self.kv_heads * parts, 1, &|own, mut range| {
            range.try_for_each(|i| {
                let (image, kv, part) = (i / (self.kv_heads * parts), i / parts % self.kv_heads, i % parts);
                self.together(image, kv, kv * group + part * together..kv * group + group.min((part + 1) * together), y, own)
            })
        })
    }

    /// All queries of some heads that share keys.
    fn together(&self, image: usize, kv: usize, heads: Range<usize>, y: &Target<'_>, mut own: &mut [u8]) -> Result<()> {
        let keys = self.keys_seen(image, 0..self.queries);
        let rows: SmallVec<[(usize, usize); TOGETHER]> = heads.flat_map(|h| (0..self.queries).map(move |q| (h, q))).collect();
        let scores = room::<A>(&mut own, rows.len() * keys.len())?;
        let sums = room::<A>(&mut own, rows.len() * self.v_size)?;
        let read = room::<A>(&mut own, PIECE * self.size.max(self.v_size))?;
        let q: SmallVec<[&[f32]; TOGETHER]> = rows.iter().filter_map(|(h, i)| cast(&self.q.from(image, *h, *i)[..self.size])).collect();
        let (Some(wide), Some(read), true) = (cast_mut(&mut *scores), cast_mut(read), q.len() == rows.len()) else {
            base::bail!(Fail, "attention of few queries computes in f32");
        };
        let scale = self.scale.f64() as f32;
        for piece in pieces(keys.len(), PIECE) {
            let (k, stride) = self.k.rows(image, kv, keys.start + piece.start..keys.start + piece.end, self.size, read)?;
            dispatch(Dots { q: &q, k, stride, scale, scores: wide, width: keys.len(), at: piece });
        }
        for ((h, i), scores) in rows.iter().zip(scores.chunks_exact_mut(keys.len().max(1))) {
            self.weigh(image, *h, *i, self.seen(image, *i), keys.start, scores);
        }
        let (Some(weights), Some(wide)) = (cast(scores), cast_mut(&mut *sums)) else { return Ok(()) };
        wide.fill(0.0);
        for piece in pieces(keys.len(), PIECE) {
            let (v, stride) = self.v.rows(image, kv, keys.start + piece.start..keys.start + piece.end, self.v_size, read)?;
            dispatch(WeightedSums { v, stride, weights, width: keys.len(), at: piece, sums: wide, size: self.v_size });
        }
        for ((h, i), sums) in rows.iter().zip(sums.chunks_exact(self.v_size.max(1))) {
            // SAFETY: each query of each head belongs to one chunk.
            unsafe { y.data.write(image * y.batch + h * y.head + i * y.row, sums) }
        }
        Ok(())
    }
}

/// Whether attention of `queries` queries, computed in `A`, is that of few: it reads keys and values as a cache holds them.
pub(super) fn is_few<A: Computed>(queries: usize) -> bool {
    queries <= FEW && A::DTYPE == base::DType::F32
}

impl<A: Computed> Operand<'_, A> {
    /// Rows of one head as `f32`, and the distance of neighbours: as they lie, or in `room`.
    fn rows<'r>(&'r self, image: usize, head: usize, rows: Range<usize>, size: usize, room: &'r mut [f32]) -> Result<(&'r [f32], usize)> {
        match self {
            Self::Plain(heads) => {
                let own = cast(heads.from(image, head, rows.start));
                Ok((own.ok_or_else(|| base::error!(Fail, "keys and values are not f32"))?, heads.row))
            }
            Self::Coded(coded) => {
                ensure!(coded.size() == size, Fail, "a cache of {} elements a head, not {size}", coded.size());
                Ok((coded.rows(image, head, rows, room), size))
            }
        }
    }
}

impl Operand<'_, f32> {
    /// Copies one position of one head.
    pub(super) fn copy(&self, image: usize, head: usize, row: usize, to: &mut [f32]) -> Result<()> {
        let mut room: SmallVec<[f32; 256]> = smallvec![0.0; to.len()];
        let (own, _) = self.rows(image, head, row..row + 1, to.len(), &mut room)?;
        to.copy_from_slice(&own[..to.len()]);
        Ok(())
    }
}

/// `scores[r][at + j] = scale * q[r] . k[j]`, for rows of `width` scores.
struct Dots<'a> {
    q: &'a [&'a [f32]],
    k: &'a [f32],
    stride: usize,
    scale: f32,
    scores: &'a mut [f32],
    width: usize,
    at: Range<usize>,
}

impl Kernel for Dots<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut r = 0;
        while r + ROWS <= self.q.len() {
            self.some::<S, ROWS>(s, r);
            r += ROWS;
        }
        while r < self.q.len() {
            self.some::<S, 1>(s, r);
            r += 1;
        }
    }
}

impl Dots<'_> {
    /// Rows `r..r + R`.
    #[inline(always)]
    fn some<S: Simd, const R: usize>(&mut self, s: S, r: usize) {
        let q: [&[f32]; R] = std::array::from_fn(|i| self.q[r + i]);
        let size = q[0].len();
        assert!(q.iter().all(|q| q.len() == size), "queries of different lengths");
        let whole = size - size % S::LANES;
        for (j, key) in self.at.clone().enumerate() {
            let k = &self.k[j * self.stride..][..size];
            let (mut even, mut odd) = ([s.zero(); R], [s.zero(); R]);
            let mut i = 0;
            // SAFETY: all slices hold `size` values, and loads stay within the whole vectors of it.
            unsafe {
                while i + 2 * S::LANES <= whole {
                    let (a, b) = (s.load(k.as_ptr().add(i)), s.load(k.as_ptr().add(i + S::LANES)));
                    for x in 0..R {
                        even[x] = s.fma(s.load(q[x].as_ptr().add(i)), a, even[x]);
                        odd[x] = s.fma(s.load(q[x].as_ptr().add(i + S::LANES)), b, odd[x]);
                    }
                    i += 2 * S::LANES;
                }
                if i < whole {
                    let a = s.load(k.as_ptr().add(i));
                    for x in 0..R {
                        even[x] = s.fma(s.load(q[x].as_ptr().add(i)), a, even[x]);
                    }
                }
            }
            for x in 0..R {
                let rest: f32 = q[x][whole..].iter().zip(&k[whole..]).map(|(a, b)| a * b).sum();
                self.scores[(r + x) * self.width + key] = (s.reduce_add(s.add(even[x], odd[x])) + rest) * self.scale;
            }
        }
    }
}

/// `sums[r] += sum of weights[r][at + j] * v[j]`, for rows of `width` weights and sums of `size` elements.
struct WeightedSums<'a> {
    v: &'a [f32],
    stride: usize,
    weights: &'a [f32],
    width: usize,
    at: Range<usize>,
    sums: &'a mut [f32],
    size: usize,
}

/// Vectors that are summed at once.
const VECTORS: usize = 2;

impl Kernel for WeightedSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let rows = self.sums.len().checked_div(self.size).unwrap_or(0);
        assert!(self.at.is_empty() || self.v.len() >= (self.at.len() - 1) * self.stride + self.size, "values shorter than their weights");
        assert!(self.weights.len() >= rows * self.width && self.at.end <= self.width, "fewer weights than values");
        let mut r = 0;
        while r + ROWS <= rows {
            self.some::<S, ROWS>(s, r);
            r += ROWS;
        }
        while r < rows {
            self.some::<S, 1>(s, r);
            r += 1;
        }
    }
}

impl WeightedSums<'_> {
    /// Rows `r..r + R`.
    #[inline(always)]
    fn some<S: Simd, const R: usize>(&mut self, s: S, r: usize) {
        let weights: [&[f32]; R] = std::array::from_fn(|x| &self.weights[(r + x) * self.width..][self.at.clone()]);
        let y: [*mut f32; R] = std::array::from_fn(|x| self.sums[(r + x) * self.size..].as_mut_ptr());
        let (wide, mut at) = (VECTORS * S::LANES, 0);
        while at + wide <= self.size {
            // SAFETY: each row of sums and of values holds `size` elements, as was asserted.
            unsafe {
                let mut sums: [[S::F; VECTORS]; R] = std::array::from_fn(|x| std::array::from_fn(|i| s.load(y[x].add(at + i * S::LANES))));
                for j in 0..self.at.len() {
                    let v = self.v.as_ptr().add(j * self.stride + at);
                    let v: [S::F; VECTORS] = std::array::from_fn(|i| s.load(v.add(i * S::LANES)));
                    for (sums, weights) in sums.iter_mut().zip(&weights) {
                        let w = s.splat(weights[j]);
                        sums.iter_mut().zip(&v).for_each(|(sum, v)| *sum = s.fma(w, *v, *sum));
                    }
                }
                for (y, sums) in y.iter().zip(&sums) {
                    sums.iter().enumerate().for_each(|(i, sum)| s.store(y.add(at + i * S::LANES), *sum));
                }
            }
            at += wide;
        }
        while at < self.size {
            let n = S::LANES.min(self.size - at);
            for x in 0..R {
                // SAFETY: the sums and each row of values hold `n` elements from `at` on.
                unsafe {
                    let mut sum = s.load_partial(y[x].add(at), n);
                    for (j, w) in weights[x].iter().enumerate() {
                        sum = s.fma(s.splat(*w), s.load_partial(self.v.as_ptr().add(j * self.stride + at), n), sum);
                    }
                    s.store_partial(y[x].add(at), n, sum);
                }
            }
            at += n;
        }
    }
}
