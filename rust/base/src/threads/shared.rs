//! Memory that the chunks of a region write to, each its own part.

use std::marker::PhantomData;
use std::ops::Range;
use std::slice;

use super::{parallel_for, slot, slots};

/// A mutable slice of which several threads write disjoint parts.
#[derive(Debug)]
pub struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for `&mut [T]` whose parts go to other threads, which needs `T: Send`; that no part is given out twice is the duty of
// those who call the unsafe methods.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above: a shared reference gives access to the elements only through unsafe methods.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Takes `slice` for as long as its parts are written.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements of `range`.
    ///
    /// # Safety
    /// While the result is alive, nobody else uses an element of `range`.
    ///
    /// # Panics
    /// If `range` does not lie inside the slice.
    #[allow(clippy::mut_from_ref)] // That is its purpose; see the safety section.
    pub unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} does not lie in 0..{}", self.len);
        // SAFETY: the range lies inside the slice that `self` borrows mutably for 'a, and the caller lets nobody else use it.
        unsafe { slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The first element's address, for kernels that write in strides.
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
}

/// Runs `f(chunk, part)` over `out` cut into parts of `len` elements, of which the last may be shorter.
///
/// ```
/// let mut squares = [0; 10];
/// base::threads::parallel_chunks_mut(&mut squares, 4, &|chunk, part| {
///     for (i, x) in part.iter_mut().enumerate() {
///         *x = (chunk * 4 + i).pow(2);
///     }
/// });
/// assert_eq!(squares[9], 81);
/// ```
pub fn parallel_chunks_mut<T: Send>(out: &mut [T], len: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let len = len.max(1);
    let out = SharedMut::new(out);
    parallel_for(out.len().div_ceil(len), &|chunk| {
        let start = chunk * len;
        // SAFETY: the ranges of different chunks do not overlap, and a region runs each chunk once.
        f(chunk, unsafe { out.part(start..start + len.min(out.len() - start)) });
    });
}

/// Runs `f(scratch, chunk)` for each chunk, with a part of `len` elements of `scratch` that no other running chunk has.
///
/// What a chunk finds in its part is left over from others.
///
/// # Panics
/// If `scratch` is shorter than `len` times [`slots`].
pub fn parallel_with_scratch<T: Send>(scratch: &mut [T], len: usize, chunks: usize, f: &(dyn Fn(&mut [T], usize) + Sync)) {
    let need = len.checked_mul(slots());
    assert!(need.is_some_and(|need| need <= scratch.len()), "{} elements are not {len} for each of {} slots", scratch.len(), slots());
    let scratch = SharedMut::new(scratch);
    parallel_for(chunks, &|chunk| {
        let start = slot() * len;
        // SAFETY: chunks that run at the same time have different slots, so their parts do not overlap; a region inside of `f` uses slots
        // of its own and not those of this region.
        f(unsafe { scratch.part(start..start + len) }, chunk);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_a_slice_once() {
        for len in [0, 1, 5, 64, 1000] {
            for part in [0, 1, 3, 64, 5000] {
                let mut out = vec![0; len];
                parallel_chunks_mut(&mut out, part, &|chunk, values| {
                    for (i, v) in values.iter_mut().enumerate() {
                        *v += chunk * part.max(1) + i + 1;
                    }
                });
                assert!(out.iter().copied().eq(1..=len), "{len} {part}");
            }
        }
    }

    #[test]
    fn scratch_belongs_to_one_chunk_at_a_time() {
        let mut scratch = vec![0u64; 8 * slots()];
        parallel_with_scratch(&mut scratch, 8, 300, &|scratch, chunk| {
            scratch.fill(chunk as u64);
            std::thread::yield_now();
            assert_eq!(scratch, [chunk as u64; 8]);
        });
    }

    #[test]
    #[should_panic(expected = "does not lie in 0..3")]
    fn a_part_outside_is_refused() {
        let mut data = [1, 2, 3];
        // SAFETY: nobody else uses the data.
        unsafe { SharedMut::new(&mut data).part(2..4) };
    }
}
