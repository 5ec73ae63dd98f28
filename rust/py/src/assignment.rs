//! Which provider runs which nodes.

use ort_rs::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::error::Result;
use crate::loaded::Loaded;

/// The option that asks for the record.
const KEY: &str = "session.record_ep_graph_assignment_info";

/// A node that a provider runs.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct OrtEpAssignedNode {
    /// Its name; of nodes that became one, that of the one.
    #[pyo3(get)]
    name: String,
    /// The domain of its operator; empty for that of ONNX.
    #[pyo3(get)]
    domain: String,
    /// The name of its operator.
    #[pyo3(get)]
    op_type: String,
}

/// Nodes that a provider runs together.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct OrtEpAssignedSubgraph {
    /// The name of the provider.
    #[pyo3(get)]
    ep_name: String,
    nodes: Vec<Py<OrtEpAssignedNode>>,
}

#[pymethods]
impl OrtEpAssignedSubgraph {
    /// The nodes.
    fn get_nodes(&self, py: Python<'_>) -> Vec<Py<OrtEpAssignedNode>> {
        self.nodes.iter().map(|n| n.clone_ref(py)).collect()
    }
}

/// A subgraph for each node of the optimized graph.
///
/// # Errors
/// `Fail` unless the record was asked for.
pub(crate) fn of(py: Python<'_>, loaded: &Loaded) -> Result<Vec<OrtEpAssignedSubgraph>> {
    if loaded.options.config(KEY) != Some("1") {
        let text = format!("Session configuration entry '{KEY}' must be set to \"1\" to retrieve EP graph assignment information.");
        return Err(Error::new(ErrorKind::Fail, text).into());
    }
    let subgraph = |p: &ort_rs::Placement| {
        let node = OrtEpAssignedNode { name: p.node.clone(), domain: p.domain.clone(), op_type: p.op_type.clone() };
        Ok(OrtEpAssignedSubgraph { ep_name: p.provider.clone(), nodes: vec![Py::new(py, node)?] })
    };
    loaded.core.placements().iter().map(subgraph).collect()
}
