//! External data: elements of a tensor that are a range of another file, which must lie in the model's folder.

use std::io::ErrorKind::NotFound;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use base::{Result, bail, ensure, error};

use crate::tensor::TensorProto;

/// Where the elements of a tensor are, as the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalData<'t> {
    /// Path of the file relative to the model's folder.
    pub location: &'t str,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, if the model says it.
    pub length: Option<u64>,
    /// SHA-1 digest of the file, if the model says it. Nobody checks it, as in ONNX Runtime.
    pub checksum: Option<&'t str>,
}

impl<'t> ExternalData<'t> {
    /// What the entries of `tensor.external_data` say; entries of other keys are ignored.
    ///
    /// # Errors
    /// `Fail` if the location is missing, or the offset or length is no number.
    pub fn of(tensor: &'t TensorProto<'_>) -> Result<Self> {
        let mut data = Self { location: "", offset: 0, length: None, checksum: None };
        for entry in &tensor.external_data {
            let (key, value) = (entry.key.as_str(), entry.value.as_str());
            let number =
                || value.parse().map_err(|_| error!(Fail, "tensor '{}': external data {key} '{value}' is no number of bytes", tensor.name));
            match key {
                "location" => data.location = value,
                "offset" => data.offset = number()?,
                "length" => data.length = Some(number()?),
                "checksum" => data.checksum = Some(value),
                _ => {}
            }
        }
        ensure!(!data.location.is_empty(), Fail, "tensor '{}': external data has no location", tensor.name);
        Ok(data)
    }

    /// The bytes of `tensor` in a file of `file_size` bytes.
    ///
    /// # Errors
    /// `Fail` if the length is not what type and shape need, or the file ends before the range does.
    pub fn range(&self, tensor: &TensorProto<'_>, file_size: u64) -> Result<Range<u64>> {
        let needed = tensor.byte_size()? as u64;
        let (name, location, offset) = (&tensor.name, self.location, self.offset);
        let length = self.length.unwrap_or(needed);
        ensure!(
            length == needed,
            Fail,
            "tensor '{name}': external data in '{location}' has length {length} where type and shape need {needed}"
        );
        match offset.checked_add(length) {
            Some(end) if end <= file_size => Ok(offset..end),
            _ => bail!(
                Fail,
                "tensor '{name}': external data at offset {offset} of length {length} does not lie in '{location}' of {file_size} bytes"
            ),
        }
    }
}

/// A file and the bytes of it that a tensor's elements are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRange {
    /// The file, all links resolved.
    pub path: PathBuf,
    /// First byte.
    pub offset: u64,
    /// Number of bytes, all within the file.
    pub length: u64,
}

/// The folder that external data is looked for in, and may not lead out of.
///
/// A file is in the folder if its real place, all links resolved, is below the folder of the model as it was given, or below the
/// folder of the file that the model really is. Caches that keep files under their digest and link to them from a folder of names
/// satisfy the second rule: the links of model and data lead to one place. A link, or `..`, to anywhere else satisfies neither.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    /// As given, for looking up and for messages.
    given: PathBuf,
    /// Real places of allowed folders.
    allowed: Vec<PathBuf>,
}

