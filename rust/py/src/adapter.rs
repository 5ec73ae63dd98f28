//! LoRA adapters, and the files they are in.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ort_rs::runtime::Adapter;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::{Result, runtime_error};
use crate::ort_value::OrtValue;

/// A LoRA adapter, to be given to runs through `RunOptions.add_active_adapter`.
#[pyclass(module = "ort_rs", weakref)]
#[derive(Default)]
pub(crate) struct LoraAdapter(Arc<Adapter>);

impl LoraAdapter {
    /// The adapter, shared.
    pub(crate) fn shared(&self) -> Arc<Adapter> {
        self.0.clone()
    }
}

#[pymethods]
impl LoraAdapter {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Reads the adapter at a path, in place of what was there.
    ///
    /// Raises `RuntimeError` when there is none.
    #[allow(non_snake_case)] // The name is ONNX Runtime's.
    fn Load(&mut self, path: PathBuf) -> Result<()> {
        self.0 = Arc::new(read(&path)?);
        Ok(())
    }
}

/// What is in the file of a LoRA adapter: versions and named tensors.
///
/// One class stands for both of ONNX Runtime's, the one in Python and the native one behind it.
#[pyclass(module = "ort_rs", weakref)]
#[derive(Default)]
pub(crate) struct AdapterFormat(Adapter);

#[pymethods]
impl AdapterFormat {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// The content of the file at `file_path`; its tensors stay valid whatever becomes of this object.
    ///
    /// Raises `RuntimeError` when it is not there or no adapter.
    #[staticmethod]
    fn read_adapter(file_path: PathBuf) -> Result<Self> {
        read(&file_path).map(Self)
    }

    /// Writes the file `file_path`.
    ///
    /// Raises `RuntimeError` for parameters of strings, before anything is written, and when it cannot be written.
    fn export_adapter(&self, file_path: PathBuf) -> Result<()> {
        self.0.write(&file_path).map_err(|e| runtime_error(e.message()))
    }

    /// The version of the file format.
    fn get_format_version(&self) -> i32 {
        self.0.format_version
    }

    /// Sets the version of the adapter.
    fn set_adapter_version(&mut self, adapter_version: i32) {
        self.0.adapter_version = adapter_version;
    }

    /// The version of the adapter.
    fn get_adapter_version(&self) -> i32 {
        self.0.adapter_version
    }

    /// Sets the version of the model that the adapter is for.
    fn set_model_version(&mut self, model_version: i32) {
        self.0.model_version = model_version;
    }

    /// The version of the model that the adapter is for.
    fn get_model_version(&self) -> i32 {
        self.0.model_version
    }

    /// Sets the parameters, an `OrtValue` by name, in place of those there were.
    fn set_parameters(&mut self, params: BTreeMap<String, PyRef<'_, OrtValue>>) -> Result<()> {
        let tensor = |(name, value): (String, PyRef<'_, OrtValue>)| Ok((name, value.tensor()?.clone()));
        self.0.parameters = params.into_iter().map(tensor).collect::<Result<_>>()?;
        Ok(())
    }

    /// The parameters, an `OrtValue` by name.
    fn get_parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, tensor) in &self.0.parameters {
            dict.set_item(name, Bound::new(py, OrtValue::of_tensor(tensor.clone(), false))?)?;
        }
        Ok(dict)
    }

    #[getter(format_version)]
    fn the_format_version(&self) -> i32 {
        self.get_format_version()
    }

    #[getter(adapter_version)]
    fn the_adapter_version(&self) -> i32 {
        self.get_adapter_version()
    }

    #[setter(adapter_version)]
    fn assign_adapter_version(&mut self, version: i32) {
        self.set_adapter_version(version);
    }

    #[getter(model_version)]
    fn the_model_version(&self) -> i32 {
        self.get_model_version()
    }

    #[setter(model_version)]
    fn assign_model_version(&mut self, version: i32) {
        self.set_model_version(version);
    }

    #[getter(parameters)]
    fn the_parameters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.get_parameters(py)
    }

    #[setter(parameters)]
    fn assign_parameters(&mut self, params: BTreeMap<String, PyRef<'_, OrtValue>>) -> Result<()> {
        self.set_parameters(params)
    }
}

fn read(path: &std::path::Path) -> Result<Adapter> {
    Adapter::read(path).map_err(|e| runtime_error(e.message()))
}
