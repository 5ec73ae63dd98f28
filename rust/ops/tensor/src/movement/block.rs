//! The innermost two axes of a copy.

use std::ptr::{copy_nonoverlapping, read_unaligned, write_unaligned};

use super::Steps;
use super::square::Square;

/// How the elements of a block are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// Columns are neighbours on both sides: each row is one run of bytes.
    Runs,
    /// Rows are neighbours in the source, columns in the target: a transposition.
    Tiles,
    /// Neither.
    Strided,
}

/// Two axes to copy, strides in bytes: `[from, to]`.
pub(crate) struct Block {
    /// The outer axis.
    pub(crate) rows: Steps<2>,
    /// The inner axis.
    pub(crate) columns: Steps<2>,
    /// Where the first element is read.
    pub(crate) from: *const u8,
    /// Where the first element is written.
    pub(crate) to: *mut u8,
}

impl Block {
    /// Copies elements of `unit` bytes: 1, 2, 4, 8 or 16.
    ///
    /// # Safety
    /// Every element of both axes may be read at `from` and written at `to`, they do not overlap, and the strides are as
    /// `kernel` says.
    pub(crate) unsafe fn copy(&self, kernel: Kernel, unit: usize) {
        // SAFETY: the caller vouches for the elements; each branch reads and writes those and no others.
        unsafe {
            match (kernel, unit) {
                (Kernel::Runs, _) => self.runs(self.columns.len * unit),
                (Kernel::Tiles, 1) => self.tiles::<u8>(),
                (Kernel::Tiles, 2) => self.tiles::<u16>(),
                (Kernel::Tiles, 4) => self.tiles::<u32>(),
                (Kernel::Tiles, 8) => self.tiles::<u64>(),
                (Kernel::Tiles, _) => self.tiles::<u128>(),
                (Kernel::Strided, 1) => self.strided::<u8>(),
                (Kernel::Strided, 2) => self.strided::<u16>(),
                (Kernel::Strided, 4) => self.strided::<u32>(),
                (Kernel::Strided, 8) => self.strided::<u64>(),
                (Kernel::Strided, _) => self.strided::<u128>(),
            }
        }
    }

    /// Rows of `bytes` neighbouring bytes.
    unsafe fn runs(&self, bytes: usize) {
        // SAFETY: as for `copy`; a row has at least as many bytes as the words that are moved of it.
        unsafe {
            match bytes {
                3 => self.overlapping::<u16>(bytes),
                5..=8 => self.overlapping::<u32>(bytes),
                9..=16 => self.overlapping::<u64>(bytes),
                17..=32 => self.overlapping::<u128>(bytes),
                33..=64 => self.overlapping::<[u128; 2]>(bytes),
                _ => {
                    for i in 0..self.rows.len as isize {
                        copy_nonoverlapping(self.from.offset(i * self.rows.by[0]), self.to.offset(i * self.rows.by[1]), bytes);
                    }
                }
            }
        }
    }

    /// Rows of one to two words of `T`: the first and the last word, which may overlap, cover the row.
    unsafe fn overlapping<T: Copy>(&self, bytes: usize) {
        let tail = bytes - size_of::<T>();
        for i in 0..self.rows.len as isize {
            // SAFETY: both words lie in row `i`.
            unsafe {
                let (from, to) = (self.from.offset(i * self.rows.by[0]), self.to.offset(i * self.rows.by[1]));
                let (a, b) = (read_unaligned(from.cast::<T>()), read_unaligned(from.add(tail).cast::<T>()));
                write_unaligned(to.cast::<T>(), a);
                write_unaligned(to.add(tail).cast::<T>(), b);
            }
        }
    }

    /// Elements with any strides. The longer axis goes innermost.
    unsafe fn strided<T: Copy>(&self) {
        let (outer, inner) = if self.columns.len >= self.rows.len.min(8) { (self.rows, self.columns) } else { (self.columns, self.rows) };
        for i in 0..outer.len as isize {
            // SAFETY: line `i` of the outer axis and every element on it are in the block.
            unsafe { line::<T>(inner, self.from.offset(i * outer.by[0]), self.to.offset(i * outer.by[1])) };
        }
    }

    /// A transposition in squares. They go down in stripes as wide as a cache line of the target.
    unsafe fn tiles<T: Square>(&self) {
        let (size, side) = (size_of::<T>(), T::SIDE);
        let stripe = (64 / size).max(side);
        let (rows, columns) = (self.rows.len / side * side, self.columns.len / side * side);
        let (read, write) = (self.columns.by[0], self.rows.by[1]);
        for first in (0..columns).step_by(stripe) {
            for row in (0..rows).step_by(side) {
                for column in (first..columns.min(first + stripe)).step_by(side) {
                    // SAFETY: the square lies in the block; rows are neighbours in the source, columns in the target.
                    unsafe {
                        let from = self.from.add(row * size).offset(column as isize * read);
                        let to = self.to.add(column * size).offset(row as isize * write);
                        T::transpose(from, read, to, write);
                    }
                }
            }
        }
        // SAFETY: what the squares leave at the right and at the bottom is in the block.
        unsafe {
            let right = Steps { len: self.columns.len - columns, by: self.columns.by };
            let from = self.from.offset(columns as isize * read);
            Block { columns: right, from, to: self.to.add(columns * size), ..*self }.strided::<T>();
            let bottom = Steps { len: self.rows.len - rows, by: self.rows.by };
            let (from, to) = (self.from.add(rows * size), self.to.offset(rows as isize * write));
            Block { rows: bottom, columns: Steps { len: columns, by: self.columns.by }, from, to }.strided::<T>();
        }
    }
}

/// Copies one axis. Strides that occur often are known to the compiler.
///
/// # Safety
/// Every element of the axis may be read and written, and they do not overlap.
#[inline(always)]
unsafe fn line<T: Copy>(axis: Steps<2>, from: *const u8, to: *mut u8) {
    let one = size_of::<T>() as isize;
    // SAFETY: each branch goes through the elements of the axis.
    unsafe {
        match (axis.by[0] == 0, axis.by[0] == -one, axis.by[0] == 2 * one, axis.by[1] == one) {
            (true, .., true) => {
                let value = read_unaligned(from.cast::<T>());
                (0..axis.len).for_each(|i| write_unaligned(to.cast::<T>().add(i), value));
            }
            (_, true, _, true) => along::<T>(axis.len, from, -one, to, one),
            (_, _, true, true) => along::<T>(axis.len, from, 2 * one, to, one),
            (.., true) => along::<T>(axis.len, from, axis.by[0], to, one),
            _ => along::<T>(axis.len, from, axis.by[0], to, axis.by[1]),
        }
    }
}

/// The loop of [`line`].
///
/// # Safety
/// As for [`line`].
#[inline(always)]
unsafe fn along<T: Copy>(len: usize, from: *const u8, read: isize, to: *mut u8, write: isize) {
    for i in 0..len as isize {
        // SAFETY: element `i` is on the axis.
        unsafe { write_unaligned(to.offset(i * write).cast::<T>(), read_unaligned(from.offset(i * read).cast::<T>())) };
    }
}
