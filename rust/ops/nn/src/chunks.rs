//! How work is cut into chunks for threads, and the scratch memory of each thread.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use base::threads::{self, parallel_for, parallel_with_scratch};
use base::{Element, Result, ensure};

/// Bytes of data that one chunk of memory-bound work covers.
const CHUNK: usize = 32 * 1024;

/// How many rows of `row` bytes make a chunk.
pub(crate) fn rows_per_chunk(row: usize) -> usize {
    (CHUNK / row.max(1)).max(1)
}

/// Bytes of scratch memory for `len` elements of `T` on each thread.
pub(crate) fn scratch_bytes<T>(len: usize) -> usize {
    len.saturating_mul(threads::slots()).saturating_mul(size_of::<T>())
}

/// Runs `f(scratch, start..end)` over `rows` rows in chunks of `grain`, each with `len` elements of scratch memory.
///
/// # Errors
/// `Fail` when `scratch` holds fewer than `len` elements; what the run's cancelling says.
pub(crate) fn for_rows<T: Element>(
    scratch: &mut [T],
    len: usize,
    rows: usize,
    grain: usize,
    f: &(dyn Fn(&mut [T], Range<usize>) + Sync),
) -> Result<()> {
    let grain = grain.max(1);
    let range = |chunk: usize| chunk * grain..(chunk * grain + grain).min(rows);
    ensure!(scratch.len() >= len, Fail, "{len} elements of scratch memory are needed, not {}", scratch.len());
    let chunks = rows.div_ceil(grain);
    if len == 0 {
        parallel_for(chunks, &|chunk| f(&mut [], range(chunk)));
    } else if len.saturating_mul(threads::slots()) <= scratch.len() {
        parallel_with_scratch(scratch, len, chunks, &|scratch, chunk| f(scratch, range(chunk)));
    } else {
        // The memory was sized for fewer threads than there are now: one thread does it all.
        threads::pieces(chunks, 1).for_each(|chunk| f(&mut scratch[..len], range(chunk.start)));
    }
    threads::check()
}

/// Work on some rows that may fail; it is given scratch memory.
pub(crate) type Attempt<'a, T> = dyn Fn(&mut [T], Range<usize>) -> Result<()> + Sync + 'a;

/// [`for_rows`] with work that may fail.
///
/// # Errors
/// As [`for_rows`]; one of those of `f`.
pub(crate) fn try_for_rows<T: Element>(scratch: &mut [T], len: usize, rows: usize, grain: usize, f: &Attempt<'_, T>) -> Result<()> {
    let failure = Mutex::new(None);
    for_rows(scratch, len, rows, grain, &|scratch, range| {
        if let Err(e) = f(scratch, range) {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
        }
    })?;
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
