//! The storage of tensors.

use std::alloc::{Layout as Alloc, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use memmap2::Mmap;

use crate::stored::Stored;
use crate::{DeviceBuffer, Memory, Result, Strings, ensure, ensure_room, error};

/// Alignment of every buffer that is allocated here, in bytes: a cache line, and the widest vector.
pub const ALIGNMENT: usize = 64;

/// The storage of tensors. It is written only while nobody else can see it.
pub enum Buffer {
    /// Bytes of our own.
    Heap(Heap),
    /// A range of a mapped file.
    Map(Arc<Mmap>, Range<usize>),
    /// A range of a file that is copied when it is read as elements, since it does not lie as its type needs it.
    Stored(Stored),
    /// Bytes that somebody else owns and keeps alive.
    Foreign(Foreign),
    /// The elements of a string tensor.
    Strings(Strings),
    /// Bytes that the host cannot touch.
    Device(Box<dyn DeviceBuffer>),
}

impl Buffer {
    /// `len` bytes of zeros.
    pub fn zeroed(len: usize) -> Result<Self> {
        Heap::new(len, true).map(Self::Heap)
    }

    /// `len` bytes of any content, for whoever writes all of them before anyone reads.
    pub fn uninit(len: usize) -> Result<Self> {
        Heap::new(len, false).map(Self::Heap)
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut heap = Heap::new(bytes.len(), false)?;
        heap.bytes_mut().copy_from_slice(bytes);
        Ok(Self::Heap(heap))
    }

    /// The bytes `range` of `file`, to be copied when they are read as elements.
    ///
    /// # Errors
    /// `InvalidProtobuf` when the range does not lie in the file.
    pub fn stored(file: Arc<Buffer>, range: Range<usize>) -> Result<Self> {
        Stored::new(file, range).map(Self::Stored)
    }

    /// Lets go of the memory that the bytes `range` take, if they are a file's: they are read from it anew when somebody needs them.
    pub fn release(&self, range: Range<usize>) {
        match self {
            #[cfg(unix)]
            Self::Map(map, part) => {
                let (start, end) = (part.start.saturating_add(range.start), part.start.saturating_add(range.end).min(part.end));
                // SAFETY: the map is private and never written, so pages that are dropped come back with the same bytes. Advice that is
                // refused changes nothing.
                _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end.saturating_sub(start)) };
            }
            Self::Stored(stored) => stored.release(),
            _ => {}
        }
    }

    /// The bytes `range` of a mapped file.
    ///
    /// # Errors
    /// `InvalidProtobuf` when the range does not lie in the file.
    pub fn mapped(map: Arc<Mmap>, range: Range<usize>) -> Result<Self> {
        ensure!(
            range.start <= range.end && range.end <= map.len(),
            InvalidProtobuf,
            "bytes {range:?} lie outside a file of {} bytes",
            map.len()
        );
        Ok(Self::Map(map, range))
    }

    /// The memory it lies in.
    pub fn memory(&self) -> Memory {
        match self {
            Self::Device(d) => d.memory(),
            _ => Memory::HOST,
        }
    }

    /// The address of its first byte in its memory; dangling for strings.
    pub fn address(&self) -> *const u8 {
        match self {
            Self::Heap(h) => h.ptr.as_ptr(),
            // `range.start` lies in the map: `mapped` checked it.
            Self::Map(map, range) => map[range.start..].as_ptr(),
            Self::Stored(s) => s.aligned().ptr.as_ptr(),
            Self::Foreign(f) => f.ptr,
            Self::Strings(_) => NonNull::dangling().as_ptr(),
            Self::Device(d) => std::ptr::without_provenance(d.address()),
        }
    }

    /// Its length in bytes; 0 for strings.
    pub fn len(&self) -> usize {
        match self {
            Self::Heap(h) => h.len,
            Self::Map(_, range) => range.len(),
            Self::Stored(s) => s.len(),
            Self::Foreign(f) => f.len,
            Self::Strings(_) => 0,
            Self::Device(d) => d.len(),
        }
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes, if they are the host's.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Heap(h) => Some(h.bytes()),
            Self::Map(map, range) => Some(&map[range.clone()]),
            Self::Stored(s) => Some(s.aligned().bytes()),
            Self::Foreign(f) => Some(f.bytes()),
            Self::Strings(_) | Self::Device(_) => None,
        }
    }

    /// Its bytes for writing, if they are our own.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Self::Heap(h) => Some(h.bytes_mut()),
            _ => None,
        }
    }

    /// Its strings, if it is the storage of a string tensor.
    pub fn strings(&self) -> Option<&Strings> {
        match self {
            Self::Strings(s) => Some(s),
            _ => None,
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Heap(_) => "heap",
            Self::Map(..) => "map",
            Self::Stored(_) => "stored",
            Self::Foreign(_) => "foreign",
            Self::Strings(_) => "strings",
            Self::Device(_) => "device",
        };
        write!(f, "{kind} buffer of {} bytes", self.len())
    }
}

