//! What a region promises: every chunk once, panics and errors to the caller, the same result for any number of threads.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use base::threads::{self, Cancel, Threads, available, parallel_for, parallel_ranges, scope, slot, slots, try_parallel_for};
use base::{Result, ensure};

fn with_threads<R>(count: usize, f: impl FnOnce() -> R) -> R {
    scope(Threads::new(count), &Cancel::new(), f)
}

/// Runs a region and returns how often each chunk ran.
fn counts(chunks: usize) -> Vec<usize> {
    let ran: Vec<AtomicUsize> = (0..chunks).map(|_| AtomicUsize::new(0)).collect();
    parallel_for(chunks, &|chunk| {
        ran[chunk].fetch_add(1, Relaxed);
    });
    ran.into_iter().map(AtomicUsize::into_inner).collect()
}

#[test]
fn every_chunk_runs_once() {
    for threads in [1, 2, 3, 4, 9] {
        with_threads(threads, || {
            for chunks in (0..40).chain([100, 1000, 10_001]) {
                assert_eq!(counts(chunks), vec![1; chunks], "{chunks} chunks on {threads} threads");
            }
        });
    }
    assert_eq!(counts(1000), vec![1; 1000], "without a scope");
}

#[test]
fn ranges_cover_everything_once() {
    with_threads(3, || {
        for (len, grain) in [(0, 7), (1, 7), (7, 7), (100, 7), (5, 0), (5, usize::MAX)] {
            let seen: Vec<AtomicUsize> = (0..len).map(|_| AtomicUsize::new(0)).collect();
            parallel_ranges(len, grain, &|range| {
                assert!(!range.is_empty() && range.len() <= grain.max(1));
                for i in range {
                    seen[i].fetch_add(1, Relaxed);
                }
            });
            assert!(seen.iter().all(|n| n.load(Relaxed) == 1), "{len} {grain}");
        }
    });
}

#[test]
fn a_region_in_a_chunk_runs_inline() {
    with_threads(4, || {
        assert_eq!(available(), 4);
        let total = AtomicUsize::new(0);
        parallel_for(20, &|_| {
            let outer = (thread::current().id(), slot());
            assert_eq!((available(), slots()), (1, 1));
            parallel_for(30, &|_| {
                assert_eq!((thread::current().id(), slot()), (outer.0, 0));
                total.fetch_add(1, Relaxed);
            });
            with_threads(8, || assert_eq!(available(), 1));
            assert_eq!(slot(), outer.1);
        });
        assert_eq!(total.into_inner(), 600);
    });
}

#[test]
fn a_single_chunk_may_hold_a_region() {
    with_threads(4, || {
        parallel_for(1, &|_| {
            assert_eq!((available(), slot()), (4, 0));
            assert_eq!(counts(50), vec![1; 50]);
        });
    });
}

#[test]
fn slots_are_never_shared() {
    with_threads(4, || {
        assert_eq!(slots(), 4);
        let busy: Vec<Mutex<()>> = (0..slots()).map(|_| Mutex::new(())).collect();
        for _ in 0..50 {
            parallel_for(64, &|_| {
                let _guard = busy[slot()].try_lock().expect("nobody else has this slot");
                thread::yield_now();
            });
        }
    });
}

