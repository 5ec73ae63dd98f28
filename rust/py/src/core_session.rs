//! The native session that ONNX Runtime keeps behind `InferenceSession`, as `session._sess`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::Result;
use crate::io_binding::SessionIOBinding;
use crate::loaded::{Loaded, node_args};
use crate::memory_info::OrtMemoryInfo;
use crate::node_arg::{ModelMetadata, NodeArg};
use crate::ort_value_vector::OrtValueVector;
use crate::run_options::RunOptions;
use crate::session_options::SessionOptions;

/// The native session behind an `InferenceSession`: the same model under the names and argument orders of ONNX Runtime's own.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct CoreSession(Arc<Loaded>);

impl CoreSession {
    /// The native session of `loaded`.
    pub(crate) fn of(loaded: Arc<Loaded>) -> Self {
        Self(loaded)
    }

    /// The model behind it.
    pub(crate) fn loaded(&self) -> &Arc<Loaded> {
        &self.0
    }
}

#[pymethods]
impl CoreSession {
    /// What must be fed.
    #[getter]
    fn inputs_meta(&self) -> Vec<NodeArg> {
        node_args(self.0.core.inputs())
    }

    /// What the model gives.
    #[getter]
    fn outputs_meta(&self) -> Vec<NodeArg> {
        node_args(self.0.core.outputs())
    }

    /// What may be fed in place of a default.
    #[getter]
    fn overridable_initializers(&self) -> Vec<NodeArg> {
        node_args(self.0.core.overridable_initializers())
    }

    /// What the model says of itself.
    #[getter]
    fn model_meta(&self) -> ModelMetadata {
        ModelMetadata(self.0.core.metadata().clone())
    }

    /// The options that the session was made with.
    #[getter]
    fn session_options(&self) -> SessionOptions {
        self.0.options.clone()
    }

    /// The memory that each input is read from.
    #[getter]
    fn input_meminfos(&self) -> Vec<OrtMemoryInfo> {
        self.0.core.inputs().iter().map(|_| OrtMemoryInfo::cpu()).collect()
    }

    /// The memory that each output is written to.
    #[getter]
    fn output_meminfos(&self) -> Vec<OrtMemoryInfo> {
        self.0.core.outputs().iter().map(|_| OrtMemoryInfo::cpu()).collect()
    }

    /// The names of the providers, in order of preference.
    fn get_providers(&self) -> Vec<String> {
        self.0.core.providers()
    }

    /// Runs the model: names, feeds, options.
    #[pyo3(signature = (output_names, input_feed, run_options=None))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<&Bound<'py, PyAny>>,
        input_feed: &Bound<'py, PyAny>,
        run_options: Option<&Bound<'py, RunOptions>>,
    ) -> Result<Bound<'py, PyList>> {
        self.0.run(py, output_names, input_feed, run_options, None)
    }

    /// Runs the model on values: feeds, names, options.
    #[pyo3(signature = (input_feed, output_names, run_options=None))]
    fn run_with_ort_values(
        &self,
        py: Python<'_>,
        input_feed: &Bound<'_, PyDict>,
        output_names: Option<&Bound<'_, PyAny>>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<OrtValueVector> {
        Ok(OrtValueVector::of(self.0.run_on_values(py, output_names, input_feed, run_options, None, &[])?))
    }

    /// Runs the model on what is bound.
    #[pyo3(signature = (iobinding, run_options=None))]
    fn run_with_iobinding(
        &self,
        py: Python<'_>,
        iobinding: &Bound<'_, SessionIOBinding>,
        run_options: Option<&Bound<'_, RunOptions>>,
    ) -> Result<()> {
        iobinding.get().run(py, run_options, None)
    }
}
