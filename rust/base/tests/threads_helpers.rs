//! How helpers are handed out, and that they sleep when there is nothing to do. One test at a time: they look at the whole process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base::threads::{Cancel, Threads, checkpoint, parallel_for, scope, slot, status};

static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for something that must come, however slow the machine is.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < patience, "{what} does not come: {:?}", status());
        checkpoint();
        thread::sleep(Duration::from_millis(1));
    }
}

/// A region in which every thread stays until all have come.
fn meet(count: usize) {
    let come = AtomicUsize::new(0);
    parallel_for(count, &|_| {
        come.fetch_add(1, Relaxed);
        eventually("a helper", || come.load(Relaxed) == count);
        assert!(slot() < count);
    });
}

#[test]
fn helpers_take_part_and_are_given_back() {
    let _alone = alone();
    for count in [2, 4, 3, 8] {
        scope(Threads::new(count), &Cancel::new(), || {
            assert_eq!(status().held, 0, "none is held before the first region");
            for _ in 0..20 {
                meet(count);
            }
            assert_eq!((status().held, status().callers), (count - 1, 1));
        });
        assert_eq!((status().held, status().callers, status().refused), (0, 0, false));
    }
    assert!(status().started >= 7);
}

#[test]
fn one_thread_asks_for_no_helpers() {
    let _alone = alone();
    let before = status();
    scope(Threads::new(1), &Cancel::new(), || {
        let here = thread::current().id();
        parallel_for(100, &|_| assert_eq!(thread::current().id(), here));
    });
    scope(Threads::new(6), &Cancel::new(), || parallel_for(1, &|_| {}));
    assert_eq!(status().started, before.started);
}

#[test]
fn a_full_machine_gives_no_helpers() {
    let _alone = alone();
    let callers = Threads::default().count().max(2);
    let barrier = Barrier::new(callers);
    thread::scope(|s| {
        for _ in 0..callers {
            s.spawn(|| {
                scope(Threads::new(2), &Cancel::new(), || {
                    parallel_for(2, &|_| {}); // Some may get helpers here, while others have not come yet.
                    barrier.wait();
                    parallel_for(2, &|_| {});
                    barrier.wait();
                    assert_eq!((status().held, status().callers), (0, callers));
                    barrier.wait();
                });
            });
        }
    });
    scope(Threads::new(2), &Cancel::new(), || meet(2));
}

#[test]
fn a_scope_gives_helpers_up_to_a_second_one() {
    let _alone = alone();
    let limit = 2 * Threads::default().count().max(2);
    let (opened, seen) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            scope(Threads::new(limit), &Cancel::new(), || {
                meet(limit);
                opened.wait();
                seen.wait();
                parallel_for(2, &|_| {});
                assert_eq!(status().held, limit / 2 - 1, "half is left");
                seen.wait();
                seen.wait();
            });
        });
        s.spawn(|| {
            opened.wait();
            scope(Threads::new(limit), &Cancel::new(), || {
                seen.wait();
                seen.wait();
                meet(limit / 2);
                assert_eq!(status().held, 2 * (limit / 2 - 1));
                seen.wait();
            });
        });
    });
    assert_eq!(status().held, 0);
}

#[cfg(target_os = "linux")]
fn cpu_time() -> Duration {
    // SAFETY: all-zero is a valid `rusage`, which is a plain structure of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the result.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) }, 0);
    let of = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_spins_between_runs() {
    let _alone = alone();
    scope(Threads::new(5), &Cancel::new(), || meet(5));
    eventually("sleep", || status().parked == status().started);
    let before = cpu_time();
    thread::sleep(Duration::from_millis(400));
    let used = cpu_time() - before;
    assert_eq!(status().parked, status().started);
    // Four threads that spin would have used four times as much as one such pause lasts, even on a slow machine a good part of it.
    assert!(used < Duration::from_millis(100), "{used:?}");
}
