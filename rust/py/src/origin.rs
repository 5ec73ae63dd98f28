//! Where a model comes from, kept so that a session can be made again.

use std::path::PathBuf;
use std::sync::Arc;

use ort_rs::Metadata;
use ort_rs::runtime::{Buffer, Environment, Foreign, Options, Session, Source};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::Result;

/// The setting that lets a session use its weights where they lie in the bytes it is made of.
const IN_PLACE: &str = "session.use_ort_model_bytes_directly";

/// Where a model comes from.
pub(crate) enum Origin {
    /// A file.
    File(PathBuf),
    /// The bytes of one.
    Bytes(Py<PyBytes>),
}

impl Origin {
    /// What `source` is: a path, or bytes.
    ///
    /// # Errors
    /// `TypeError` for anything else.
    pub(crate) fn of(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = source.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone().unbind()));
        }
        if !source.is_instance_of::<PyString>() && !source.hasattr("__fspath__")? {
            return Err(PyTypeError::new_err(format!("Unable to load from type '{}'", source.get_type())));
        }
        Ok(Self::File(source.extract()?))
    }

    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The same again.
    pub(crate) fn share(&self, py: Python<'_>) -> Self {
        match self {
            Self::File(path) => Self::File(path.clone()),
            Self::Bytes(bytes) => Self::Bytes(bytes.clone_ref(py)),
        }
    }

    /// The same for another process, which may have another working directory: an absolute path, or bytes.
    ///
    /// # Errors
    /// `OSError` when there is no working directory.
    pub(crate) fn portable(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(match self {
            Self::File(path) => std::path::absolute(path)?.into_os_string().into_pyobject(py)?.into_any().unbind(),
            Self::Bytes(bytes) => bytes.clone_ref(py).into_any(),
        })
    }

    /// What the model says of itself.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn metadata(&self, py: Python<'_>) -> Result<Metadata> {
        Ok(match self {
            Self::File(path) => Metadata::of(Source::File(path)),
            Self::Bytes(bytes) => Metadata::of(Source::Bytes(bytes.bind(py).as_bytes())),
        }?)
    }

    /// Loads the model.
    ///
    /// # Errors
    /// Those of [`Session::load`].
    pub(crate) fn load(&self, py: Python<'_>, environment: &Environment, options: Options) -> Result<Session> {
        let loaded = match self {
            Self::File(path) => py.detach(|| Session::load(environment, Source::File(path), options)),
            Self::Bytes(bytes) if options.config.get(IN_PLACE).is_some_and(|v| v == "1") => {
                let buffer = shared(bytes.bind(py));
                py.detach(|| Session::load(environment, Source::Buffer(&buffer), options))
            }
            Self::Bytes(bytes) => {
                let bytes = bytes.bind(py).as_bytes();
                py.detach(|| Session::load(environment, Source::Bytes(bytes), options))
            }
        };
        Ok(loaded?)
    }
}

/// The memory of `bytes`, which keeps the object alive.
fn shared(bytes: &Bound<'_, PyBytes>) -> Arc<Buffer> {
    let content = bytes.as_bytes();
    // SAFETY: the content of a bytes object never moves or changes while the object lives, and the buffer keeps it.
    let foreign = unsafe { Foreign::new(content.as_ptr(), content.len(), Box::new(bytes.clone().unbind())) };
    Arc::new(Buffer::Foreign(foreign))
}
