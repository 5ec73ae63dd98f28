//! What a model says of itself.

use std::collections::BTreeMap;
use std::path::Path;

use base::{Error, Result};
use proto::ModelProto;

use crate::Source;
use crate::format::Format;
use crate::session::{at_file, decode};

/// The version of a model that states none, as ONNX Runtime has it.
pub(crate) const NO_VERSION: i64 = i64::MAX;

/// What a model says of itself.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The program that made the model.
    pub producer_name: String,
    /// The version of that program.
    pub producer_version: String,
    /// The domain of the model.
    pub domain: String,
    /// The name of its graph.
    pub graph_name: String,
    /// Its description.
    pub description: String,
    /// The description of its graph.
    pub graph_description: String,
    /// Its version.
    pub version: i64,
    /// Whatever else its maker wrote.
    pub custom: BTreeMap<String, String>,
}

impl Metadata {
    /// What the model at `source` says of itself; nothing else of it is looked at.
    ///
    /// # Errors
    /// `NoSuchFile`, `InvalidProtobuf` and others when it is no model.
    pub fn of(source: Source<'_>) -> Result<Self> {
        let none = BTreeMap::new();
        let read = |path: Option<&Path>, bytes: &[u8]| Ok(metadata(&decode(bytes, Format::to_load(path, bytes, &none))?));
        match source {
            Source::File(path) => {
                let file = base::file::open(path, base::knobs::MMAP.get().0)?;
                read(Some(path), file.bytes().unwrap_or_default()).map_err(|e: Error| at_file(&e, path))
            }
            Source::Bytes(bytes) => read(None, bytes),
            Source::Buffer(buffer) => read(None, buffer.bytes().unwrap_or_default()),
        }
    }
}

pub(crate) fn metadata(proto: &ModelProto<'_>) -> Metadata {
    let graph = proto.graph.as_deref();
    Metadata {
        producer_name: proto.producer_name.to_string(),
        producer_version: proto.producer_version.to_string(),
        domain: proto.domain.to_string(),
        graph_name: graph.map(|g| g.name.to_string()).unwrap_or_default(),
        description: proto.doc_string.to_string(),
        graph_description: graph.map(|g| g.doc_string.to_string()).unwrap_or_default(),
        version: proto.model_version.unwrap_or(NO_VERSION),
        custom: proto.metadata_props.iter().map(|p| (p.key.to_string(), p.value.to_string())).collect(),
    }
}
