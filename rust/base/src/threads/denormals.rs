//! Arithmetic that takes numbers too small for full precision for zero: these are slow on many processors.

/// Whether results and operands of floating-point instructions that are denormal count as zero in this thread.
pub(super) fn are_flushed() -> bool {
    control::get() & control::FLUSH == control::FLUSH
}

/// Runs `f` with denormal numbers counting as zero in this thread, or not, as `flush` says.
///
/// Processors other than x86-64 and AArch64 compute as always.
pub(super) fn with_flush<R>(flush: bool, f: impl FnOnce() -> R) -> R {
    if are_flushed() == flush {
        return f();
    }
    let before = control::get();
    let _restore = Restore(before);
    control::set(if flush { before | control::FLUSH } else { before & !control::FLUSH });
    f()
}

/// Sets the floating-point control of this thread when dropped.
struct Restore(control::Word);

impl Drop for Restore {
    fn drop(&mut self) {
        control::set(self.0);
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    pub(super) type Word = u32;
    /// Results are flushed to zero, and operands are read as zero.
    pub(super) const FLUSH: Word = 1 << 15 | 1 << 6;

    pub(super) fn get() -> Word {
        let mut word = 0u32;
        // SAFETY: the instruction writes the four bytes of `word`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    pub(super) fn set(word: Word) {
        // SAFETY: the instruction reads the four bytes of `word`, which came from `get` but for bits that say what becomes of denormal
        // numbers: no exception is unmasked and rounding stays, so that all other arithmetic is what the compiler takes it for.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags, readonly)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    pub(super) type Word = u64;
    /// Operands and results are flushed to zero.
    pub(super) const FLUSH: Word = 1 << 24;

    pub(super) fn get() -> Word {
        let word: u64;
        // SAFETY: the register may be read anywhere.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(super) fn set(word: Word) {
        // SAFETY: the word came from `get` but for the bit that says what becomes of denormal numbers: all other arithmetic stays.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) type Word = u32;
    /// None that is ever set.
    pub(super) const FLUSH: Word = 1;

    pub(super) fn get() -> Word {
        0
    }

    pub(super) fn set(_word: Word) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn small_numbers_count_as_zero_meanwhile() {
        let half = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        assert!(half() > 0.0);
        with_flush(true, || {
            assert_eq!(half(), 0.0);
            assert!(black_box(f32::MIN_POSITIVE) * black_box(2.0) > 0.0);
        });
        assert!(half() > 0.0);
        with_flush(true, || with_flush(false, || assert!(half() > 0.0 && !are_flushed())));
        assert!(std::panic::catch_unwind(|| with_flush(true, || panic!("meanwhile"))).is_err());
        assert!(half() > 0.0);
    }
}
