//! LoRA adapters: tensors that a run takes in place of a model's defaults.

use std::collections::BTreeMap;
use std::path::Path;

use base::{DType, Result, Tensor};
use proto::{TensorProto, write_file};

use crate::weights::Weights;

/// A LoRA adapter: named tensors, and the versions that its maker gave it.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The version of the file format.
    pub format_version: i32,
    /// The version of the adapter.
    pub adapter_version: i32,
    /// The version of the model it is for.
    pub model_version: i32,
    /// What a run feeds, by the names of inputs with defaults.
    pub parameters: BTreeMap<String, Tensor>,
}

impl Default for Adapter {
    fn default() -> Self {
        let proto::Adapter { format_version, adapter_version, model_version, .. } = proto::Adapter::default();
        Self { format_version, adapter_version, model_version, parameters: BTreeMap::new() }
    }
}

impl Adapter {
    /// Reads the adapter at `path`; large tensors stay in the mapped file.
    ///
    /// # Errors
    /// `NoSuchFile` when there is none; `InvalidArgument` or `Fail` when it is no adapter.
    pub fn read(path: &Path) -> Result<Self> {
        let map = base::knobs::MMAP.get().0;
        let file = base::file::open(path, map)?;
        let adapter = proto::Adapter::decode(file.bytes().unwrap_or_default())?;
        let mut weights = Weights::new(Some(file.clone()), None, map);
        let parameters = adapter.parameters.iter().map(|p| Ok((p.name.to_string(), weights.tensor(p)?))).collect::<Result<_>>()?;
        let proto::Adapter { format_version, adapter_version, model_version, .. } = adapter;
        Ok(Self { format_version, adapter_version, model_version, parameters })
    }

    /// Writes the adapter to `path`.
    ///
    /// # Errors
    /// `InvalidArgument` for strings, before anything is written; `Fail` when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let parameter = |(name, tensor): (&String, &Tensor)| {
            let raw_data = if tensor.dtype() == DType::String { None } else { Some(tensor.as_ref().bytes()?.to_vec().into()) };
            let dims = tensor.shape().iter().map(|d| *d as i64).collect();
            Ok(TensorProto { name: name.clone().into(), dims, data_type: Some(tensor.dtype() as i32), raw_data, ..Default::default() })
        };
        let adapter = proto::Adapter {
            format_version: self.format_version,
            adapter_version: self.adapter_version,
            model_version: self.model_version,
            parameters: self.parameters.iter().map(parameter).collect::<Result<_>>()?,
        };
        write_file(path, &adapter.encode()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.onnx_adapter");
        let w = Tensor::from_slice([2, 1], &[1f32, -2.]).unwrap();
        let adapter = Adapter { adapter_version: 3, model_version: 4, parameters: [("w".to_owned(), w)].into(), ..Adapter::default() };
        adapter.write(&path).unwrap();
        let again = Adapter::read(&path).unwrap();
        assert_eq!((again.format_version, again.adapter_version, again.model_version), (1, 3, 4));
        assert_eq!(again.parameters["w"].slice::<f32>().unwrap(), [1., -2.]);
    }

    #[test]
    fn strings_are_refused_and_leave_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.onnx_adapter");
        let s = Tensor::from_strings([1], ["a"].into_iter().collect()).unwrap();
        let adapter = Adapter { parameters: [("s".to_owned(), s)].into(), ..Adapter::default() };
        assert!(adapter.write(&path).unwrap_err().detail().contains("STRING"));
        assert!(!path.exists());
    }
}
