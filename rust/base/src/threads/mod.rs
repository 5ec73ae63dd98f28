//! Scheduling: how a kernel spreads its chunks over threads.

mod cancel;

use std::ops::Range;

pub use cancel::Cancel;

/// Runs `f(chunk)` once for each chunk below `chunks`.
pub fn parallel_for(chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    (0..chunks).for_each(f);
}

/// Runs `f` over `0..len` cut into ranges of `grain` elements (the last may be shorter).
pub fn parallel_ranges(len: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let grain = grain.max(1);
    parallel_for(len.div_ceil(grain), &|chunk| f(chunk * grain..len.min((chunk + 1) * grain)));
}

/// The slot of the current thread in the innermost region: 0 for the caller, 1 and up for helpers.
pub fn slot() -> usize {
    0
}

/// One more than the highest slot that a region started here can see.
pub fn slots() -> usize {
    1
}

/// How many threads a region started here may use.
pub fn available() -> usize {
    1
}
