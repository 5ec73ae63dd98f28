//! Functions of Python that say where the data of initializers goes.

use ort_rs::runtime::{External, Locator};
use ort_rs::{Error, ErrorKind, Tensor};
use pyo3::prelude::*;

use crate::ort_value::OrtValue;

/// One that calls `locate` with the name of an initializer, its value, and the place of its data if that lay in a file of its own. What it
/// gives has the members of `OrtExternalInitializerInfo`, or is `None`.
pub(crate) fn of(locate: Py<PyAny>) -> Locator {
    Locator::new(move |name, value, place| {
        Python::attach(|py| ask(py, &locate, name, value, place))
            .map_err(|e| Error::new(ErrorKind::Fail, Python::attach(|py| text(py, &e))))
    })
}

fn ask(py: Python<'_>, locate: &Py<PyAny>, name: &str, value: &Tensor, place: Option<&External>) -> PyResult<Option<External>> {
    let info = py.import("ort_rs._compiler")?.getattr("OrtExternalInitializerInfo")?;
    let place = place.map(|p| info.call1((&p.location, p.offset, p.length))).transpose()?;
    let answer = locate.bind(py).call1((name, OrtValue::of_tensor(value.clone(), false), place))?;
    if answer.is_none() {
        return Ok(None);
    }
    let member = |name: &str| answer.getattr(name);
    let (location, offset, length) = (member("filepath")?, member("file_offset")?, member("byte_size")?);
    Ok(Some(External { location: location.extract()?, offset: offset.extract()?, length: length.extract()? }))
}

fn text(py: Python<'_>, error: &PyErr) -> String {
    format!("{}: {}", error.get_type(py).name().map(|n| n.to_string()).unwrap_or_default(), error.value(py))
}
