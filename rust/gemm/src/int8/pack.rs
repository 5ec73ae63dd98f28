//! Packing of bytes: groups along `k` come next to each other, and sums are taken on the way.

use base::threads::{paced, parallel_for, pieces};
use simd::{Isa, Kernel, MAX_LANES, Simd, dispatch_on};

use super::ByteMat;
use super::kernel::{ByteIsa, ByteShape};
use crate::matrix::Mat;
use crate::memory::Shared;

/// What is added, modulo 256, to make A unsigned and B signed.
const SHIFT: u8 = 0x80;

/// Packs `rows` rows of `a` from `row` on into a panel of words, and sums each row.
pub(crate) struct PackRows<'a> {
    pub(crate) a: ByteMat<'a>,
    /// Where the matrix begins in its slice: the batch item.
    pub(crate) offset: usize,
    pub(crate) row: usize,
    pub(crate) rows: usize,
    pub(crate) group: usize,
    pub(crate) dst: *mut u32,
    pub(crate) sums: *mut i32,
}

/// The word of up to four values: bytes if the group has four, 16-bit values if it has two.
#[inline(always)]
fn word(group: usize, values: impl Iterator<Item = u8>) -> u32 {
    let bits = if group == 4 { 8 } else { 16 };
    values.enumerate().fold(0, |w, (i, x)| w | u32::from(x) << (i * bits))
}

impl Kernel for PackRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Mat { data, cols: k, row_stride, col_stride, .. } = self.a.mat;
        let flip = if self.a.signed { SHIFT } else { 0 };
        // SAFETY: the matrix was checked to lie in its slice.
        let src = unsafe { data.as_ptr().add(self.offset + self.row * row_stride) };
        let done = if col_stride == 1 && self.rows <= S::LANES {
            // SAFETY: the rows are contiguous, and `dst` holds the panel.
            unsafe { self.contiguous(s, src, flip) }
        } else {
            0
        };
        for r in 0..self.rows {
            // SAFETY: the row lies in the matrix, and there is one sum for each row.
            unsafe { self.sums.add(r).write(sum_row(src.add(r * row_stride), k, col_stride, flip)) }
            for g in done..k.div_ceil(self.group) {
                let steps = g * self.group..k.min((g + 1) * self.group);
                // SAFETY: the elements lie in the matrix, and `dst` holds the panel.
                unsafe {
                    let values = steps.map(|p| *src.add(r * row_stride + p * col_stride) ^ flip);
                    self.dst.add(g * self.rows + r).write(word(self.group, values));
                }
            }
        }
    }
}

/// The sum of `k` values.
///
/// # Safety
/// `src` is good for them.
#[inline(always)]
unsafe fn sum_row(src: *const u8, k: usize, stride: usize, flip: u8) -> i32 {
    let mut sum = 0u32;
    if stride == 1 {
        // SAFETY: as the caller says. This is a loop of its own because it becomes vector code.
        let row = unsafe { std::slice::from_raw_parts(src, k) };
        for piece in pieces(k, 1 << 16) {
            sum = row[piece].iter().fold(sum, |sum, &x| sum.wrapping_add(u32::from(x ^ flip)));
        }
    } else {
        for p in paced(0..k, 1) {
            // SAFETY: as the caller says.
            sum = sum.wrapping_add(u32::from(unsafe { *src.add(p * stride) } ^ flip));
        }
    }
    sum as i32
}

