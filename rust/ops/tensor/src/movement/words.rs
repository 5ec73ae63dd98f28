//! Elements as plain words of their size.

/// A word that stands for any element of its size.
///
/// # Safety
/// Every bit pattern is valid, and the alignment is that which tensors of elements of that size have.
pub(crate) unsafe trait Word: Copy + Default + Send + Sync {}

// SAFETY: plain integers; tensors align elements to their size, but at most to 8 bytes.
unsafe impl Word for u8 {}
// SAFETY: as above.
unsafe impl Word for u16 {}
// SAFETY: as above.
unsafe impl Word for u32 {}
// SAFETY: as above.
unsafe impl Word for u64 {}
// SAFETY: as above; elements of 16 bytes are aligned to 8.
unsafe impl Word for [u64; 2] {}

/// The elements of a tensor, given as its bytes.
///
/// # Panics
/// If the bytes are not aligned for `T`, which those of a tensor with elements of that size are.
pub(crate) fn words<T: Word>(bytes: &[u8]) -> &[T] {
    // SAFETY: every bit pattern is a valid `T`.
    let (before, words, after) = unsafe { bytes.align_to() };
    assert!(before.is_empty() && after.is_empty(), "{} bytes are no words of {}", bytes.len(), size_of::<T>());
    words
}

/// As [`words`], for writing.
///
/// # Panics
/// As [`words`].
pub(crate) fn words_mut<T: Word>(bytes: &mut [u8]) -> &mut [T] {
    // SAFETY: every bit pattern is a valid `T`, and every `T` is valid bytes.
    let (before, words, after) = unsafe { bytes.align_to_mut() };
    assert!(before.is_empty() && after.is_empty(), "bytes are no words of {}", size_of::<T>());
    words
}
