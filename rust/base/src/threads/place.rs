//! Keeps helpers off the processor of their caller.
//!
//! A scheduler that wakes a helper on the processor of the busy thread that wakes it makes the two take turns while another processor is
//! idle; machines of few virtual processors do so for milliseconds. A helper that was last seen where its caller is now is therefore told
//! to run anywhere else until its caller sleeps. A thread whose affinity somebody else has changed is left alone, and so is one that a
//! session has pinned ([`Affinities`](super::Affinities)).

#[cfg(target_os = "linux")]
pub(super) use linux::{Mask, Place, here};
#[cfg(not(target_os = "linux"))]
pub(super) use other::{Mask, Place, here};

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::c_ulong;
    use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

    /// No processor.
    const NONE: i32 = -1;
    /// In place of a thread: there is none yet.
    const UNKNOWN: i32 = 0;
    /// In place of a thread: its affinity is not ours to change.
    const FOREIGN: i32 = -1;

    const WORDS: usize = size_of::<libc::cpu_set_t>() / size_of::<c_ulong>();

    /// A set of processors.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in super::super) struct Mask([c_ulong; WORDS]);

    impl Mask {
        /// Where the current thread may run.
        pub(in super::super) fn current() -> Option<Self> {
            Self::of(0)
        }

        fn of(thread: i32) -> Option<Self> {
            let mut mask = Self([0; WORDS]);
            // SAFETY: `mask` has the size and the alignment of the set that is written, and any bits are a valid one.
            let status = unsafe { libc::sched_getaffinity(thread, size_of::<Self>(), mask.0.as_mut_ptr().cast()) };
            (status == 0).then_some(mask)
        }

        /// Has `thread` run on these processors only; false if that is refused.
        fn assign(&self, thread: i32) -> bool {
            // SAFETY: `self` has the size and the alignment of the set that is read.
            unsafe { libc::sched_setaffinity(thread, size_of::<Self>(), self.0.as_ptr().cast()) == 0 }
        }

        fn without(mut self, processor: i32) -> Self {
            if let Ok(bit) = usize::try_from(processor) {
                let bits = c_ulong::BITS as usize;
                if let Some(word) = self.0.get_mut(bit / bits) {
                    *word &= !(1 << (bit % bits));
                }
            }
            self
        }

        /// These processors.
        pub(in super::super) fn of_processors(processors: &[usize]) -> Self {
            let (mut mask, bits) = (Self([0; WORDS]), c_ulong::BITS as usize);
            for processor in processors {
                if let Some(word) = mask.0.get_mut(processor / bits) {
                    *word |= 1 << (processor % bits);
                }
            }
            mask
        }

        /// Whether a thread can be told to run on these: one of them is among `all`.
        pub(in super::super) fn meets(&self, all: &Self) -> bool {
            self.0.iter().zip(&all.0).any(|(own, all)| own & all != 0)
        }

        fn is_empty(&self) -> bool {
            self.0.iter().all(|word| *word == 0)
        }
    }

    /// The processor that this thread runs on at the moment.
    pub(in super::super) fn here() -> i32 {
        // SAFETY: the call has no preconditions.
        unsafe { libc::sched_getcpu() }
    }

    /// Where a helper runs.
    pub(in super::super) struct Place {
        thread: AtomicI32,
        last: AtomicI32,
        avoids: AtomicI32,
        /// The number of the affinity that a session has given it; 0 for none.
        pinned: AtomicU64,
    }

    impl Place {
        pub(in super::super) fn new() -> Self {
            Self { thread: AtomicI32::new(UNKNOWN), last: AtomicI32::new(NONE), avoids: AtomicI32::new(NONE), pinned: AtomicU64::new(0) }
        }

        /// Keeps the helper on the processors of `mask`, whose number is `number`, until [`keep_off`](Self::keep_off) is next called.
        pub(in super::super) fn pin(&self, number: u64, mask: &Mask) {
            let thread = self.thread.load(Relaxed);
            if thread > 0 && self.pinned.swap(number, Relaxed) != number {
                self.avoids.store(NONE, Relaxed);
                mask.assign(thread);
            }
        }

        /// Notes the current thread as the helper.
        pub(in super::super) fn settle(&self) {
            // SAFETY: the call has no arguments and no preconditions.
            let thread = unsafe { libc::syscall(libc::SYS_gettid) };
            self.thread.store(i32::try_from(thread).unwrap_or(FOREIGN), Relaxed);
            self.note();
        }

        /// Notes where the current thread, the helper, runs.
        pub(in super::super) fn note(&self) {
            self.last.store(here(), Relaxed);
        }

        /// Sends the helper away if it would come back to `processor`, within `all` where helpers may run.
        pub(in super::super) fn keep_off(&self, processor: i32, all: Option<&Mask>) {
            let thread = self.thread.load(Relaxed);
            if self.pinned.load(Relaxed) != 0 && self.pinned.swap(0, Relaxed) != 0 && !all.is_some_and(|all| all.assign(thread)) {
                self.thread.store(FOREIGN, Relaxed);
            }
            if self.last.load(Relaxed) != processor || self.avoids.load(Relaxed) == processor || thread <= 0 {
                return;
            }
            let moved = all.is_some_and(|all| {
                let others = all.without(processor);
                let ours = Mask::of(thread) == Some(all.without(self.avoids.load(Relaxed)));
                ours && !others.is_empty() && others.assign(thread)
            });
            if moved {
                self.avoids.store(processor, Relaxed);
            } else {
                self.thread.store(FOREIGN, Relaxed);
            }
        }

        /// Lets the helper run anywhere in `all`: its caller is about to sleep.
        pub(in super::super) fn let_go(&self, all: Option<&Mask>) {
            let (thread, avoids) = (self.thread.load(Relaxed), self.avoids.swap(NONE, Relaxed));
            if avoids == NONE || thread <= 0 {
                return;
            }
            let freed = all.is_some_and(|all| Mask::of(thread) == Some(all.without(avoids)) && all.assign(thread));
            if !freed {
                self.thread.store(FOREIGN, Relaxed);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_mask_loses_one_processor() {
            let all = Mask([c_ulong::MAX; WORDS]);
            assert_eq!(all.without(NONE), all);
            assert_eq!(all.without(i32::MAX), all);
            assert_eq!(all.without(65).0[65 / c_ulong::BITS as usize], !(1 << (65 % c_ulong::BITS)));
            assert!(Mask([0; WORDS]).is_empty() && !all.is_empty());
        }

        #[test]
        fn a_pinned_helper_stays_until_another_scope_has_it() {
            std::thread::spawn(|| {
                let all = Mask::current().unwrap();
                let place = Place::new();
                place.settle();
                let own = Mask::of_processors(&[usize::try_from(here()).unwrap()]);
                place.pin(7, &own);
                assert_eq!(Mask::current(), Some(own));
                assert!(all.assign(0), "somebody else changes it");
                place.pin(7, &own);
                assert_eq!(Mask::current(), Some(all), "it is not set again");
                place.pin(8, &own);
                place.let_go(Some(&all));
                assert_eq!(Mask::current(), Some(own));
                place.keep_off(NONE, Some(&all));
                assert_eq!(Mask::current(), Some(all));
                assert!(own.meets(&all) && !Mask::of_processors(&[1 << 40]).meets(&all));
            })
            .join()
            .unwrap();
        }

        #[test]
        fn a_helper_leaves_and_a_foreign_mask_is_respected() {
            std::thread::spawn(|| {
                let all = Mask::current().unwrap();
                let place = Place::new();
                place.settle();
                let first = here();
                if all.without(first).is_empty() {
                    return; // One processor: there is nowhere to go.
                }
                place.last.store(first, Relaxed);
                place.keep_off(first, Some(&all));
                assert_eq!(Mask::current(), Some(all.without(first)));
                let second = here();
                assert_ne!(second, first);
                place.note();
                place.keep_off(second, Some(&all));
                assert_eq!(Mask::current(), Some(all.without(second)), "the first is allowed again");
                place.let_go(Some(&all));
                assert_eq!(Mask::current(), Some(all));
                place.note();
                place.keep_off(here(), Some(&all));
                assert_ne!(Mask::current(), Some(all));
                assert!(all.assign(0));
                place.note();
                place.keep_off(here(), Some(&all));
                assert_eq!(Mask::current(), Some(all), "somebody else has set it");
            })
            .join()
            .unwrap();
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    /// A set of processors, unknown here.
    pub(in super::super) struct Mask;

    impl Mask {
        pub(in super::super) fn current() -> Option<Self> {
            None
        }

        pub(in super::super) fn of_processors(_processors: &[usize]) -> Self {
            Self
        }

        pub(in super::super) fn meets(&self, _all: &Self) -> bool {
            false
        }
    }

    /// The processor that this thread runs on at the moment, unknown here.
    pub(in super::super) fn here() -> i32 {
        -1
    }

    /// Where a helper runs, unknown here.
    pub(in super::super) struct Place;

    impl Place {
        pub(in super::super) fn new() -> Self {
            Self
        }

        pub(in super::super) fn settle(&self) {}

        pub(in super::super) fn note(&self) {}

        pub(in super::super) fn pin(&self, _number: u64, _mask: &Mask) {}

        pub(in super::super) fn keep_off(&self, _processor: i32, _all: Option<&Mask>) {}

        pub(in super::super) fn let_go(&self, _all: Option<&Mask>) {}
    }
}