impl PackRows<'_> {
    /// Packs as many groups as fill whole vectors, by transposing words; gives their number.
    ///
    /// # Safety
    /// `src` points to rows of contiguous values, and `dst` holds the panel.
    #[inline(always)]
    unsafe fn contiguous<S: Simd>(&self, s: S, src: *const u8, flip: u8) -> usize {
        let Mat { cols: k, row_stride, .. } = self.a.mat;
        let whole = (k / self.group) / S::LANES * S::LANES;
        let mut words = [0u32; MAX_LANES * MAX_LANES];
        for g in paced((0..whole).step_by(S::LANES), S::LANES * self.rows) {
            for r in 0..self.rows {
                // SAFETY: the row has `LANES` groups from `g` on, and the array a row of `LANES` words for each row.
                unsafe {
                    let row = src.add(r * row_stride + g * self.group);
                    let out = words.as_mut_ptr().add(r * S::LANES);
                    if self.group == 4 { words_of_four(s, row, flip, out) } else { words_of_two(s, row, flip, out) }
                }
            }
            // SAFETY: the array holds `rows` rows of words; words are moved as floats, which changes no bit.
            unsafe { s.transpose(words.as_ptr().cast(), S::LANES, self.rows, self.dst.add(g * self.rows).cast(), self.rows) }
        }
        whole
    }
}

/// `LANES` words of four bytes.
///
/// # Safety
/// The pointers are good for them.
#[inline(always)]
unsafe fn words_of_four<S: Simd>(s: S, row: *const u8, flip: u8, out: *mut u32) {
    let flip = s.isplat(i32::from_ne_bytes([flip; 4]));
    // SAFETY: as the caller says.
    unsafe { s.istore(out.cast(), s.ixor(s.iload(row.cast()), flip)) }
}

/// `LANES` words of two values.
///
/// # Safety
/// The pointers are good for them.
#[inline(always)]
unsafe fn words_of_two<S: Simd>(s: S, row: *const u8, flip: u8, out: *mut u32) {
    let flip = s.isplat(i32::from(flip) * 0x0001_0001);
    // SAFETY: as the caller says.
    unsafe {
        let pairs = s.load_u16(row.cast());
        let (low, high) = (s.iand(pairs, s.isplat(0xff)), s.shl(s.shr_logical(pairs, 8), 16));
        s.istore(out.cast(), s.ixor(s.ior(low, high), flip));
    }
}

/// Packs `panels` panels of `b` from column `col` on, and sums each column.
pub(crate) struct PackCols<'a> {
    pub(crate) b: ByteMat<'a>,
    /// Where the matrix begins in its slice: the batch item.
    pub(crate) offset: usize,
    pub(crate) col: usize,
    pub(crate) panels: usize,
    pub(crate) shape: ByteShape,
    pub(crate) dst: *mut u8,
    pub(crate) sums: *mut i32,
}

impl Kernel for PackCols<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (width, bytes) = (self.shape.tile.cols, self.shape.panel_bytes(self.b.mat.rows));
        for panel in 0..self.panels {
            let col = self.col + panel * width;
            let cols = width.min(self.b.mat.cols - col);
            // SAFETY: the panel lies in the matrix, which was checked to lie in its slice; `dst` and `sums` hold all panels.
            unsafe {
                let (dst, sums) = (self.dst.add(panel * bytes), self.sums.add(panel * width));
                self.panel(s, col, cols, dst);
                self.sum(s, dst, sums);
            }
        }
    }
}

