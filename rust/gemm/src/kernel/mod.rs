//! The microkernel: one tile of the result, kept in registers while it walks along `k`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use base::threads::checkpoint;
use simd::{Isa, Kernel, Simd};

use crate::scalar::Scalar;

/// What one tile is computed from. `a` is packed: for each of `k` steps the values of all rows of the tile.
/// `b` holds a row of at least the tile's width for each step, `ldb` apart; `c` takes the tile's rows, `ldc` apart. Sums begin as what
/// `begun` holds, in the form of `c`, if it is given.
#[derive(Clone, Copy)]
pub struct TileArgs<T: Scalar> {
    pub(crate) k: usize,
    pub(crate) a: *const T::Acc,
    pub(crate) b: *const T,
    pub(crate) ldb: usize,
    pub(crate) c: *mut T::Acc,
    pub(crate) ldc: usize,
    pub(crate) begun: Option<*const T::Acc>,
    pub(crate) later: Later<T>,
}

/// Memory that tiles to come will read, which a tile asks for bit by bit: some bytes at each step of `k`.
#[derive(Clone, Copy)]
pub(crate) struct Later<T> {
    pub(crate) start: *const T,
    /// Elements at each step.
    pub(crate) pace: usize,
}

/// An instruction set with the tile that its registers hold.
pub trait Tiles: Simd {
    /// The most rows of a tile.
    const ROWS: usize;
    /// The most vectors across a tile.
    const VECTORS: usize;

    /// Computes a tile of floats: `rows` in `1..=ROWS`, `vectors` in `1..=VECTORS`.
    ///
    /// # Safety
    /// The pointers of `args` are good for a tile of that shape.
    unsafe fn float_tile<T: Scalar>(self, rows: usize, vectors: usize, args: TileArgs<T>);
}

/// Steps of `k` that operands are asked for before they are read.
const AHEAD: usize = 8;

/// Steps of `k` after which long work looks whether its run is cancelled.
pub(crate) const STEPS: usize = 1 << 14;

/// A checkpoint, kept out of the loop around it: the sums leave their registers for it.
#[cold]
#[inline(never)]
pub(crate) fn pause() {
    checkpoint();
}

/// The tile of integers: rows, and vectors across.
pub(crate) const INTEGER_TILE: (usize, usize) = (4, 1);

/// A tile of `R` rows and `V` vectors.
pub(crate) struct Tile<T: Scalar, const R: usize, const V: usize>(pub(crate) TileArgs<T>);

impl<T: Scalar, const R: usize, const V: usize> Kernel for Tile<T, R, V> {
    type Output = ();

    /// Each element is one chain of multiply-adds in the order of `k`: its bits depend neither on the tile nor on the blocking.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let TileArgs { k, mut a, mut b, ldb, c, ldc, begun, mut later } = self.0;
        let lanes = T::lanes::<S>();
        let mut acc = [[T::splat(s, <T::Acc>::default()); V]; R];
        if let Some(sums) = begun {
            for (r, row) in acc.iter_mut().enumerate() {
                for (v, x) in row.iter_mut().enumerate() {
                    // SAFETY: each row of the sums holds `V` vectors.
                    *x = unsafe { T::load_acc(s, sums.add(r * ldc + v * lanes)) };
                }
            }
        }
        for _ in 0..k {
            // SAFETY: each step of `b` holds `V` vectors, each step of `a` holds `R` values.
            unsafe {
                let row: [T::V<S>; V] = std::array::from_fn(|v| T::load(s, b.add(v * lanes)));
                s.prefetch(a.wrapping_add(AHEAD * R));
                for v in 0..V {
                    s.prefetch(b.wrapping_add(AHEAD * ldb + v * lanes));
                }
                s.prefetch_far(later.start);
                later.start = later.start.wrapping_add(later.pace);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let x = T::splat(s, *a.add(r));
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = T::fma(s, x, row[v], *acc);
                    }
                }
                a = a.add(R);
                b = b.wrapping_add(ldb);
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for (v, &x) in row.iter().enumerate() {
                // SAFETY: each row of `c` holds `V` vectors.
                unsafe { T::store_acc(s, c.add(r * ldc + v * lanes), x) }
            }
        }
    }
}

/// How many column panels are taken at once for few rows: a tile of one or two rows alone would wait for its own sums.
pub(crate) const fn panels_at_once(rows: usize) -> usize {
    match rows {
        1 => 4,
        2 => 2,
        _ => 1,
    }
}

