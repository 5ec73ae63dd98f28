//! What this machine can do at most, on one core and on all, for other measurements to be compared with.

#![allow(clippy::print_stdout)] // A program for people to read.

mod peak;

use std::hint::black_box;
use std::ops::Range;

use base::threads::{Cancel, SharedMut, Threads, available, parallel_for, scope};
use peak::{best, peak};
use simd::{Kernel, Simd, dispatch, isa};

/// Larger than any cache: 256 MiB.
const FLOATS: usize = 64 << 20;
/// What each thread gets at a time: 16 MiB.
const STRETCH: usize = 4 << 20;
/// Parts of a stretch, so that a thread that starts late does less.
const PARTS: usize = 8;

/// Adds up numbers in several chains, to wait for memory only.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        const CHAINS: usize = 8;
        let mut sums = [s.splat(0.0); CHAINS];
        for block in self.0.chunks_exact(CHAINS * S::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a block holds `CHAINS` vectors.
                *sum = s.add(*sum, unsafe { s.load(block.as_ptr().add(i * S::LANES)) });
            }
        }
        sums.iter().fold(0.0, |sum, &v| sum + s.reduce_add(v))
    }
}

/// Billions of bytes a second that `f` moves, called for parts of an array of `FLOATS` elements: each element is `bytes` bytes.
///
/// Each time another stretch of the array is timed, so that none is in a cache when its turn comes again, and so that a short time
/// undisturbed is enough.
fn speed(threads: usize, bytes: usize, f: impl Fn(Range<usize>) + Sync) -> f64 {
    let part = STRETCH / PARTS;
    let stretches = (FLOATS / (STRETCH * threads)).max(1);
    let mut turn = 0;
    let took = best(|| {
        let start = turn % stretches * STRETCH * threads;
        turn += 1;
        parallel_for(PARTS * threads, &|i| f(start + i * part..start + (i + 1) * part));
    });
    (bytes * part * PARTS * threads) as f64 / took / 1e9
}

/// The rows of the table for one number of threads.
fn measure(threads: usize) -> Vec<(String, f64)> {
    // On a machine of many cores each thread still has a stretch of its own.
    let len = FLOATS.max(STRETCH * threads);
    let (from, mut to) = (vec![1f32; len], vec![1f32; len]);
    let to = SharedMut::new(&mut to);
    // SAFETY: parts do not overlap, and are within the array.
    let part = |range: Range<usize>| unsafe { std::slice::from_raw_parts_mut(to.as_ptr().add(range.start), range.len()) };
    let mut rows = Vec::new();
    scope(Threads::new(threads), &Cancel::new(), || {
        let isa = isa::best();
        rows.push((format!("multiply-adds in f32, {}, GFLOP/s", isa.name()), peak(isa, threads)));
        let read = speed(threads, 4, |r| _ = black_box(dispatch(Sum(&from[r]))));
        let write = speed(threads, 4, |r| part(r).fill(black_box(2.0)));
        let copy = speed(threads, 8, |r| part(r.clone()).copy_from_slice(&from[r]));
        for (what, speed) in [("read", read), ("written", write), ("copied, both ways counted", copy)] {
            rows.push((format!("memory {what}, GB/s"), speed));
        }
    });
    rows
}

/// Prints a table: what one core does at most, and what all do together.
fn main() {
    let all = available();
    println!("| the most that the machine does | one core | all {all} cores |\n|---|---|---|");
    for ((what, one), (_, many)) in measure(1).into_iter().zip(measure(all)) {
        println!("| {what} | {one:.1} | {many:.1} |");
    }
}