#[test]
fn a_panic_reaches_the_caller_and_the_next_region_works() {
    for threads in [1, 2, 4] {
        with_threads(threads, || {
            for bad in [0, 1, 57, 99] {
                let inside = AtomicUsize::new(0);
                let result = panic::catch_unwind(AssertUnwindSafe(|| {
                    parallel_for(100, &|chunk| {
                        inside.fetch_add(1, Relaxed);
                        let _leave = Leave(&inside);
                        assert_ne!(chunk, bad, "chunk {bad}");
                    });
                }));
                let text = *result.unwrap_err().downcast::<String>().unwrap();
                assert!(text.contains(&format!("chunk {bad}")), "{text}");
                assert_eq!(inside.into_inner(), 0, "all threads have left");
                assert_eq!((slot(), available()), (0, threads));
                assert_eq!(counts(100), vec![1; 100]);
            }
        });
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[test]
fn many_panics_are_one() {
    with_threads(4, || {
        for _ in 0..20 {
            let result = panic::catch_unwind(|| parallel_for(100, &|chunk| panic::resume_unwind(Box::new(chunk))));
            assert!(*result.unwrap_err().downcast::<usize>().unwrap() < 100);
        }
    });
}

#[test]
fn the_error_is_that_of_the_lowest_chunk() {
    let fail_at = |bad: &'static [usize]| {
        move |chunk: usize| -> Result<()> {
            ensure!(!bad.contains(&chunk), Fail, "chunk {chunk}");
            Ok(())
        }
    };
    for threads in [1, 2, 4] {
        with_threads(threads, || {
            for _ in 0..50 {
                let error = try_parallel_for(64, &fail_at(&[60, 31, 13, 14, 15])).unwrap_err();
                assert_eq!(error.detail(), "chunk 13");
            }
            assert!(try_parallel_for(64, &fail_at(&[64])).is_ok());
            assert!(try_parallel_for(0, &fail_at(&[0])).is_ok());
        });
    }
}

#[test]
fn a_cancelled_run_skips_chunks_and_says_so() {
    for threads in [1, 2, 4] {
        let cancel = Cancel::new();
        let ran = AtomicUsize::new(0);
        let error = scope(Threads::new(threads), &cancel, || {
            try_parallel_for(10_000, &|chunk| {
                ran.fetch_add(1, Relaxed);
                if chunk == 3 {
                    cancel.cancel();
                }
                Ok(())
            })
        });
        assert_eq!(error.unwrap_err().detail(), "Exiting due to terminate flag being set to true.");
        // Each other thread may have begun chunks before it saw the flag, but chunk 3 comes early.
        assert!(ran.into_inner() >= 4);
        cancel.reset();
        scope(Threads::new(threads), &cancel, || assert_eq!(counts(100), vec![1; 100]));
    }
}

#[test]
fn a_cancelled_run_starts_nothing() {
    let cancel = Cancel::new();
    cancel.cancel();
    for threads in [1, 4] {
        scope(Threads::new(threads), &cancel, || {
            for chunks in [1, 2, 100] {
                assert_eq!(counts(chunks), vec![0; chunks]);
            }
            assert!(threads::check().is_err());
        });
    }
    assert!(threads::check().is_ok());
}

#[test]
fn inner_and_outer_handles_both_stop() {
    let (outer, inner) = (Cancel::new(), Cancel::new());
    scope(Threads::new(2), &outer, || {
        inner.cancel();
        threads::under(&inner, || assert_eq!(counts(9), vec![0; 9]));
        assert_eq!(counts(9), vec![1; 9]);
        inner.reset();
        let late = inner.with_deadline(Instant::now());
        threads::under(&late, || assert_eq!(counts(9), vec![0; 9]));
        outer.cancel();
        threads::under(&inner, || assert_eq!(counts(9), vec![0; 9]));
        // A helper knows the handles of its caller.
        outer.reset();
        threads::under(&inner, || {
            parallel_for(100, &|chunk| {
                if chunk == 50 {
                    outer.cancel();
                    assert!(threads::check().is_err());
                    assert_eq!(counts(3), vec![0; 3]);
                }
            });
        });
    });
    assert!(threads::check().is_ok());
}

/// A sum whose parts are rounded: the order of additions shows in its bits.
fn sum(values: &[f32]) -> u32 {
    const GRAIN: usize = 37;
    let mut partial = vec![0.0; values.len().div_ceil(GRAIN)];
    threads::parallel_chunks_mut(&mut partial, 1, &|chunk, out| {
        let range = chunk * GRAIN..values.len().min((chunk + 1) * GRAIN);
        out[0] = values[range].iter().sum();
    });
    partial.iter().sum::<f32>().to_bits()
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let values: Vec<f32> = (0..100_003).map(|i| (i as f32 * 0.37).sin() * 1e3).collect();
    let expected = with_threads(1, || sum(&values));
    for threads in [1, 2, 4, 7] {
        for _ in 0..10 {
            assert_eq!(with_threads(threads, || sum(&values)), expected);
        }
    }
}

#[test]
fn many_callers_at_once() {
    thread::scope(|s| {
        for caller in 0..12 {
            s.spawn(move || {
                for round in 0..30 {
                    with_threads(1 + (caller + round) % 5, || {
                        for chunks in [1, 2, 17, 130] {
                            assert_eq!(counts(chunks), vec![1; chunks]);
                        }
                    });
                    assert_eq!(counts(40), vec![1; 40]);
                }
            });
        }
    });
}

#[test]
fn helpers_that_are_late_or_asleep_harm_nothing() {
    with_threads(4, || {
        for pause in [0, 1, 20, 200, 2000] {
            for _ in 0..10 {
                thread::sleep(Duration::from_micros(pause));
                assert_eq!(counts(5), vec![1; 5]);
            }
        }
    });
}
