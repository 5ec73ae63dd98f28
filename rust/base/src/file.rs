//! Files as buffers: mapped, or read.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use memmap2::MmapOptions;

use crate::{Buffer, Result, error};

/// The whole content of the file at `path`, mapped into memory if `map`, else read.
///
/// A map is private and read-only, and its length is that of the file now. The file must not be shortened while it is mapped:
/// that is the caller's promise when it asks for a map (see `docs/security.md`).
///
/// # Errors
/// `NoSuchFile` when there is none; `Fail` when it cannot be read.
pub fn open(path: &Path, map: bool) -> Result<Arc<Buffer>> {
    let name = path.display();
    let mut file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => error!(NoSuchFile, "Load model from {name} failed:Load model {name} failed. File doesn't exist"),
        _ => error!(Fail, "cannot open {name}: {e}"),
    })?;
    let failed = |e: std::io::Error| error!(Fail, "cannot read {name}: {e}");
    let length = file.metadata().map_err(failed)?.len();
    let length = usize::try_from(length).map_err(|_| error!(Fail, "{name} has {length} bytes, too many for this machine"))?;
    if !map || length == 0 {
        let mut buffer = Buffer::zeroed(length)?;
        file.read_exact(buffer.bytes_mut().unwrap_or_default()).map_err(failed)?;
        return Ok(Arc::new(buffer));
    }
    // SAFETY: the map is private and read-only; that the file is not shortened meanwhile is promised by whoever asks for a map.
    let map = unsafe { MmapOptions::new().len(length).map_copy_read_only(&file) }.map_err(failed)?;
    Ok(Arc::new(Buffer::mapped(Arc::new(map), 0..length)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_read_are_the_same() {
        let path = std::env::temp_dir().join(format!("ort_rs_file_{}", std::process::id()));
        std::fs::write(&path, b"weights").unwrap();
        for map in [true, false] {
            assert_eq!(open(&path, map).unwrap().bytes().unwrap(), b"weights");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(open(&path, true).unwrap_err().kind(), crate::ErrorKind::NoSuchFile);
    }
}