impl ModelFolder {
    /// The folder of a model that came as bytes, or a folder a caller named for its data.
    ///
    /// # Errors
    /// `Fail` if there is no such folder.
    pub fn new(folder: &Path) -> Result<Self> {
        let given = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() };
        let real = given.canonicalize().map_err(|e| error!(Fail, "model folder '{}': {e}", given.display()))?;
        Ok(Self { given, allowed: vec![real] })
    }

    /// The folder of the model file `model`.
    ///
    /// # Errors
    /// `NoSuchFile` if there is no such file.
    pub fn of_model(model: &Path) -> Result<Self> {
        let real = model.canonicalize().map_err(|e| error!(NoSuchFile, "model '{}': {e}", model.display()))?;
        let mut folder = Self::new(model.parent().unwrap_or(Path::new("")))?;
        folder.allowed.extend(real.parent().map(Path::to_owned));
        Ok(folder)
    }

    /// The real path of the file at `location`, for the data of the tensor named `tensor`.
    ///
    /// # Errors
    /// `Fail` if the location is empty or absolute, if no regular file is there, or if it is outside the folder.
    pub fn resolve(&self, tensor: &str, location: &str) -> Result<PathBuf> {
        let fail = |what: String| error!(Fail, "External data path validation failed for tensor '{tensor}': {what}");
        check_relative(location).map_err(|what| fail(format!("location '{location}' {what}")))?;
        let path = self.given.join(location);
        let real = path.canonicalize().map_err(|e| match e.kind() {
            NotFound => fail(format!("location '{location}' does not exist in folder '{}'", self.given.display())),
            _ => fail(format!("'{}': {e}", path.display())),
        })?;
        if !self.allowed.iter().any(|folder| real.starts_with(folder)) {
            let (real, folder) = (real.display(), self.given.display());
            return Err(fail(format!("location '{location}' is really '{real}', outside the model folder '{folder}'")));
        }
        if !real.is_file() {
            return Err(fail(format!("location '{location}' is no regular file in folder '{}'", self.given.display())));
        }
        Ok(real)
    }

    /// Where the elements of `tensor` are, checked against the size of the file.
    ///
    /// # Errors
    /// As [`ExternalData::of`], [`resolve`](ModelFolder::resolve) and [`ExternalData::range`].
    pub fn locate(&self, tensor: &TensorProto<'_>) -> Result<DataRange> {
        let data = ExternalData::of(tensor)?;
        let path = self.resolve(&tensor.name, data.location)?;
        let size = path.metadata().map_err(|e| error!(Fail, "tensor '{}': '{}': {e}", tensor.name, path.display()))?.len();
        let range = data.range(tensor, size)?;
        Ok(DataRange { path, offset: range.start, length: range.end - range.start })
    }
}

