//! From the sums of a tile to the result: zero points, biases, scales, rounding.

use simd::{Kernel, MAX_LANES, Simd};

use super::{ByteOutput, ByteTerms, Scales};
use crate::epilogue::{Epilogue, Finish, finish_f32};
use crate::memory::Shared;
use crate::panels::MAX_TILE;

/// Where the sums of all products go: [`ByteOutput`] without its borrow.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    I32(Shared<i32>),
    F32(Shared<f32>, Scales<'a>, Epilogue<'a, f32>),
    U8(Shared<u8>, Scales<'a>, u8),
    I8(Shared<i8>, Scales<'a>, i8),
}

/// Rows, columns, row stride and length of the result, and its elements.
pub(crate) fn target<'a>(output: ByteOutput<'a>) -> ((usize, usize, usize, usize), Target<'a>) {
    macro_rules! shape {
        ($c:ident) => {
            ($c.rows, $c.cols, $c.row_stride, $c.data.len())
        };
    }
    match output {
        ByteOutput::I32(c) => (shape!(c), Target::I32(Shared(c.data.as_mut_ptr()))),
        ByteOutput::F32 { c, scales, epilogue } => (shape!(c), Target::F32(Shared(c.data.as_mut_ptr()), scales, epilogue)),
        ByteOutput::U8 { c, scales, zero_point } => (shape!(c), Target::U8(Shared(c.data.as_mut_ptr()), scales, zero_point)),
        ByteOutput::I8 { c, scales, zero_point } => (shape!(c), Target::I8(Shared(c.data.as_mut_ptr()), scales, zero_point)),
    }
}

/// One tile to be finished: `rows` by `cols` sums of `tile` become elements `(row, col)` on of product `item`, which begins at `origin`
/// of the result.
pub(crate) struct FinishBytes<'a> {
    pub(crate) tile: &'a mut [i32; MAX_TILE],
    pub(crate) ldt: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) item: usize,
    pub(crate) dims: &'a [usize],
    pub(crate) origin: usize,
    pub(crate) ldc: usize,
    pub(crate) k: usize,
    pub(crate) terms: ByteTerms<'a>,
    /// What the zero points of A and of B are shifted by.
    pub(crate) shift: (i32, i32),
    /// Sums of the tile's rows of A and columns of B.
    pub(crate) row_sums: *const i32,
    pub(crate) col_sums: *const i32,
    pub(crate) target: Target<'a>,
}

/// The value of a list for element `i`.
#[inline(always)]
fn pick<T: Copy + Default>(list: &[T], i: usize) -> T {
    match list {
        [] => T::default(),
        [one] => *one,
        _ => list[i],
    }
}

impl Kernel for FinishBytes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (mut zeros, mut sums, mut biases) = ([0i32; MAX_COLS], [0i32; MAX_COLS], [0i32; MAX_COLS]);
        for j in 0..self.cols {
            zeros[j] = pick(self.terms.b, self.col + j).wrapping_add(self.shift.1);
            // SAFETY: there is one sum for each column of the tile.
            let sum = unsafe { *self.col_sums.add(j) };
            sums[j] = sum.wrapping_sub((self.k as i32).wrapping_mul(zeros[j]));
            biases[j] = pick(self.terms.col_bias, self.col + j);
        }
        for i in 0..self.rows {
            let zero = pick(self.terms.a, self.row + i).wrapping_add(self.shift.0);
            // SAFETY: there is one sum for each row of the tile.
            let row_sum = unsafe { *self.row_sums.add(i) };
            let bias = pick(self.terms.row_bias, self.row + i);
            let line = &mut self.tile[i * self.ldt..(i + 1) * self.ldt];
            for (j, x) in line.iter_mut().enumerate() {
                let less = zeros[j].wrapping_mul(row_sum).wrapping_add(zero.wrapping_mul(sums[j]));
                *x = x.wrapping_sub(less).wrapping_add(bias).wrapping_add(biases[j]);
            }
        }
        self.store(s);
    }
}

/// The most columns of a tile.
const MAX_COLS: usize = 32;

