//! Runs on other threads: their results go to a callback, or to who awaits them.

use std::sync::Arc;

use ort_rs::{Cancel, Error, ErrorKind, Value};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::background;
use crate::error::{Failure, Result};
use crate::loaded::{Loaded, Request, objects};

/// Starts a run of `request` that ends in a call of `callback` with the results, `user_data`, and the text of the error: one of the
/// first and the last is empty.
///
/// # Errors
/// `TypeError` when `callback` cannot be called, `InvalidArgument` for a session that is to use one thread only.
pub(crate) fn start(loaded: Arc<Loaded>, request: Request, callback: &Bound<'_, PyAny>, user_data: &Bound<'_, PyAny>) -> Result<()> {
    callable(callback)?;
    if loaded.options.intra_op_num_threads() == 1 {
        let text = "intra op thread pool must have at least one thread for RunAsync";
        return Err(Error::new(ErrorKind::InvalidArgument, text).into());
    }
    let user_data = user_data.clone().unbind();
    spawn(loaded, request, callback, move |py, outcome, callback| {
        let outcome = outcome.map_err(|e| e.message()).and_then(|values| objects(py, values).map_err(|e| PyErr::from(e).to_string()));
        let (results, error) = match outcome {
            Ok(results) => (results, String::new()),
            Err(text) => (PyList::empty(py), text),
        };
        callback.call1((results, user_data, error)).map(drop)
    })
}

/// A run that goes on behind the caller's back.
#[pyclass(module = "ort_rs", frozen)]
pub(crate) struct Running(Cancel);

#[pymethods]
impl Running {
    /// Ends the run as soon as it can.
    fn terminate(&self) {
        self.0.cancel();
    }
}

/// Starts a run of `request` that ends in a call of `callback` with the results, or `None` and an exception.
///
/// # Errors
/// `TypeError` when `callback` cannot be called, `RuntimeError` when there is no thread to be had.
pub(crate) fn start_awaited(loaded: Arc<Loaded>, mut request: Request, callback: &Bound<'_, PyAny>) -> Result<Running> {
    callable(callback)?;
    // Who awaits ends this run alone, not others under the same options.
    request.options.cancel = request.options.cancel.below();
    let running = Running(request.options.cancel.clone());
    spawn(loaded, request, callback, |py, outcome, callback| {
        let outcome = outcome.map_err(Failure::from).and_then(|values| objects(py, values));
        let (results, raised) = match outcome {
            Ok(results) => (Some(results), None),
            Err(failure) => (None, Some(PyErr::from(failure))),
        };
        callback.call1((results, raised)).map(drop)
    })?;
    Ok(running)
}

fn callable(callback: &Bound<'_, PyAny>) -> Result<()> {
    if callback.is_callable() {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!("callback must be callable, not {}", callback.get_type())).into())
}

/// Runs `request` on another thread, then calls `end` with what came of it and `callback`.
fn spawn(
    loaded: Arc<Loaded>,
    request: Request,
    callback: &Bound<'_, PyAny>,
    end: impl FnOnce(Python<'_>, ort_rs::Result<Vec<Value>>, &Bound<'_, PyAny>) -> PyResult<()> + Send + 'static,
) -> Result<()> {
    background::close_at_exit(callback.py())?;
    let callback = callback.clone().unbind();
    background::spawn(Box::new(move || {
        let outcome = loaded.answer(&request);
        background::tell(|| {
            // An interpreter that is going away takes no calls any more.
            Python::try_attach(|py| {
                // What was fed may hold objects of Python.
                drop((request, loaded));
                let callback = callback.into_bound(py);
                if let Err(e) = end(py, outcome, &callback) {
                    e.write_unraisable(py, Some(&callback));
                }
            });
        });
    }))
}
