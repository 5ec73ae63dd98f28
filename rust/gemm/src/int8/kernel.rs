//! Microkernels of bytes. A tile walks over groups of values along `k`: for each group a word of four bytes per row of A, and for each
//! column of B as many bytes as the group has values.

use simd::Isa;

use crate::panels::TileShape;

/// The instructions that a product of bytes uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteIsa {
    /// Plain Rust, groups of two.
    Portable,
    /// Products of 16-bit pairs, groups of two: the 8-bit instruction would saturate.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Dot products of four bytes, on 512 bits.
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

/// The tile of an instruction set, and the values of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteShape {
    pub(crate) tile: TileShape,
    pub(crate) group: usize,
}

impl ByteShape {
    /// Groups of `k` values.
    pub(crate) fn groups(&self, k: usize) -> usize {
        k.div_ceil(self.group)
    }

    /// Bytes of a panel of B.
    pub(crate) fn panel_bytes(&self, k: usize) -> usize {
        self.groups(k).saturating_mul(self.group * self.tile.cols)
    }
}

impl ByteIsa {
    /// What is used where `isa` is asked for: what the machine has of it.
    pub(crate) fn of(isa: Isa) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if isa == Isa::Avx512 && simd::isa::has_vnni() {
                return Self::Vnni;
            }
            if isa >= Isa::Avx2 && Isa::Avx2.is_available() {
                return Self::Avx2;
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = isa;
        Self::Portable
    }

    pub(crate) fn shape(self) -> ByteShape {
        match self {
            Self::Portable => ByteShape { tile: TileShape { rows: 4, cols: 8, lanes: 8 }, group: 2 },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => ByteShape { tile: TileShape { rows: 6, cols: 16, lanes: 8 }, group: 2 },
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => ByteShape { tile: TileShape { rows: 14, cols: 32, lanes: 16 }, group: 4 },
        }
    }
}

/// What one tile is computed from: `groups` steps of `a` (a word for each row) and `b` (a group for each column); `c` takes the sums,
/// rows `ldc` apart.
#[derive(Clone, Copy)]
pub(crate) struct ByteArgs {
    pub(crate) groups: usize,
    pub(crate) a: *const u32,
    pub(crate) b: *const i8,
    pub(crate) c: *mut i32,
    pub(crate) ldc: usize,
}

macro_rules! by_rows {
    ($tile:ident, $v:literal, $rows:ident, $args:ident, $($r:literal)*) => {
        match $rows {
            // SAFETY: the caller's arguments hold, and the choice of this function proves the instructions.
            $($r => unsafe { $tile::<$r, $v>($args) },)*
            _ => unreachable!("no tile of {} rows", $rows),
        }
    };
}

