//! The two formats of model files, and which one is meant.

use std::collections::BTreeMap;
use std::path::Path;

/// The format of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// ONNX protobuf.
    Onnx,
    /// ONNX Runtime's own.
    Ort,
}

impl Format {
    /// The format of a model that is loaded: what `session.load_model_format` says, else the extension of the file, else its content.
    pub(crate) fn to_load(path: Option<&Path>, bytes: &[u8], config: &BTreeMap<String, String>) -> Self {
        let said = Self::said(config, "session.load_model_format").or_else(|| Self::of_extension(path?));
        said.unwrap_or(if proto::is_ort(bytes) { Self::Ort } else { Self::Onnx })
    }

    /// The format of a model that is saved: what `session.save_model_format` says, else the extension of the file, else ONNX.
    pub(crate) fn to_save(path: &Path, config: &BTreeMap<String, String>) -> Self {
        Self::said(config, "session.save_model_format").or_else(|| Self::of_extension(path)).unwrap_or(Self::Onnx)
    }

    fn said(config: &BTreeMap<String, String>, key: &str) -> Option<Self> {
        match &**config.get(key)? {
            "ORT" => Some(Self::Ort),
            "ONNX" => Some(Self::Onnx),
            _ => None,
        }
    }

    fn of_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        [("ort", Self::Ort), ("onnx", Self::Onnx)].into_iter().find(|(e, _)| extension.eq_ignore_ascii_case(e)).map(|(_, f)| f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_outranks_the_name_and_the_name_the_content() {
        let none = BTreeMap::new();
        let said = |key: &str, format: &str| BTreeMap::from([(key.to_owned(), format.to_owned())]);
        let ort = Path::new("a/m.ORT");
        assert_eq!(Format::to_load(Some(ort), b"", &none), Format::Ort);
        assert_eq!(Format::to_load(Some(ort), b"", &said("session.load_model_format", "ONNX")), Format::Onnx);
        assert_eq!(Format::to_load(Some(Path::new("m.onnx")), b"", &none), Format::Onnx);
        assert_eq!(Format::to_load(None, b"\x08\x07\x12\x05ORTM!", &none), Format::Onnx, "a producer of that name");
        assert_eq!(Format::to_load(None, b"", &said("session.load_model_format", "ORT")), Format::Ort);
        assert_eq!(Format::to_save(ort, &none), Format::Ort);
        assert_eq!(Format::to_save(Path::new("m"), &none), Format::Onnx);
        assert_eq!(Format::to_save(Path::new("m.onnx"), &said("session.save_model_format", "ORT")), Format::Ort);
    }
}
