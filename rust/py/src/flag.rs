//! Truth values as programs write them: `True`, but also `1`.

use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// A truth value, given as anything that says whether it is true; shown as a boolean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flag(pub(crate) bool);

impl<'py> FromPyObject<'_, 'py> for Flag {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() || object.hasattr(intern!(object.py(), "__bool__"))? {
            return object.is_truthy().map(Self);
        }
        Err(PyTypeError::new_err(format!("a truth value is needed, not {}", object.get_type())))
    }
}

impl<'py> IntoPyObject<'py> for Flag {
    type Target = PyBool;
    type Output = Borrowed<'py, 'py, PyBool>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        self.0.into_pyobject(py)
    }
}
