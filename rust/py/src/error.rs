//! Failures as Python exceptions, one class a kind, named as ONNX Runtime names them.

use ort_rs::{Error, ErrorKind};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::{PyErr, Python, create_exception};

macro_rules! exceptions {
    ($($name:ident: $doc:literal,)*) => {
        $(create_exception!(ort_rs.capi.onnxruntime_pybind11_state, $name, PyException, $doc);)*
    };
}

exceptions! {
    Fail: "A general failure.",
    InvalidArgument: "A feed, an option or an attribute that cannot be used.",
    NoSuchFile: "A file that is not there.",
    NoModel: "No model where one is needed.",
    EngineError: "A failure inside the engine.",
    RuntimeException: "A failure while a node runs.",
    InvalidProtobuf: "Bytes that are no ONNX protobuf.",
    ModelLoaded: "A session that has its model already.",
    NotImplemented: "An operator or type without a kernel.",
    InvalidGraph: "A model that breaks the ONNX specification.",
    EPFail: "A provider that failed.",
    NotFound: "Something looked up by name that is not there.",
    ModelRequiresCompilation: "A model that a provider would have to compile, where that is forbidden.",
    ModelLoadCanceled: "A load that was cancelled.",
    DeviceReset: "A device that was reset while it was used.",
}

/// What ends a call from Python: a failure of the runtime, or an exception of Python itself.
pub(crate) enum Failure {
    /// A failure of the runtime, which becomes an exception of the class of its kind.
    Runtime(Error),
    /// An exception of Python.
    Python(PyErr),
}

/// The result of whatever can fail in either way.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Runtime(error)
    }
}

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

impl From<pyo3::CastError<'_, '_>> for Failure {
    fn from(error: pyo3::CastError<'_, '_>) -> Self {
        Self::Python(error.into())
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Runtime(error) => exception(&error),
            Failure::Python(error) => error,
        }
    }
}

/// A plain `RuntimeError`: how the binding layer of ONNX Runtime fails, apart from the runtime itself.
pub(crate) fn runtime_error(text: impl Into<String>) -> Failure {
    Failure::Python(PyRuntimeError::new_err(text.into()))
}

/// The exception that `error` is: caused by one of Python if it was, or that itself where no error is meant (an interrupt, an exit).
fn exception(error: &Error) -> PyErr {
    let cause = error.cause().and_then(|cause| cause.downcast_ref::<PyErr>());
    let Some(cause) = cause else { return of_kind(error) };
    Python::attach(|py| {
        if !cause.is_instance_of::<PyException>(py) {
            return cause.clone_ref(py);
        }
        let exception = of_kind(error);
        exception.set_cause(py, Some(cause.clone_ref(py)));
        exception
    })
}

fn of_kind(error: &Error) -> PyErr {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Fail => Fail::new_err(text),
        ErrorKind::InvalidArgument => InvalidArgument::new_err(text),
        ErrorKind::NoSuchFile => NoSuchFile::new_err(text),
        ErrorKind::NoModel => NoModel::new_err(text),
        ErrorKind::EngineError => EngineError::new_err(text),
        ErrorKind::RuntimeException => RuntimeException::new_err(text),
        ErrorKind::InvalidProtobuf => InvalidProtobuf::new_err(text),
        ErrorKind::ModelLoaded => ModelLoaded::new_err(text),
        ErrorKind::NotImplemented => NotImplemented::new_err(text),
        ErrorKind::InvalidGraph => InvalidGraph::new_err(text),
        ErrorKind::EpFail => EPFail::new_err(text),
    }
}
