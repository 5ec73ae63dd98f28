//! Writing a graph as a model that other runtimes load.

use std::collections::BTreeSet;
use std::path::Path;

use base::{Result, Value};
use exec::Operators;
use ir::{Facts, Graph};
use op::Registry;
use proto::{ExternalPolicy, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, write_file, write_model};

use crate::format::Format;
use crate::import::Opsets;
use crate::metadata::{Metadata, NO_VERSION};
use apart::{is_own, take_apart};
use names::Names;

mod apart;
mod constants;
mod inside;
mod names;
mod opset;
mod ort;
mod protos;
mod restate;

/// Models with more bytes of weights than this keep them in a file of their own: protobuf ends at 2 GiB.
const INLINE_LIMIT: usize = 1 << 30;
/// The version of the file format that is written for models of old opsets.
const IR_VERSION: i64 = 10;

/// A graph to be saved, and what it is saved with.
pub(crate) struct Export<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) facts: &'g Facts,
    pub(crate) registry: &'g Registry,
    pub(crate) oracle: &'g Operators,
    /// Those of the model that the graph was made of.
    pub(crate) opsets: &'g Opsets,
    /// What that model says of itself.
    pub(crate) metadata: &'g Metadata,
    /// The file that initializers go to from a number of bytes on, if they are to.
    pub(crate) apart: Option<(String, usize)>,
}

impl Export<'_> {
    /// Writes the graph to `path` as a model of one opset, private operators and those of other opsets taken apart.
    ///
    /// # Errors
    /// `NotImplemented` that names a node which no single opset has with the others, or what the format cannot hold; `Fail` when the
    /// file cannot be written.
    pub(crate) fn save(&self, path: &Path, format: Format) -> Result<()> {
        let (mut graph, mut facts) = (self.graph.clone(), self.facts.clone());
        let (registry, oracle) = (self.registry, self.oracle);
        constants::spell_out(&mut graph);
        ir::infer(&graph, &mut facts, oracle)?;
        take_apart(&mut graph, &mut facts, oracle, &is_own)?;
        let own = self.opsets.get("").copied().unwrap_or(1);
        let chosen = opset::choose(&graph, &facts, registry, oracle, own)?;
        take_apart(&mut graph, &mut facts, oracle, &|node, inputs| !opset::fits(registry, node, inputs, chosen))?;
        opset::unite(&mut graph, &mut facts, registry, oracle, chosen)?;
        let mut domains = BTreeSet::new();
        opset::check(&graph, registry, chosen, &mut domains)?;
        if format == Format::Ort {
            take_apart(&mut graph, &mut facts, oracle, &|node, _| ort::has_no_kernel(node))?;
            ort::complete(&mut graph, &mut facts, registry, oracle)?;
        }
        let model = self.model(protos::graph(&graph, &facts, &Names::new(&graph), oracle)?, &domains, chosen);
        match format {
            Format::Onnx => write_model(model, path, &self.external_policy(&graph, path)),
            Format::Ort => write_file(path, &ort::encode(&model, registry)?),
        }
    }

    /// The model of `graph`, whose nodes are of `domains`, those of `ai.onnx` in version `opset`.
    fn model<'g>(&'g self, graph: GraphProto<'g>, domains: &BTreeSet<String>, opset: u32) -> ModelProto<'g> {
        let m = self.metadata;
        let version = |d: &String| if d.is_empty() { opset } else { self.opsets.get(d).copied().unwrap_or(1) };
        let imports = domains.iter().map(|d| OperatorSetIdProto { domain: d.clone().into(), version: Some(version(d).into()) });
        ModelProto {
            // Opset 23 came with version 11 of the format, and each later one with the next, up to 13.
            ir_version: Some((i64::from(opset) - 12).clamp(IR_VERSION, 13)),
            producer_name: m.producer_name.as_str().into(),
            producer_version: m.producer_version.as_str().into(),
            domain: m.domain.as_str().into(),
            doc_string: m.description.as_str().into(),
            model_version: Some(m.version).filter(|v| *v != NO_VERSION),
            metadata_props: m.custom.iter().map(|(k, v)| StringStringEntryProto::new(k.as_str(), v.as_str())).collect(),
            opset_import: imports.collect(),
            graph: Some(Box::new(GraphProto { doc_string: m.graph_description.as_str().into(), ..graph })),
            ..Default::default()
        }
    }

    /// Where the weights of `graph` go when it is saved at `path` as ONNX.
    fn external_policy(&self, graph: &Graph, path: &Path) -> ExternalPolicy {
        if let Some((name, threshold)) = &self.apart {
            return ExternalPolicy::File { name: name.clone(), threshold: *threshold };
        }
        let size = |value: &Value| value.tensor().ok().and_then(|t| t.as_ref().bytes().ok().map(<[u8]>::len)).unwrap_or(0);
        let weights: usize = graph.values().filter_map(|(_, v)| v.constant.as_ref()).map(size).sum();
        let name = path.file_name().map(|n| format!("{}.data", n.to_string_lossy())).unwrap_or_default();
        if weights > INLINE_LIMIT { ExternalPolicy::File { name, threshold: 1024 } } else { ExternalPolicy::Inline }
    }
}
