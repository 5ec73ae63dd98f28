//! What a model says of its inputs, its outputs and itself.

use std::collections::BTreeMap;

use ort_rs::{Metadata, Port, PortDim};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// An input or output of a model.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct NodeArg(pub(crate) Port);

#[pymethods]
impl NodeArg {
    /// Its name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Its type, such as `tensor(float)`.
    #[getter]
    fn r#type(&self) -> String {
        self.0.ty.to_string()
    }

    /// The sizes of its axes: numbers, names, or `None` for any size; empty when even their number is unknown.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let dims = self.0.shape.as_deref().unwrap_or_default();
        let dims = dims.iter().map(|dim| match dim {
            PortDim::Known(size) => size.into_bound_py_any(py),
            PortDim::Named(name) => name.into_bound_py_any(py),
            PortDim::Unknown => Ok(py.None().into_bound(py)),
        });
        PyList::new(py, dims.collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let (name, ty) = (slf.getattr("name")?.repr()?, slf.getattr("type")?.repr()?);
        Ok(format!("NodeArg(name={name}, type={ty}, shape={})", this.shape(slf.py())?.repr()?))
    }
}

/// What a model says of itself.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct ModelMetadata(pub(crate) Metadata);

#[pymethods]
impl ModelMetadata {
    /// The program that made the model.
    #[getter]
    fn producer_name(&self) -> &str {
        &self.0.producer_name
    }

    /// The name of its graph.
    #[getter]
    fn graph_name(&self) -> &str {
        &self.0.graph_name
    }

    /// The domain of the model.
    #[getter]
    fn domain(&self) -> &str {
        &self.0.domain
    }

    /// The description of the model.
    #[getter]
    fn description(&self) -> &str {
        &self.0.description
    }

    /// The description of its graph.
    #[getter]
    fn graph_description(&self) -> &str {
        &self.0.graph_description
    }

    /// The version of the model; the largest 64-bit number when it has none.
    #[getter]
    fn version(&self) -> i64 {
        self.0.version
    }

    /// Whatever else its maker wrote.
    #[getter]
    fn custom_metadata_map(&self) -> BTreeMap<String, String> {
        self.0.custom.clone()
    }
}
