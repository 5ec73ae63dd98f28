//! A tensor seen as `[outer, len, inner]` around an axis, and how its elements are read.

use base::Element;

use crate::elementwise::{BLOCK, Buffer, Convert};

/// Columns that are worked on at once.
pub(super) const TILE: usize = 256;

/// A tensor around an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) outer: usize,
    pub(super) len: usize,
    pub(super) inner: usize,
}

impl Split {
    /// Around axis `axis` of `dims`, which has it.
    pub(super) fn at(dims: &[usize], axis: usize) -> Self {
        Self { outer: dims[..axis].iter().product(), len: dims[axis], inner: dims[axis + 1..].iter().product() }
    }

    /// How many elements the tensor has.
    pub(super) fn count(&self) -> usize {
        self.outer * self.len * self.inner
    }

    /// Tiles of one outer index.
    pub(super) fn tiles(&self) -> usize {
        self.inner.div_ceil(TILE)
    }

    /// The outer index of tile `i`, its first column and how many it has.
    pub(super) fn tile(&self, i: usize) -> (usize, usize, usize) {
        let first = i % self.tiles() * TILE;
        (i / self.tiles(), first, TILE.min(self.inner - first))
    }
}

/// Elements of `T`, converted from another type as they are read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    /// The first element.
    pub(super) address: *const u8,
    /// Bytes of an element.
    pub(super) size: usize,
    /// The conversion to `T`.
    pub(super) load: Option<&'a Convert>,
}

// SAFETY: a reader only reads, and whoever made it vouches for its memory for as long as it is used.
unsafe impl Sync for Reader<'_> {}

impl Reader<'_> {
    /// Copies the `n` elements from element `start` on to the buffer.
    ///
    /// # Safety
    /// The tensor has them, they are of type `T` once loaded, and `n` is at most [`BLOCK`].
    pub(super) unsafe fn read<'b, T: Element>(&self, start: usize, n: usize, buffer: &'b mut Buffer) -> &'b mut [T] {
        debug_assert!(n <= BLOCK, "{n} elements are no block");
        let from = self.address.wrapping_add(start * self.size);
        // SAFETY: as the caller vouches; the buffer has room for a block, and is filled before it is lent.
        unsafe {
            match self.load {
                Some(load) => load.0.run(from, buffer.address(), n),
                None => std::ptr::copy_nonoverlapping(from, buffer.address(), n * self.size),
            }
            std::slice::from_raw_parts_mut(buffer.address().cast(), n)
        }
    }
}
