//! NumPy's `.npz`: arrays by name, each an `.npy` in a zip archive.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use base::{DType, Result, Tensor, ensure, error};
use zip::ZipArchive;

use super::npy;

/// An open `.npz` file.
pub(crate) struct Npz {
    archive: ZipArchive<BufReader<File>>,
    /// The arrays' names.
    pub(crate) names: Vec<String>,
}

impl Npz {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// `InvalidArgument` when it is no zip archive, or one without arrays.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let archive = ZipArchive::new(BufReader::new(super::feeds::open(path)?));
        let archive = archive.map_err(|e| error!(InvalidArgument, "{} is no .npz file: {e}", path.display()))?;
        let names: Vec<String> = archive.file_names().filter_map(|n| Some(n.ok()?.strip_suffix(".npy")?.to_owned())).collect();
        ensure!(!names.is_empty(), InvalidArgument, "{} has no arrays", path.display());
        Ok(Self { archive, names })
    }

    /// The array called `name`, which is one of [`names`](Self::names).
    ///
    /// # Errors
    /// As [`npy::read`].
    pub(crate) fn read(&mut self, name: &str, wanted: Option<DType>) -> Result<Tensor> {
        let entry = self.archive.by_name(&format!("{name}.npy"));
        npy::read(entry.map_err(|e| error!(InvalidArgument, "array '{name}' cannot be read: {e}"))?, wanted)
    }
}
