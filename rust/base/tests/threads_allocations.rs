//! A run that has been made before allocates nothing, on any of its threads.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use base::threads::{Cancel, Threads, parallel_chunks_mut, parallel_for, parallel_with_scratch, scope, slots, try_parallel_for, under};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn the_second_run_allocates_nothing() {
    let cancel = Cancel::new();
    let mut out = vec![0; 1000];
    let mut scratch = vec![0; 4 * 16];
    let mut run = |threads: usize| {
        scope(Threads::new(threads), &cancel, || {
            for chunks in [1, 2, 3, 50] {
                parallel_for(chunks, &|_| std::thread::yield_now());
            }
            parallel_chunks_mut(&mut out, 10, &|chunk, part| part.fill(chunk));
            parallel_with_scratch(&mut scratch, 16, 20, &|part, chunk| part.fill(chunk));
            under(&cancel, || try_parallel_for(20, &|_| Ok(()))).unwrap();
            assert_eq!(slots(), threads);
        });
        parallel_for(10, &|_| {});
    };
    // The first runs make the pool, and what the helper threads need to start may come late.
    for threads in [4, 2, 1] {
        run(threads);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    let before = ALLOCATIONS.load(Relaxed);
    for threads in [4, 2, 1, 3, 4, 4] {
        for _ in 0..20 {
            run(threads);
        }
        // Long enough for helpers to fall asleep and be woken again.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
}
