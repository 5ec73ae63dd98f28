//! Bytes of a file that do not lie as their type needs them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::buffer::Heap;
use crate::{Buffer, Result, ensure};

/// Bytes of a file that do not lie as their type needs them: copied when somebody reads them as elements, not before.
///
/// Whoever reads weights once, to pack them, reads a copy that goes when the packing is done (`Tensor::resident`); so it costs no memory
/// that a file has its weights at odd addresses.
pub struct Stored {
    file: Arc<Buffer>,
    range: Range<usize>,
    copy: OnceLock<Heap>,
}

impl Stored {
    pub(crate) fn new(file: Arc<Buffer>, range: Range<usize>) -> Result<Self> {
        let len = file.bytes().map_or(0, <[u8]>::len);
        ensure!(range.start <= range.end && range.end <= len, InvalidProtobuf, "bytes {range:?} lie outside a file of {len} bytes");
        Ok(Self { file, range, copy: OnceLock::new() })
    }

    /// The bytes where the file has them, aligned to nothing.
    pub fn in_file(&self) -> &[u8] {
        // `new` checked that the file is the host's and holds the range.
        self.file.bytes().and_then(|bytes| bytes.get(self.range.clone())).unwrap_or_default()
    }

    /// The bytes aligned, copied at the first call and kept from then on.
    pub(crate) fn aligned(&self) -> &Heap {
        self.copy.get_or_init(|| {
            let copy = Heap::copy_of(self.in_file());
            self.release();
            copy
        })
    }

    /// The copy, if somebody has asked for it.
    pub(crate) fn copied(&self) -> Option<&Heap> {
        self.copy.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    pub(crate) fn release(&self) {
        self.file.release(self.range.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::{Buffer, DType, Layout, Tensor};
    use std::sync::Arc;

    fn odd_file() -> Arc<Buffer> {
        let bytes: Vec<u8> = std::iter::once(7).chain([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes())).collect();
        Arc::new(Buffer::copy_of(&bytes).unwrap())
    }

    #[test]
    fn elements_are_copied_when_they_are_read() {
        let buffer = Arc::new(Buffer::stored(odd_file(), 1..9).unwrap());
        let t = Tensor::new(DType::F32, [2].into(), Layout::Dense, buffer.clone(), 0).unwrap();
        let Buffer::Stored(stored) = &*buffer else { panic!("{buffer:?}") };
        assert_eq!(t.unaligned_bytes().unwrap(), [1.5f32, -2.0].map(f32::to_le_bytes).concat());
        assert_eq!((t.len(), t.as_ref().shape(), stored.copied().is_none()), (2, &[2][..], true));
        assert_eq!(t.resident().unwrap().slice::<f32>().unwrap(), [1.5, -2.0]);
        assert!(stored.copied().is_none());
        assert_eq!(t.slice::<f32>().unwrap(), [1.5, -2.0]);
        assert_eq!(t.as_ref().bytes().unwrap(), stored.in_file());
        assert!(stored.copied().is_some());
        assert_eq!(t.resident().unwrap().address(), t.address());
    }

    #[test]
    fn ranges_must_lie_in_the_file() {
        assert!(Buffer::stored(odd_file(), 1..10).is_err());
        assert!(Buffer::stored(odd_file(), 9..9).is_ok());
    }

    #[test]
    fn released_pages_are_read_again() {
        let path = std::env::temp_dir().join(format!("ort_rs_release_{}", std::process::id()));
        let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &content).unwrap();
        let file = crate::file::open(&path, true).unwrap();
        file.release(5000..90_000);
        file.release(0..content.len());
        file.release(399_999..400_001);
        assert_eq!(file.bytes().unwrap(), content);
        std::fs::remove_file(&path).unwrap();
    }
}
