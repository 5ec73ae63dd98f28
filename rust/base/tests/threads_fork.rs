//! A forked child makes a pool of its own, whatever the threads of its parent were doing. One test at a time: some need a helper to come.
#![cfg(unix)]

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use base::threads::{Cancel, Threads, checkpoint, parallel_for, scope, slot, status};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` in a forked child and returns whether it was content; a child that hangs is ended by an alarm.
fn in_child(f: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs only this crate's code, which is made for it, and leaves by `_exit`.
    match unsafe { libc::fork() } {
        -1 => panic!("fork failed"),
        0 => {
            // SAFETY: an alarm ends the process unless it ends before.
            unsafe { libc::alarm(60) };
            let content = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or(false);
            // SAFETY: the child ends here, without running anything of its parent.
            unsafe { libc::_exit(i32::from(!content)) }
        }
        child => {
            let mut how = 0;
            // SAFETY: `child` is a child of this process, and `how` a valid place for the result.
            assert_eq!(unsafe { libc::waitpid(child, &mut how, 0) }, child);
            libc::WIFEXITED(how) && libc::WEXITSTATUS(how) == 0
        }
    }
}

fn all_chunks_run(chunks: usize) -> bool {
    let sum = AtomicUsize::new(0);
    parallel_for(chunks, &|chunk| {
        sum.fetch_add(chunk + 1, Relaxed);
    });
    sum.into_inner() == chunks * (chunks + 1) / 2
}

/// Whether a helper takes part in a region, which waits for it.
fn helper_comes() -> bool {
    let come = AtomicBool::new(false);
    scope(Threads::new(2), &Cancel::new(), || {
        parallel_for(2, &|_| {
            come.fetch_or(slot() == 1, Relaxed);
            while !come.load(Relaxed) {
                checkpoint();
                thread::yield_now();
            }
        });
    });
    come.into_inner()
}

#[test]
fn a_child_has_its_own_pool() {
    let _alone = alone();
    scope(Threads::new(4), &Cancel::new(), || assert!(all_chunks_run(100)));
    for _ in 0..10 {
        assert!(in_child(|| status().started == 0 && helper_comes() && scope(Threads::new(4), &Cancel::new(), || all_chunks_run(100))));
    }
    assert!(in_child(|| helper_comes() && in_child(helper_comes)), "a child of a child");
    assert!(helper_comes(), "the parent keeps its own");
}

#[test]
fn other_threads_may_be_in_regions_at_the_fork() {
    let _alone = alone();
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        for threads in 1..4 {
            let stop = &stop;
            s.spawn(move || {
                while !stop.load(Relaxed) {
                    scope(Threads::new(threads), &Cancel::new(), || assert!(all_chunks_run(50)));
                }
            });
        }
        for _ in 0..30 {
            assert!(in_child(helper_comes));
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn a_fork_inside_a_scope_goes_on_alone() {
    let _alone = alone();
    scope(Threads::new(3), &Cancel::new(), || {
        assert!(all_chunks_run(100));
        assert!(in_child(|| all_chunks_run(100) && scope(Threads::new(2), &Cancel::new(), || all_chunks_run(10))));
        assert!(all_chunks_run(100));
    });
}

#[test]
fn a_fork_inside_a_region_ends_it_with_a_panic_and_not_with_a_hang() {
    let _alone = alone();
    scope(Threads::new(2), &Cancel::new(), || {
        let come = AtomicBool::new(false);
        let caller_forks = |parent: &AtomicBool| {
            // The helper is in the region and will never leave it in the child. The child must leave the region to `_exit`.
            // SAFETY: as in `in_child`.
            let child = unsafe { libc::fork() };
            assert_ne!(child, -1);
            parent.store(child != 0, Relaxed);
            child
        };
        let parent = AtomicBool::new(true);
        let child = AtomicUsize::new(0);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            parallel_for(2, &|_| {
                if slot() == 0 {
                    while !come.load(Relaxed) {
                        checkpoint();
                        thread::yield_now();
                    }
                    child.store(caller_forks(&parent) as usize, Relaxed);
                } else {
                    come.store(true, Relaxed);
                    while child.load(Relaxed) == 0 {
                        thread::yield_now();
                    }
                }
            });
        }));
        if !parent.load(Relaxed) {
            let right = outcome.is_err() && all_chunks_run(100);
            // SAFETY: the child ends here, without running anything of its parent.
            unsafe { libc::_exit(i32::from(!right)) }
        }
        assert!(outcome.is_ok());
        let mut how = 0;
        // SAFETY: the number is that of the child, and `how` a valid place for the result.
        unsafe { libc::waitpid(child.load(Relaxed) as i32, &mut how, 0) };
        assert!(libc::WIFEXITED(how) && libc::WEXITSTATUS(how) == 0);
    });
}
