//! Memory for packed operands.

use base::{Result, ensure};

/// Alignment of packed panels: a cache line, and the widest vector.
pub(crate) const ALIGN: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; ALIGN]);

/// Bytes on a line boundary, zero at first.
pub(crate) struct Aligned(Vec<Line>);

impl Aligned {
    /// Zeros for `len` values of `T`.
    ///
    /// # Errors
    /// `Fail` when there is no memory for them.
    pub(crate) fn zeroed<T>(len: usize) -> Result<Self> {
        let lines = len.checked_mul(size_of::<T>()).map(|bytes| bytes.div_ceil(ALIGN));
        let mut v = Vec::new();
        let reserved = lines.is_some_and(|n| v.try_reserve_exact(n).is_ok());
        ensure!(reserved, Fail, "no memory for a packed matrix of {len} elements");
        v.resize(lines.unwrap_or(0), Line([0; ALIGN]));
        Ok(Self(v))
    }

    pub(crate) fn as_ptr<T>(&self) -> *const T {
        self.0.as_ptr().cast()
    }

    pub(crate) fn as_mut_ptr<T>(&mut self) -> *mut T {
        self.0.as_mut_ptr().cast()
    }

    /// The bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * ALIGN
    }
}

/// A pointer that several threads use, each for elements of its own.
pub(crate) struct Shared<T>(pub(crate) *mut T);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer; a method, so that closures capture the wrapper.
    #[inline(always)]
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}

// SAFETY: whoever shares the pointer gives each thread elements of its own.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

/// A pointer that several threads only read through.
pub(crate) struct SharedConst<T>(pub(crate) *const T);

impl<T> Clone for SharedConst<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedConst<T> {}

impl<T> SharedConst<T> {
    /// The pointer; a method, so that closures capture the wrapper.
    #[inline(always)]
    pub(crate) fn get(self) -> *const T {
        self.0
    }
}

// SAFETY: the elements are only read while the pointer is shared.
unsafe impl<T: Sync> Send for SharedConst<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for SharedConst<T> {}

/// Scratch memory being cut into pieces: the caller's where it is long enough, else our own.
pub(crate) struct Scratch<'a> {
    rest: &'a mut [u8],
}

impl<'a> Scratch<'a> {
    /// Scratch of `needed` bytes (as [`padded`] counts them) in `given`, or in `own` if `given` is too short.
    pub(crate) fn new(given: &'a mut [u8], own: &'a mut Vec<u8>, needed: usize) -> Result<Self> {
        if given.len() >= needed {
            return Ok(Self { rest: given });
        }
        ensure!(own.try_reserve_exact(needed).is_ok(), Fail, "no memory for {needed} bytes of scratch");
        own.resize(needed, 0);
        Ok(Self { rest: own })
    }

    /// Cuts off room for `len` values of `T`, on a line boundary.
    pub(crate) fn take<T>(&mut self, len: usize) -> Result<*mut T> {
        if len == 0 {
            return Ok(std::ptr::without_provenance_mut(ALIGN));
        }
        let bytes = len * size_of::<T>();
        let skip = self.rest.as_ptr().align_offset(ALIGN);
        ensure!(skip.saturating_add(bytes) <= self.rest.len(), Fail, "scratch of {} bytes is too short", self.rest.len());
        let (piece, rest) = std::mem::take(&mut self.rest)[skip..].split_at_mut(bytes);
        self.rest = rest;
        Ok(piece.as_mut_ptr().cast())
    }
}

/// Bytes of scratch that `len` values of `T` take, with room to align them.
pub(crate) fn padded<T>(len: usize) -> usize {
    if len == 0 { 0 } else { len.saturating_mul(size_of::<T>()).saturating_add(ALIGN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_aligned_and_apart() {
        let mut given = vec![0u8; padded::<f32>(5) + padded::<u16>(7)];
        let mut own = Vec::new();
        let needed = given.len();
        let mut s = Scratch::new(&mut given, &mut own, needed).unwrap();
        let (a, b) = (s.take::<f32>(5).unwrap(), s.take::<u16>(7).unwrap());
        assert_eq!((a.align_offset(ALIGN), b.align_offset(ALIGN)), (0, 0));
        assert!(b as usize - a as usize >= 20);
        assert!(s.take::<f64>(100).is_err());
    }

    #[test]
    fn falls_back_to_its_own() {
        let (mut given, mut own) = ([0u8; 3], Vec::new());
        assert!(Scratch::new(&mut given, &mut own, 1000).unwrap().take::<f64>(100).is_ok());
        assert!(Aligned::zeroed::<f64>(usize::MAX / 2).is_err());
    }
}
