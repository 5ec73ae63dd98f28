//! LoRA adapters: named tensors in a FlatBuffers file (`adapter_schema.fbs`), to be fed in place of a model's defaults.

use std::borrow::Cow;

use base::{DType, Result, bail, ensure};

use crate::flat::{File, Table, TableSpec, Vector, write};
use crate::limits::Limits;
use crate::{TensorData, TensorProto};

/// The file identifier.
const IDENTIFIER: &[u8; 4] = b"TORT";
/// The format version that is written, and the newest that is read.
const VERSION: i32 = 1;

/// Slots of the table `Adapter`.
const FORMAT: usize = 0;
const ADAPTER: usize = 1;
const MODEL: usize = 2;
const PARAMETERS: usize = 3;

/// Slots of the table `Parameter`.
const NAME: usize = 0;
const DIMS: usize = 1;
const DATA_TYPE: usize = 2;
const RAW: usize = 3;

/// A LoRA adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter<'a> {
    /// The version of the file format.
    pub format_version: i32,
    /// The version that its maker gave it.
    pub adapter_version: i32,
    /// The version of the model it is for.
    pub model_version: i32,
    /// Its tensors, by name; data in `raw_data`.
    pub parameters: Vec<TensorProto<'a>>,
}

impl Default for Adapter<'_> {
    fn default() -> Self {
        Self { format_version: VERSION, adapter_version: 0, model_version: 0, parameters: Vec::new() }
    }
}

impl<'a> Adapter<'a> {
    /// Reads an adapter; tensors are borrowed from `bytes`.
    ///
    /// # Errors
    /// `InvalidArgument` if the bytes are none; `Fail`, with the position, if they are damaged or exceed the default [`Limits`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        ensure!(File::is(bytes, IDENTIFIER), InvalidArgument, "The buffer does not appear to be a valid lora parameter format");
        let file = File::new(bytes, &Limits::default());
        let root = file.root("Adapter")?;
        let version = root.i32(FORMAT)?;
        ensure!(version == VERSION, InvalidArgument, "lora parameters of format version {version} are not supported, only {VERSION}");
        Ok(Self {
            format_version: version,
            adapter_version: root.i32(ADAPTER)?,
            model_version: root.i32(MODEL)?,
            parameters: root.tables(PARAMETERS, "Parameter", parameter)?,
        })
    }

    /// The adapter as bytes.
    ///
    /// # Errors
    /// `InvalidArgument` for strings, which adapters cannot hold; `Fail` when a tensor is no valid one or the file would be too long.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let parameters = self.parameters.iter().map(|tensor| {
            ensure!(
                tensor.dtype()? != DType::String,
                InvalidArgument,
                "parameter '{}' is of type STRING, which adapters cannot hold",
                tensor.name
            );
            let TensorData::Bytes(bytes) = tensor.data()? else { bail!(Fail, "the data of parameter '{}' is not at hand", tensor.name) };
            let table = TableSpec::default().text(NAME, &tensor.name).vector(DIMS, Vector::i64s(&tensor.dims));
            Ok(table.i32(DATA_TYPE, tensor.data_type.unwrap_or_default()).vector(RAW, Vector::bytes(bytes)))
        });
        let root = TableSpec::default()
            .i32(FORMAT, self.format_version)
            .i32(ADAPTER, self.adapter_version)
            .i32(MODEL, self.model_version)
            .tables(PARAMETERS, parameters.collect::<Result<_>>()?);
        write(&root, IDENTIFIER)
    }
}

fn parameter<'a>(t: Table<'a, '_>) -> Result<TensorProto<'a>> {
    Ok(TensorProto {
        name: t.text(NAME)?,
        dims: t.i64s(DIMS)?,
        data_type: Some(t.i32(DATA_TYPE)?),
        raw_data: t.bytes(RAW)?.map(Cow::Borrowed),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ONNX Runtime wrote it: `w`, three floats, and `b`, two integers.
    const WRITTEN: &[u8] = include_bytes!("../fixtures/lora.onnx_adapter");

    #[test]
    fn what_onnx_runtime_wrote_is_read() {
        let adapter = Adapter::decode(WRITTEN).unwrap();
        assert_eq!((adapter.format_version, adapter.adapter_version, adapter.model_version), (1, 7, 9));
        let [w, b] = &adapter.parameters[..] else { panic!("{adapter:?}") };
        assert_eq!((&*w.name, &w.dims[..], w.dtype().unwrap()), ("w", &[3][..], DType::F32));
        assert_eq!((&*b.name, &b.dims[..]), ("b", &[1, 2][..]));
        assert!(matches!(b.data().unwrap(), TensorData::Bytes(bytes) if *bytes == [1i64, 2].map(i64::to_le_bytes).concat()));
        assert_eq!(Adapter::decode(&adapter.encode().unwrap()).unwrap(), adapter);
    }

    #[test]
    fn what_is_no_adapter_is_refused() {
        assert!(Adapter::decode(b"nothing").unwrap_err().detail().contains("does not appear to be a valid lora parameter format"));
        let strings = TensorProto { name: "s".into(), data_type: Some(8), dims: vec![0], ..Default::default() };
        let adapter = Adapter { parameters: vec![strings], ..Adapter::default() };
        assert!(adapter.encode().unwrap_err().detail().contains("STRING"));
        for end in 0..WRITTEN.len() {
            drop(Adapter::decode(&WRITTEN[..end]));
            let mut changed = WRITTEN.to_vec();
            changed[end] ^= 0xff;
            drop(Adapter::decode(&changed).map(|a| a.encode()));
        }
    }
}