/// Whether `location` is a path below some folder in form, on this system or another; else what is wrong with it.
pub(crate) fn check_relative(location: &str) -> Result<(), &'static str> {
    let bytes = location.as_bytes();
    let drive = matches!(bytes, [letter, b':', ..] if letter.is_ascii_alphabetic());
    if location.is_empty() {
        Err("is empty")
    } else if drive || location.starts_with(['/', '\\']) || Path::new(location).is_absolute() {
        Err("is absolute, but must be relative to the model folder")
    } else if !Path::new(location).components().any(|c| matches!(c, Component::Normal(_))) {
        Err("names no file")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StringStringEntryProto;
    use std::fs;

    fn tensor(entries: &[(&'static str, &'static str)]) -> TensorProto<'static> {
        TensorProto {
            name: "w".into(),
            data_type: Some(1),
            dims: vec![2, 2],
            data_location: Some(1),
            external_data: entries.iter().map(|&(k, v)| StringStringEntryProto::new(k, v)).collect(),
            ..Default::default()
        }
    }

    /// A folder `models` with `w.bin` of 32 bytes and a link out, beside `secret.bin`.
    fn tree() -> (tempfile::TempDir, ModelFolder) {
        let root = tempfile::tempdir().unwrap();
        let models = root.path().join("models");
        fs::create_dir_all(models.join("sub")).unwrap();
        for file in ["models/m.onnx", "models/w.bin", "models/sub/v.bin", "secret.bin"] {
            fs::write(root.path().join(file), [7; 32]).unwrap();
        }
        let folder = ModelFolder::of_model(&models.join("m.onnx")).unwrap();
        (root, folder)
    }

    fn refuse(folder: &ModelFolder, location: &str, text: &str) {
        let error = folder.resolve("w", location).unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::Fail);
        assert!(error.detail().starts_with("External data path validation failed for tensor 'w': "), "{error}");
        assert!(error.detail().contains(text), "{error}");
    }

    #[test]
    fn finds_files_below_the_folder() {
        let (root, folder) = tree();
        let found = folder.locate(&tensor(&[("location", "w.bin"), ("offset", "16"), ("length", "16"), ("other", "x")])).unwrap();
        let path = root.path().canonicalize().unwrap().join("models/w.bin");
        assert_eq!(found, DataRange { path, offset: 16, length: 16 });
        assert!(folder.resolve("w", "sub/v.bin").is_ok());
        assert!(folder.resolve("w", "sub/../w.bin").is_ok());
        assert!(ModelFolder::new(&root.path().join("models")).unwrap().resolve("w", "w.bin").is_ok());
    }

    #[test]
    fn refuses_ways_out() {
        let (root, folder) = tree();
        refuse(&folder, "../secret.bin", "outside the model folder");
        refuse(&folder, "sub/../../secret.bin", "outside the model folder");
        refuse(&folder, root.path().join("secret.bin").to_str().unwrap(), "is absolute");
        refuse(&folder, "C:\\w.bin", "is absolute");
        refuse(&folder, "c:w.bin", "is absolute");
        refuse(&folder, "\\\\host\\share", "is absolute");
        refuse(&folder, "", "is empty");
        refuse(&folder, ".", "names no file");
        refuse(&folder, "..", "names no file");
        refuse(&folder, "sub", "no regular file");
        refuse(&folder, "absent.bin", "does not exist");
        refuse(&folder, "../absent.bin", "does not exist");
        refuse(&folder, "a\0b", "models");
    }

    #[test]
    #[cfg(unix)]
    fn links_may_not_lead_out() {
        use std::os::unix::fs::symlink;
        let (root, folder) = tree();
        symlink("../secret.bin", root.path().join("models/link.bin")).unwrap();
        symlink("..", root.path().join("models/up")).unwrap();
        symlink("w.bin", root.path().join("models/inner.bin")).unwrap();
        symlink("loop", root.path().join("models/loop")).unwrap();
        refuse(&folder, "link.bin", "outside the model folder");
        refuse(&folder, "up/secret.bin", "outside the model folder");
        refuse(&folder, "loop", "loop");
        assert!(folder.resolve("w", "inner.bin").is_ok());
        assert!(folder.resolve("w", "up/models/w.bin").is_ok());
    }

    #[test]
    #[cfg(unix)]
    fn caches_of_links_work() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let (blobs, names) = (root.path().join("blobs"), root.path().join("snapshots/x"));
        fs::create_dir_all(&blobs).unwrap();
        fs::create_dir_all(&names).unwrap();
        for file in ["blobs/abc", "blobs/def", "secret.bin"] {
            fs::write(root.path().join(file), [1; 16]).unwrap();
        }
        symlink("../../blobs/abc", names.join("model.onnx")).unwrap();
        symlink("../../blobs/def", names.join("model.onnx.data")).unwrap();
        symlink("../../secret.bin", names.join("out.data")).unwrap();
        let folder = ModelFolder::of_model(&names.join("model.onnx")).unwrap();
        let found = folder.locate(&tensor(&[("location", "model.onnx.data")])).unwrap();
        assert_eq!(found.path, blobs.canonicalize().unwrap().join("def"));
        refuse(&folder, "out.data", "outside the model folder");
        refuse(&folder, "../../secret.bin", "outside the model folder");
        let by_folder = ModelFolder::new(&names).unwrap();
        refuse(&by_folder, "model.onnx.data", "outside the model folder");
    }

    #[test]
    fn ranges_are_checked() {
        let range = |entries: &[_], size| {
            let tensor = tensor(entries);
            let data = ExternalData::of(&tensor)?;
            data.range(&tensor, size)
        };
        assert_eq!(range(&[("location", "w"), ("offset", "4")], 20).unwrap(), 4..20);
        for (offset, size) in [("5", 20), ("18446744073709551615", 20), ("0", 15)] {
            let error = range(&[("location", "w"), ("offset", offset)], size).unwrap_err();
            assert!(error.detail().contains("does not lie in 'w'"), "{error}");
        }
        let error = range(&[("location", "w"), ("length", "8")], 20).unwrap_err();
        assert_eq!(error.detail(), "tensor 'w': external data in 'w' has length 8 where type and shape need 16");
        for bad in ["", "x", "-1", " 4", "18446744073709551616"] {
            assert!(range(&[("location", "w"), ("offset", bad)], 20).is_err(), "{bad}");
            assert!(range(&[("location", "w"), ("length", bad)], 20).is_err(), "{bad}");
        }
        assert_eq!(range(&[], 20).unwrap_err().detail(), "tensor 'w': external data has no location");
    }

    #[test]
    fn missing_models_and_folders_are_errors() {
        let (root, _) = tree();
        assert!(ModelFolder::new(&root.path().join("none")).is_err());
        let error = ModelFolder::of_model(&root.path().join("none.onnx")).unwrap_err();
        assert_eq!(error.kind(), base::ErrorKind::NoSuchFile);
        assert!(ModelFolder::new(Path::new("")).is_ok());
    }
}
