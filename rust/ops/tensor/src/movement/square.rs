//! Transposing small squares: the innermost step of a transposition.

use std::ptr::{read_unaligned, write_unaligned};

/// A word whose squares of [`SIDE`](Square::SIDE) lines are transposed at a time.
pub(super) trait Square: Copy {
    /// Lines of a square.
    const SIDE: usize;

    /// Transposes a square: source lines are `read` bytes apart, target lines `write` bytes.
    ///
    /// # Safety
    /// The elements of the square may be read and written, and do not overlap.
    unsafe fn transpose(from: *const u8, read: isize, to: *mut u8, write: isize);
}

/// A square of `N` lines by the loads and stores of single elements, which the compiler may join.
///
/// # Safety
/// As for [`Square::transpose`].
#[inline(always)]
unsafe fn plain<T: Copy, const N: usize>(from: *const u8, read: isize, to: *mut u8, write: isize) {
    // SAFETY: the caller vouches for `N` lines of `N` elements on both sides.
    unsafe {
        let lines: [[T; N]; N] = std::array::from_fn(|j| read_unaligned(from.offset(j as isize * read).cast()));
        (0..N).for_each(|i| {
            let line: [T; N] = std::array::from_fn(|j| lines[j][i]);
            write_unaligned(to.offset(i as isize * write).cast(), line);
        });
    }
}

macro_rules! plain_squares {
    ($($t:ty: $side:literal),*) => {
        $(impl Square for $t {
            const SIDE: usize = $side;

            #[inline(always)]
            unsafe fn transpose(from: *const u8, read: isize, to: *mut u8, write: isize) {
                // SAFETY: as for this function.
                unsafe { plain::<$t, $side>(from, read, to, write) }
            }
        })*
    };
}

plain_squares!(u64: 4, u128: 2);
#[cfg(not(target_arch = "x86_64"))]
plain_squares!(u8: 8, u16: 8, u32: 4);

/// Lines of one 128-bit register. Every x86-64 processor has the instructions.
#[cfg(target_arch = "x86_64")]
mod registers {
    use std::arch::x86_64::{
        __m128i, _mm_loadu_si128, _mm_storeu_si128, _mm_unpackhi_epi8, _mm_unpackhi_epi16, _mm_unpackhi_epi32, _mm_unpacklo_epi8,
        _mm_unpacklo_epi16, _mm_unpacklo_epi32,
    };

    use super::Square;

    /// Joins the lines of the upper and the lower half, element by element. As many rounds as the logarithm of `N` transpose.
    macro_rules! interleave {
        ($lines:ident, $n:literal, $low:ident, $high:ident) => {
            std::array::from_fn(|i| {
                let (a, b) = ($lines[i / 2], $lines[i / 2 + $n / 2]);
                if i % 2 == 0 { $low(a, b) } else { $high(a, b) }
            })
        };
    }

    macro_rules! squares {
        ($($t:ty: $n:literal, $rounds:literal, $low:ident, $high:ident;)*) => {
            $(impl Square for $t {
                const SIDE: usize = $n;

                #[inline(always)]
                unsafe fn transpose(from: *const u8, read: isize, to: *mut u8, write: isize) {
                    // SAFETY: the caller vouches for lines of one register on both sides; loads and stores need no alignment.
                    unsafe {
                        let mut lines: [__m128i; $n] = std::array::from_fn(|j| _mm_loadu_si128(from.offset(j as isize * read).cast()));
                        for _ in 0..$rounds {
                            lines = interleave!(lines, $n, $low, $high);
                        }
                        for (i, line) in lines.into_iter().enumerate() {
                            _mm_storeu_si128(to.offset(i as isize * write).cast(), line);
                        }
                    }
                }
            })*
        };
    }

    squares! {
        u8: 16, 4, _mm_unpacklo_epi8, _mm_unpackhi_epi8;
        u16: 8, 3, _mm_unpacklo_epi16, _mm_unpackhi_epi16;
        u32: 4, 2, _mm_unpacklo_epi32, _mm_unpackhi_epi32;
    }
}