/// Tiles of `R` rows and `V` vectors in `Q` column panels, `apart` elements from each other; side by side in the result.
pub(crate) struct WideTile<T: Scalar, const R: usize, const V: usize, const Q: usize> {
    args: TileArgs<T>,
    apart: usize,
}

impl<T: Scalar, const R: usize, const V: usize, const Q: usize> Kernel for WideTile<T, R, V, Q> {
    type Output = ();

    /// Elements are the same chains as in a [`Tile`].
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // Panels and vectors number addresses as well as sums.
    fn run<S: Simd>(self, s: S) {
        let TileArgs { k, mut a, mut b, ldb, c, ldc, begun, .. } = self.args;
        let lanes = T::lanes::<S>();
        let mut acc = [[[T::splat(s, <T::Acc>::default()); V]; Q]; R];
        if let Some(sums) = begun {
            for (r, panels) in acc.iter_mut().enumerate() {
                for (i, x) in panels.iter_mut().flatten().enumerate() {
                    // SAFETY: each row of the sums holds the vectors of all panels.
                    *x = unsafe { T::load_acc(s, sums.add(r * ldc + i * lanes)) };
                }
            }
        }
        for _ in 0..k {
            // SAFETY: each step of `b` holds `V` vectors in each panel, each step of `a` holds `R` values.
            unsafe {
                let x: [T::V<S>; R] = std::array::from_fn(|r| T::splat(s, *a.add(r)));
                for q in 0..Q {
                    for v in 0..V {
                        let row = T::load(s, b.add(q * self.apart + v * lanes));
                        for r in 0..R {
                            acc[r][q][v] = T::fma(s, x[r], row, acc[r][q][v]);
                        }
                    }
                }
                a = a.add(R);
                b = b.wrapping_add(ldb);
            }
        }
        for (r, panels) in acc.iter().enumerate() {
            for (i, &x) in panels.iter().flatten().enumerate() {
                // SAFETY: each row of `c` holds the vectors of all panels.
                unsafe { T::store_acc(s, c.add(r * ldc + i * lanes), x) }
            }
        }
    }
}

/// Computes tiles of floats in as many column panels as [`panels_at_once`] says.
///
/// # Safety
/// The pointers of `args` are good for such tiles.
pub(crate) unsafe fn wide_tile<S: Tiles, T: Scalar>(s: S, rows: usize, args: TileArgs<T>, apart: usize) {
    match (rows, S::VECTORS) {
        (1, 1) => s.vectorize(WideTile::<T, 1, 1, 4> { args, apart }),
        (1, 2) => s.vectorize(WideTile::<T, 1, 2, 4> { args, apart }),
        (2, 1) => s.vectorize(WideTile::<T, 2, 1, 2> { args, apart }),
        (2, 2) => s.vectorize(WideTile::<T, 2, 2, 2> { args, apart }),
        _ => unreachable!("no wide tile of {rows} rows and {} vectors", S::VECTORS),
    }
}

/// Calls the tile of the given number of rows: `by_rows!(s, T, V, rows, args, 1 2 3 …)`.
macro_rules! by_rows {
    ($s:ident, $t:ident, $v:literal, $rows:ident, $args:ident, $($r:literal)*) => {
        match $rows {
            $($r => $s.vectorize($crate::kernel::Tile::<$t, $r, $v>($args)),)*
            _ => unreachable!("no tile of {} rows", $rows),
        }
    };
}
pub(crate) use by_rows;

/// Computes a tile of integers.
///
/// # Safety
/// The pointers of `args` are good for a tile of that shape.
pub(crate) unsafe fn integer_tile<S: Simd, T: Scalar>(s: S, rows: usize, _vectors: usize, args: TileArgs<T>) {
    by_rows!(s, T, 1, rows, args, 1 2 3 4);
}

/// Work that needs the tiles of an instruction set.
pub(crate) trait Visit {
    type Output;
    fn visit<S: Tiles>(self, s: S) -> Self::Output;
}

/// Does the work with the tiles of `isa`, or with portable ones where the machine lacks it.
pub(crate) fn visit<W: Visit>(isa: Isa, work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    match isa {
        Isa::Avx512 => {
            if let Some(s) = simd::Avx512Token::new() {
                return work.visit(s);
            }
        }
        Isa::Avx2 => {
            if let Some(s) = simd::Avx2Token::new() {
                return work.visit(s);
            }
        }
        Isa::Portable => {}
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = isa;
    work.visit(simd::PortableToken)
}
