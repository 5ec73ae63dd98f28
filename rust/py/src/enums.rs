//! The enumerations of the package, which are Python's own: their members come from `ort_rs._enums`.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// An enumeration of `ort_rs._enums`, by its name.
pub(crate) struct Enumeration {
    name: &'static str,
    class: PyOnceLock<Py<PyType>>,
}

/// How far a graph is optimized.
pub(crate) static GRAPH_OPTIMIZATION_LEVEL: Enumeration = Enumeration::named("GraphOptimizationLevel");
/// Whether nodes run one after the other.
pub(crate) static EXECUTION_MODE: Enumeration = Enumeration::named("ExecutionMode");
/// In which order nodes run.
pub(crate) static EXECUTION_ORDER: Enumeration = Enumeration::named("ExecutionOrder");

impl Enumeration {
    const fn named(name: &'static str) -> Self {
        Self { name, class: PyOnceLock::new() }
    }

    fn class<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyType>> {
        self.class.import(py, "ort_rs._enums", self.name)
    }

    /// The member whose value is `number`.
    pub(crate) fn member<'py>(&self, py: Python<'py>, number: i32) -> PyResult<Bound<'py, PyAny>> {
        self.class(py)?.call1((number,))
    }

    /// The value of `member`.
    ///
    /// # Errors
    /// `TypeError` when it is no member: a plain number is not taken, as ONNX Runtime takes none.
    pub(crate) fn number(&self, member: &Bound<'_, PyAny>) -> PyResult<i32> {
        if !member.is_instance(self.class(member.py())?)? {
            return Err(PyTypeError::new_err(format!("a {} is needed, not {}", self.name, member.get_type())));
        }
        member.getattr("value")?.extract()
    }
}