impl PackCols<'_> {
    /// Packs one panel of `cols` columns; the others are zero.
    ///
    /// # Safety
    /// The columns lie in the matrix, and `dst` holds a panel.
    #[inline(always)]
    unsafe fn panel<S: Simd>(&self, s: S, col: usize, cols: usize, dst: *mut u8) {
        let Mat { data, rows: k, row_stride, col_stride, .. } = self.b.mat;
        let (group, width) = (self.shape.group, self.shape.tile.cols);
        let flip = if self.b.signed { 0 } else { SHIFT };
        // SAFETY: as the caller says.
        unsafe {
            let src = data.as_ptr().add(self.offset + col * col_stride);
            for g in paced(0..k.div_ceil(group), group * width / 8) {
                let steps = group.min(k - g * group);
                let (src, dst) = (src.add(g * group * row_stride), dst.add(g * group * width));
                if cols == width && steps == group && col_stride == 1 {
                    interleave(s, src, row_stride, group, width, flip, dst);
                    continue;
                }
                for c in 0..width {
                    for q in 0..group {
                        let inside = c < cols && q < steps;
                        let x = if inside { *src.add(q * row_stride + c * col_stride) ^ flip } else { 0 };
                        dst.add(c * group + q).write(x);
                    }
                }
            }
        }
    }

    /// Sums the columns of a packed panel.
    ///
    /// # Safety
    /// `dst` holds a packed panel, and `sums` one number for each of its columns.
    #[inline(always)]
    unsafe fn sum<S: Simd>(&self, s: S, dst: *const u8, sums: *mut i32) {
        let (group, width) = (self.shape.group, self.shape.tile.cols);
        for c in (0..width).step_by(S::LANES) {
            let mut acc = s.isplat(0);
            let n = S::LANES.min(width - c);
            for g in paced(0..self.shape.groups(self.b.mat.rows), 1) {
                // SAFETY: the panel has the group; narrow panels are read by way of an array.
                let words = unsafe { load_groups(s, dst.add((g * width + c) * group), group, n) };
                for q in 0..group {
                    acc = s.iadd(acc, s.shr(s.shl(words, 24 - 8 * q as u32), 24));
                }
            }
            let mut lanes = [0i32; MAX_LANES];
            // SAFETY: the array holds a vector, and `sums` the columns.
            unsafe {
                s.istore(lanes.as_mut_ptr(), acc);
                std::ptr::copy_nonoverlapping(lanes.as_ptr(), sums.add(c), n);
            }
        }
    }
}

/// Loads `n` groups of bytes, one in each lane.
///
/// # Safety
/// The pointer is good for them.
#[inline(always)]
unsafe fn load_groups<S: Simd>(s: S, p: *const u8, group: usize, n: usize) -> S::I {
    // SAFETY: as the caller says; the array holds a vector of groups of four.
    unsafe {
        if n < S::LANES {
            let mut lanes = [0u8; 4 * MAX_LANES];
            std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n * group);
            return if group == 4 { s.iload(lanes.as_ptr().cast()) } else { s.load_u16(lanes.as_ptr().cast()) };
        }
        if group == 4 { s.iload(p.cast()) } else { s.load_u16(p.cast()) }
    }
}

/// Brings the bytes of `group` rows of `width` columns next to each other.
///
/// # Safety
/// `src` is good for the rows, `dst` for `group * width` bytes.
#[inline(always)]
unsafe fn interleave<S: Simd>(s: S, src: *const u8, stride: usize, group: usize, width: usize, flip: u8, dst: *mut u8) {
    let flip = s.isplat(i32::from_ne_bytes([flip; 4]));
    for c in (0..width).step_by(S::LANES) {
        // SAFETY: as the caller says; a panel is never narrower than a vector, for both are chosen by the same instruction set.
        unsafe {
            let mut words = s.load_u8(src.add(c));
            for q in 1..group {
                words = s.ior(words, s.shl(s.load_u8(src.add(q * stride + c)), 8 * q as u32));
            }
            words = s.ixor(words, flip);
            if group == 4 { s.istore(dst.add(c * 4).cast(), words) } else { s.store_u16(dst.add(c * 2).cast(), words) }
        }
    }
}

/// Packs all of `b`.
pub(crate) fn pack_all(isa: Isa, b: &ByteMat<'_>, dst: *mut u8, sums: &mut [i32]) {
    const PANELS: usize = 8;
    let shape = ByteIsa::of(isa).shape();
    let (width, bytes) = (shape.tile.cols, shape.panel_bytes(b.mat.rows));
    let count = b.mat.cols.div_ceil(width);
    let (dst, sums) = (Shared(dst), Shared(sums.as_mut_ptr()));
    parallel_for(count.div_ceil(PANELS), &|chunk| {
        let first = chunk * PANELS;
        let panels = PANELS.min(count - first);
        // SAFETY: the caller's buffers hold `count` panels, and each chunk writes panels of its own.
        let (dst, sums) = unsafe { (dst.get().add(first * bytes), sums.get().add(first * width)) };
        dispatch_on(isa, PackCols { b: *b, offset: 0, col: first * width, panels, shape, dst, sums });
    });
}