/// Computes a tile of `rows` rows and `vectors` vectors.
///
/// # Safety
/// The pointers of `args` are good for a tile of that shape, which `isa` has; `isa` came from [`ByteIsa::of`].
pub(crate) unsafe fn tile(isa: ByteIsa, rows: usize, vectors: usize, args: ByteArgs) {
    #[cfg(target_arch = "x86_64")]
    use x86::{avx2_tile, vnni_tile};
    match (isa, vectors) {
        (ByteIsa::Portable, _) => by_rows!(portable_tile, 1, rows, args, 1 2 3 4),
        #[cfg(target_arch = "x86_64")]
        (ByteIsa::Avx2, 1) => by_rows!(avx2_tile, 1, rows, args, 1 2 3 4 5 6),
        #[cfg(target_arch = "x86_64")]
        (ByteIsa::Avx2, _) => by_rows!(avx2_tile, 2, rows, args, 1 2 3 4 5 6),
        #[cfg(target_arch = "x86_64")]
        (ByteIsa::Vnni, 1) => by_rows!(vnni_tile, 1, rows, args, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        #[cfg(target_arch = "x86_64")]
        (ByteIsa::Vnni, _) => by_rows!(vnni_tile, 2, rows, args, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    }
}

/// The tile in plain Rust: eight columns, words of two 16-bit values.
///
/// # Safety
/// The pointers of `args` are good for the tile.
unsafe fn portable_tile<const R: usize, const V: usize>(args: ByteArgs) {
    const COLS: usize = 8;
    let mut acc = [[0i32; COLS]; R];
    for g in 0..args.groups {
        // SAFETY: each group of `b` has two bytes for each column.
        let b = unsafe { args.b.add(g * 2 * COLS).cast::<[[i8; 2]; COLS]>().read() };
        for (r, acc) in acc.iter_mut().enumerate() {
            // SAFETY: each group of `a` has one word for each row.
            let word = unsafe { args.a.add(g * R + r).read() };
            let (low, high) = (i32::from(word as u16), i32::from((word >> 16) as u16));
            for (x, b) in acc.iter_mut().zip(b) {
                *x = x.wrapping_add(low * i32::from(b[0]) + high * i32::from(b[1]));
            }
        }
    }
    for (r, row) in acc.into_iter().enumerate() {
        // SAFETY: each row of `c` holds the columns.
        unsafe { args.c.add(r * args.ldc).cast::<[i32; COLS]>().write(row) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::ByteArgs;
    use crate::kernel::{STEPS, pause};

    /// The tile of `V` vectors of eight columns, words of two 16-bit values.
    ///
    /// # Safety
    /// The pointers of `args` are good for the tile.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn avx2_tile<const R: usize, const V: usize>(args: ByteArgs) {
        const COLS: usize = 16;
        let mut acc = [[_mm256_setzero_si256(); V]; R];
        let (mut a, mut b) = (args.a, args.b);
        let mut left = args.groups;
        loop {
            for _ in 0..left.min(STEPS) {
                let mut row = [_mm256_setzero_si256(); V];
                for (v, row) in row.iter_mut().enumerate() {
                    // SAFETY: each group of `b` has two bytes for each of sixteen columns.
                    *row = unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(b.add(v * 16).cast())) };
                }
                for (r, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: each group of `a` has one word for each row.
                    let x = _mm256_set1_epi32(unsafe { a.add(r).read() } as i32);
                    for (acc, &b) in acc.iter_mut().zip(&row) {
                        *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, b));
                    }
                }
                a = a.wrapping_add(R);
                b = b.wrapping_add(2 * COLS);
            }
            if left <= STEPS {
                break;
            }
            left -= STEPS;
            pause();
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, &x) in row.iter().enumerate() {
                // SAFETY: each row of `c` holds `V` vectors.
                unsafe { _mm256_storeu_si256(args.c.add(r * args.ldc + v * 8).cast(), x) }
            }
        }
    }

    /// The tile of `V` vectors of sixteen columns, words of four bytes.
    ///
    /// # Safety
    /// The pointers of `args` are good for the tile.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) unsafe fn vnni_tile<const R: usize, const V: usize>(args: ByteArgs) {
        const COLS: usize = 32;
        let mut acc = [[_mm512_setzero_si512(); V]; R];
        let (mut a, mut b) = (args.a, args.b);
        let mut left = args.groups;
        loop {
            for _ in 0..left.min(STEPS) {
                let mut row = [_mm512_setzero_si512(); V];
                for (v, row) in row.iter_mut().enumerate() {
                    // SAFETY: each group of `b` has four bytes for each of 32 columns.
                    *row = unsafe { _mm512_loadu_si512(b.add(v * 64).cast()) };
                }
                for (r, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: each group of `a` has one word for each row.
                    let x = _mm512_set1_epi32(unsafe { a.add(r).read() } as i32);
                    for (acc, &b) in acc.iter_mut().zip(&row) {
                        *acc = _mm512_dpbusd_epi32(*acc, x, b);
                    }
                }
                a = a.wrapping_add(R);
                b = b.wrapping_add(4 * COLS);
            }
            if left <= STEPS {
                break;
            }
            left -= STEPS;
            pause();
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, &x) in row.iter().enumerate() {
                // SAFETY: each row of `c` holds `V` vectors.
                unsafe { _mm512_storeu_si512(args.c.add(r * args.ldc + v * 16).cast(), x) }
            }
        }
    }
}
