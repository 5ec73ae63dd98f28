//! What this machine and this build have.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::Result;

/// Facts by section, in order, and advice.
#[pyfunction]
pub(crate) fn diagnose(py: Python<'_>) -> Result<(Bound<'_, PyDict>, Vec<String>)> {
    let diagnosis = py.detach(ort_rs::doctor)?;
    let sections = PyDict::new(py);
    for section in diagnosis.sections {
        let facts = PyDict::new(py);
        section.facts.iter().try_for_each(|(name, value)| facts.set_item(name, value))?;
        sections.set_item(section.title, facts)?;
    }
    Ok((sections, diagnosis.advice))
}