impl FinishBytes<'_> {
    #[inline(always)]
    fn store<S: Simd>(self, s: S) {
        match self.target {
            Target::I32(c) => {
                for i in 0..self.rows {
                    let line = &self.tile[i * self.ldt..i * self.ldt + self.cols];
                    // SAFETY: the result holds the tile, which nobody else writes.
                    unsafe { std::ptr::copy_nonoverlapping(line.as_ptr(), c.get().add(self.place(i)), self.cols) }
                }
            }
            Target::F32(c, scales, epilogue) => self.store_f32(s, c, &scales, &epilogue),
            Target::U8(c, scales, zero) => {
                self.store_bytes(s, &scales, i32::from(zero), 0, 255, |at, x| {
                    // SAFETY: the result holds the tile, which nobody else writes.
                    unsafe { c.get().add(at).write(x as u8) }
                });
            }
            Target::I8(c, scales, zero) => {
                self.store_bytes(s, &scales, i32::from(zero), -128, 127, |at, x| {
                    // SAFETY: the result holds the tile, which nobody else writes.
                    unsafe { c.get().add(at).write(x as i8) }
                });
            }
        }
    }

    /// The place of the first element of row `i` of the tile.
    #[inline(always)]
    fn place(&self, i: usize) -> usize {
        self.origin + (self.row + i) * self.ldc + self.col
    }

    /// The sums of row `i` as floats, times their factors; `out` has room for whole vectors.
    #[inline(always)]
    fn scaled<S: Simd>(&self, s: S, scales: &Scales<'_>, i: usize, cols: &[f32; MAX_COLS], out: &mut [f32; MAX_COLS]) {
        let row = s.splat(pick(scales.rows, self.row + i));
        for j in (0..self.cols).step_by(S::LANES) {
            // SAFETY: tile and arrays hold whole vectors in each row.
            unsafe {
                let sum = s.to_float(s.iload(self.tile.as_ptr().add(i * self.ldt + j)));
                let factor = s.mul(row, s.load(cols.as_ptr().add(j)));
                s.store(out.as_mut_ptr().add(j), s.mul(sum, factor));
            }
        }
    }

    /// The factors of the tile's columns.
    #[inline(always)]
    fn column_scales(&self, scales: &Scales<'_>) -> [f32; MAX_COLS] {
        let mut cols = [0.0; MAX_COLS];
        for (j, x) in cols.iter_mut().enumerate().take(self.cols) {
            *x = pick(scales.cols, self.col + j);
        }
        cols
    }

    #[inline(always)]
    fn store_f32<S: Simd>(&self, s: S, c: Shared<f32>, scales: &Scales<'_>, epilogue: &Epilogue<'_, f32>) {
        let cols = self.column_scales(scales);
        let mut line = [0.0f32; MAX_COLS];
        for i in 0..self.rows {
            self.scaled(s, scales, i, &cols, &mut line);
            // SAFETY: the result holds the tile, which nobody else writes.
            let c = unsafe { c.get().add(self.place(i)) };
            let finish = Finish {
                tile: line.as_mut_ptr(),
                ldt: MAX_COLS,
                rows: 1,
                cols: self.cols,
                c,
                ldc: self.ldc,
                epilogue,
                dims: self.dims,
                item: self.item,
                row: self.row + i,
                col: self.col,
            };
            // SAFETY: the line holds whole vectors; the operands of the epilogue were checked against the shape of the result.
            unsafe { finish_f32(s, finish) }
        }
    }

    #[inline(always)]
    fn store_bytes<S: Simd>(&self, s: S, scales: &Scales<'_>, zero: i32, low: i32, high: i32, mut put: impl FnMut(usize, i32)) {
        let cols = self.column_scales(scales);
        let mut line = [0.0f32; MAX_COLS];
        // Cut before rounding, so that the integer is in range; NaN becomes the lower bound.
        let (low, high) = (s.splat((low - zero) as f32), s.splat((high - zero) as f32));
        for i in 0..self.rows {
            self.scaled(s, scales, i, &cols, &mut line);
            let at = self.place(i);
            for j in (0..self.cols).step_by(S::LANES) {
                let mut lanes = [0i32; MAX_LANES];
                // SAFETY: the arrays hold whole vectors.
                unsafe {
                    let x = s.min(s.max(s.load(line.as_ptr().add(j)), low), high);
                    s.istore(lanes.as_mut_ptr(), s.iadd(s.to_int(x), s.isplat(zero)));
                }
                for (q, &x) in lanes.iter().enumerate().take(S::LANES.min(self.cols - j)) {
                    put(at + j + q, x);
                }
            }
        }
    }
}
