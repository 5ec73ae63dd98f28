//! Where Python keeps libraries of CUDA.

use std::path::PathBuf;

use ort_rs::runtime::cuda::look_in;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Lets cuBLASLt be found among NVIDIA's packages for Python: in the folder `nvidia` beside other packages, wherever Python looks for
/// some.
///
/// # Errors
/// What Python says while it looks.
pub(crate) fn tell(py: Python<'_>) -> PyResult<()> {
    for entry in py.import(intern!(py, "sys"))?.getattr(intern!(py, "path"))?.try_iter()? {
        let entry = entry?;
        // Whatever else a program has put there is no folder.
        let Ok(text) = entry.cast::<PyString>() else { continue };
        let folder = PathBuf::from(text.to_cow()?.as_ref()).join("nvidia");
        if folder.is_dir() {
            look_in(&folder);
        }
    }
    Ok(())
}
