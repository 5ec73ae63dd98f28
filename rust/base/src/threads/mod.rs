//! Scheduling: how a kernel spreads its chunks over threads. Rayon supplies the threads, all else is decided here.
//!
//! A *region* is one call of [`parallel_for`]: chunks are claimed one by one, by the caller, which always works, and by helpers. Each
//! begins with a share of neighbouring chunks and then helps with the shares of others, so that a helper that never starts blocks nobody.
//! Helpers that sleep are woken only for regions that take a while. A region inside a chunk runs inline on the thread of that chunk.
//!
//! A *scope* is one run of a session. It holds on to its helpers between regions: they look for the next region for some tens of
//! microseconds and then sleep, so that nothing spins between runs. Helpers belong to the whole process, and scopes share them evenly: with
//! as many callers as processors, each runs alone. A steady-state region allocates nothing and takes no lock.
//!
//! What a chunk computes must depend on its number alone. Then results have the same bits for any number of threads.
//!
//! ```
//! use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
//! use base::threads::{self, Cancel, Threads};
//!
//! let sum = AtomicUsize::new(0);
//! threads::scope(Threads::new(2), &Cancel::new(), || {
//!     threads::parallel_for(100, &|chunk| {
//!         sum.fetch_add(chunk, Relaxed);
//!     });
//! });
//! assert_eq!(sum.into_inner(), 4950);
//! ```

mod affinities;
mod alarm;
mod cancel;
mod checkpoint;
mod context;
mod count;
mod denormals;
mod fork;
mod helper;
mod place;
mod pool;
mod region;
mod scope;
mod settings;
mod shared;
mod spin;
mod team;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

pub use affinities::Affinities;
pub use cancel::{Cancel, Watch};
pub use checkpoint::{Pace, checkpoint, interruptible, paced, pieces};
pub use count::{MAX_THREADS, Threads};
pub use pool::{Status, status};
pub use scope::{scope, scope_with, under};
pub use settings::Settings;
pub use shared::{SharedMut, parallel_chunks_mut, parallel_with_scratch};

use crate::Result;

/// Runs `f(chunk)` once for each chunk below `chunks`, on as many threads as the current [`scope`] has.
///
/// Once the run is cancelled, chunks that have not begun are skipped, and a kernel is left at the end of the region, as at a
/// [`checkpoint`]; where nothing may be left, [`check`] tells. Outside of a scope, the region makes one for itself
/// with the default number of threads.
///
/// # Panics
/// When a chunk panics, the rest is skipped and the panic goes on in the caller, after all helpers have left.
pub fn parallel_for(chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    scope::run(chunks, f);
    checkpoint();
}

/// Like [`parallel_for`] with chunks that may fail.
///
/// # Errors
/// That of the lowest chunk that failed, whatever the timing; later chunks may have been skipped. Else that of [`check`].
pub fn try_parallel_for(chunks: usize, f: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
    // Only chunks above one that failed are skipped, so the lowest to fail is always found.
    let lowest = AtomicUsize::new(usize::MAX);
    let failure = Mutex::new(None);
    parallel_for(chunks, &|chunk| {
        if chunk > lowest.load(Relaxed) {
            return;
        }
        if let Err(error) = f(chunk) {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            if lowest.fetch_min(chunk, Relaxed) > chunk {
                *failure = Some(error);
            }
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or_else(check, Err)
}

/// Runs `f` over `0..len` cut into ranges of `grain` elements, of which the last may be shorter.
pub fn parallel_ranges(len: usize, grain: usize, f: &(dyn Fn(Range<usize>) + Sync)) {
    let grain = grain.max(1);
    parallel_for(len.div_ceil(grain), &|chunk| {
        let start = chunk * grain;
        f(start..start + grain.min(len - start));
    });
}

/// Which of the threads of the innermost region this is: 0 for its caller, 1 and up for helpers.
///
/// No two chunks that run at the same time in one region see the same slot.
pub fn slot() -> usize {
    context::slot()
}

/// How many slots a region that starts here can have: what per-slot scratch must be sized for.
pub fn slots() -> usize {
    available()
}

/// How many threads a region that starts here may use at most; 1 inside a region.
pub fn available() -> usize {
    scope::limit()
}

/// Fails once the run that this thread works for is cancelled.
///
/// # Errors
/// Those of [`Cancel::check`].
pub fn check() -> Result<()> {
    context::with_cancel(|cancel| cancel.map_or(Ok(()), |link| link.check()))
}