/// Bytes of our own, aligned to [`ALIGNMENT`].
pub struct Heap {
    ptr: NonNull<u8>,
    len: usize,
    /// What was allocated, if anything: where it begins, and how.
    block: Option<(NonNull<u8>, Alloc)>,
}

// SAFETY: a `Heap` owns its bytes alone, as a `Box<[u8]>` does.
unsafe impl Send for Heap {}
// SAFETY: shared access only reads.
unsafe impl Sync for Heap {}

impl Heap {
    fn new(len: usize, zeroed: bool) -> Result<Self> {
        let layout = Self::layout(len, zeroed).ok_or_else(|| error!(Fail, "cannot allocate {len} bytes"))?;
        if len == 0 {
            return Ok(Self { ptr: NonNull::<Aligned>::dangling().cast(), len, block: None });
        }
        ensure_room(len)?;
        // SAFETY: the layout is not of size zero.
        let start = unsafe { if zeroed { alloc_zeroed(layout) } else { alloc(layout) } };
        let start = NonNull::new(start).ok_or_else(|| error!(Fail, "Failed to allocate memory for requested buffer of size {len}"))?;
        // SAFETY: the layout has room for what alignment skips.
        let ptr = unsafe { start.add(start.align_offset(ALIGNMENT)) };
        Ok(Self { ptr, len, block: Some((start, layout)) })
    }

    /// A copy of bytes that are in memory already; what cannot be had ends the process, as for any small allocation.
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let Ok(mut heap) = Self::new(bytes.len(), false) else {
            handle_alloc_error(Self::layout(bytes.len(), false).unwrap_or(Alloc::new::<Aligned>()))
        };
        heap.bytes_mut().copy_from_slice(bytes);
        heap
    }

    fn layout(len: usize, zeroed: bool) -> Option<Alloc> {
        if !zeroed || len < LARGE {
            return Alloc::from_size_align(len, ALIGNMENT).ok();
        }
        // The system has zeroed pages at hand, but takes no wish for their alignment: asked for it, the library would write every zero
        // itself.
        Alloc::from_size_align(len.checked_add(ALIGNMENT)?, align_of::<usize>()).ok()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `ptr` is good for `len` bytes, which the creator has filled before sharing them.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes for writing.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: `ptr` is good for `len` bytes and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// From so many bytes on, allocators hand out pages of the system and give them back at once: the most that glibc keeps is 32 MiB.
const LARGE: usize = 33 << 20;

#[repr(align(64))]
struct Aligned;

impl Drop for Heap {
    fn drop(&mut self) {
        if let Some((start, layout)) = self.block {
            // SAFETY: the block came from `alloc` with this layout.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

/// Bytes that somebody else owns; the owner is kept until the buffer is dropped.
pub struct Foreign {
    ptr: *const u8,
    len: usize,
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: the bytes are only read, and `new` demands that they may be read from any thread.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

impl Foreign {
    /// `len` bytes at `ptr`, alive as long as `owner`.
    ///
    /// # Safety
    /// The bytes are initialized, stay where they are and may be read from any thread until `owner` is dropped.
    /// Whoever owns them does not write while a run reads them.
    pub unsafe fn new(ptr: *const u8, len: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        let ptr = if len == 0 { NonNull::<Aligned>::dangling().as_ptr().cast_const().cast() } else { ptr };
        Self { ptr, len, _owner: owner }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `new` demands that the bytes are good while the owner lives.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_is_aligned_even_when_empty() {
        for len in [0, 1, 63, 64, 1000] {
            let b = Buffer::zeroed(len).unwrap();
            assert_eq!(b.address() as usize % ALIGNMENT, 0);
            assert_eq!(b.bytes().unwrap(), vec![0u8; len]);
        }
    }

    #[test]
    fn absurd_sizes_are_errors() {
        assert!(Buffer::zeroed(usize::MAX).is_err());
        assert!(Buffer::uninit(isize::MAX as usize - 4096).is_err());
    }

    #[test]
    fn foreign_keeps_its_owner() {
        let owner = Arc::new(vec![1u8, 2, 3]);
        // SAFETY: the vector is not touched while its owner is held.
        let b = Buffer::Foreign(unsafe { Foreign::new(owner.as_ptr(), owner.len(), Box::new(owner.clone())) });
        assert_eq!(Arc::strong_count(&owner), 2);
        assert_eq!(b.bytes().unwrap(), [1, 2, 3]);
        drop(b);
        assert_eq!(Arc::strong_count(&owner), 1);
    }
}
