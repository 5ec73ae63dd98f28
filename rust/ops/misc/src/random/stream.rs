//! Streams of random numbers, one for each node.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use base::threads::parallel_chunks_mut;
use base::{Result, threads};

use super::philox;

/// Elements that one thread draws at a time; even, as numbers come in pairs.
const CHUNK: usize = 4096;

/// The seed of the process and how many streams were made from it.
static PROCESS: Mutex<Option<(u64, u64)>> = Mutex::new(None);

/// Makes the nodes without a seed of their own that are loaded from now on draw the same numbers as after any other call with `seed`.
pub fn set_seed(seed: i64) {
    *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some((seed as u64, 0));
}

/// An endless stream of random numbers.
#[derive(Debug)]
pub(crate) struct Stream {
    key: [u32; 2],
    /// Streams of one key that differ here have nothing in common.
    nonce: u64,
    /// The first block that was not drawn.
    next: AtomicU64,
}

impl Stream {
    /// The stream of `seed`, or another one for each call.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let (seed, nonce) = match seed {
            // Seeds of nodes and those of the process are apart.
            Some(seed) => (seed, u64::MAX),
            None => {
                let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
                let (seed, count) = process.get_or_insert_with(|| (RandomState::new().build_hasher().finish(), 0));
                *count += 1;
                (*seed, *count)
            }
        };
        Self { key: [seed as u32, (seed >> 32) as u32], nonce, next: AtomicU64::new(0) }
    }

    /// Two numbers, evenly spread over [0, 1), of block `index`.
    fn pair(&self, index: u64) -> [f64; 2] {
        let counter = [index as u32, (index >> 32) as u32, self.nonce as u32, (self.nonce >> 32) as u32];
        let bits = philox::block(self.key, counter);
        let unit = |low: u32, high: u32| ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        [unit(bits[0], bits[1]), unit(bits[2], bits[3])]
    }

    /// Draws for `len` elements: what [`Draw::pair`] then gives belongs to nobody else.
    pub(crate) fn draw(&self, len: usize) -> Draw<'_> {
        Draw { stream: self, first: self.next.fetch_add(len.div_ceil(2) as u64, Relaxed) }
    }
}

/// Random numbers for the elements of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw<'a> {
    stream: &'a Stream,
    first: u64,
}

impl Draw<'_> {
    /// Numbers for elements `2 * index` and the next, evenly spread over [0, 1).
    pub(crate) fn pair(&self, index: usize) -> [f64; 2] {
        self.stream.pair(self.first.wrapping_add(index as u64))
    }

    /// The number for element `index`.
    pub(crate) fn one(&self, index: usize) -> f64 {
        self.pair(index / 2)[index % 2]
    }

    /// Fills `out` with what `f` makes of pairs of numbers.
    ///
    /// # Errors
    /// `Fail` when the run is cancelled.
    pub(crate) fn fill<T: Copy + Send>(&self, out: &mut [T], f: impl Fn([f64; 2]) -> [T; 2] + Sync) -> Result<()> {
        parallel_chunks_mut(out, CHUNK, &|chunk, part| {
            for (i, out) in part.chunks_mut(2).enumerate() {
                let pair = f(self.pair(chunk * CHUNK / 2 + i));
                out.copy_from_slice(&pair[..out.len()]);
            }
        });
        threads::check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_apart_and_go_on() {
        let first = |s: &Stream| s.draw(2).pair(0);
        let (a, b) = (Stream::new(Some(7)), Stream::new(Some(7)));
        let start = first(&a);
        assert_eq!(start, first(&b));
        assert_ne!(first(&a), start);
        assert_ne!(first(&b), start);
        assert_ne!(first(&Stream::new(Some(8))), start);
        assert_ne!(first(&Stream::new(None)), first(&Stream::new(None)));
        assert_eq!(a.draw(3).one(1), b.draw(1).pair(0)[1]);
    }

    #[test]
    fn numbers_are_evenly_spread() {
        let mut out = vec![0.0; 100_001];
        Stream::new(Some(1)).draw(out.len()).fill(&mut out, |pair| pair).unwrap();
        let mean = out.iter().sum::<f64>() / out.len() as f64;
        let variance = out.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / out.len() as f64;
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert!(out.iter().all(|x| (0.0..1.0).contains(x)));
    }
}
