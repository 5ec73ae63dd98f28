//! Streams of random numbers, one for each node.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};

use base::threads::parallel_chunks_mut;
use base::{Result, threads};
use ir::Node;

use super::philox;

/// Elements that one thread draws at a time; even, as numbers come in pairs.
const CHUNK: usize = 4096;

/// The seed of the process, if somebody set one.
static SEED: Mutex<Option<u64>> = Mutex::new(None);

/// Makes the nodes without a seed of their own that are loaded from now on draw the same numbers as after any other call with `seed`:
/// equal models give equal numbers, and the nodes of one model give different ones.
pub fn set_seed(seed: i64) {
    *SEED.lock().unwrap_or_else(PoisonError::into_inner) = Some(seed as u64);
}

/// A seed that no two calls, and no two processes, have in common.
fn fresh() -> (u64, u64) {
    static KEY: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    (*KEY.get_or_init(|| RandomState::new().build_hasher().finish()), COUNT.fetch_add(1, Relaxed))
}

/// A number for the place of `node` in its model.
fn place(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&node.name, &node.outputs).hash(&mut hasher);
    hasher.finish()
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
    /// The stream of `node`, whose seed is `seed`; without one, that of its place under the seed of the process, or one of its own.
    pub(crate) fn new(seed: Option<u64>, node: &Node) -> Self {
        let process = *SEED.lock().unwrap_or_else(PoisonError::into_inner);
        let (seed, nonce) = match (seed, process) {
            // Seeds of nodes and those of the process are apart.
            (Some(seed), _) => (seed, u64::MAX),
            (None, Some(seed)) => (seed, place(node)),
            (None, None) => fresh(),
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
    use ir::OpKey;

    use super::*;

    #[test]
    fn streams_are_apart_and_go_on() {
        let first = |s: &Stream| s.draw(2).pair(0);
        let stream = |seed, name: &str| Stream::new(seed, &Node { name: name.into(), ..Node::new(OpKey::new("", "RandomUniform", 1)) });
        let (a, b) = (stream(Some(7), "a"), stream(Some(7), "b"));
        let start = first(&a);
        assert_eq!(start, first(&b));
        assert_ne!(first(&a), start);
        assert_ne!(first(&b), start);
        assert_ne!(first(&stream(Some(8), "a")), start);
        assert_ne!(first(&stream(None, "a")), first(&stream(None, "a")));
        set_seed(7);
        assert_eq!(first(&stream(None, "a")), first(&stream(None, "a")));
        assert_ne!(first(&stream(None, "a")), first(&stream(None, "b")));
        assert_ne!(first(&stream(None, "a")), start);
        assert_eq!(a.draw(3).one(1), b.draw(1).pair(0)[1]);
    }

    #[test]
    fn numbers_are_evenly_spread() {
        let mut out = vec![0.0; 100_001];
        let node = Node::new(OpKey::new("", "RandomUniform", 1));
        Stream::new(Some(1), &node).draw(out.len()).fill(&mut out, |pair| pair).unwrap();
        let mean = out.iter().sum::<f64>() / out.len() as f64;
        let variance = out.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / out.len() as f64;
        assert!((mean - 0.5).abs() < 0.005 && (variance - 1.0 / 12.0).abs() < 0.002, "{mean} {variance}");
        assert!(out.iter().all(|x| (0.0..1.0).contains(x)));
    }
}
