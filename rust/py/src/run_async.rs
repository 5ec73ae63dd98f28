//! Runs whose results go to a callback.

use std::sync::Arc;

use ort_rs::{Error, ErrorKind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::background;
use crate::error::Result;
use crate::loaded::{Loaded, Request, objects};

/// Starts a run of `request` that ends in a call of `callback` with the results, `user_data`, and the text of the error: one of the
/// first and the last is empty.
///
/// # Errors
/// `TypeError` when `callback` cannot be called, `InvalidArgument` for a session that is to use one thread only.
pub(crate) fn start(loaded: Arc<Loaded>, request: Request, callback: &Bound<'_, PyAny>, user_data: &Bound<'_, PyAny>) -> Result<()> {
    if !callback.is_callable() {
        return Err(PyTypeError::new_err(format!("callback must be callable, not {}", callback.get_type())).into());
    }
    if loaded.options.intra_op_num_threads() == 1 {
        let text = "intra op thread pool must have at least one thread for RunAsync";
        return Err(Error::new(ErrorKind::InvalidArgument, text).into());
    }
    let (callback, user_data) = (callback.clone().unbind(), user_data.clone().unbind());
    background::spawn(Box::new(move || {
        let outcome = loaded.answer(&request);
        // An interpreter that is going away takes no calls any more.
        Python::try_attach(|py| {
            // What was fed may hold objects of Python.
            drop((request, loaded));
            let called = call(py, outcome, &callback, &user_data);
            drop(user_data);
            if let Err(e) = called {
                e.write_unraisable(py, Some(callback.bind(py)));
            }
        });
    }))
}

fn call(py: Python<'_>, outcome: ort_rs::Result<Vec<ort_rs::Value>>, callback: &Py<PyAny>, user_data: &Py<PyAny>) -> PyResult<()> {
    let outcome = outcome.map_err(|e| e.message()).and_then(|values| objects(py, values).map_err(|e| PyErr::from(e).to_string()));
    let (results, error) = match outcome {
        Ok(results) => (results, String::new()),
        Err(text) => (PyList::empty(py), text),
    };
    callback.call1(py, (results, user_data, error)).map(drop)
}
