//! The operators that are built in, as plain objects of Python.

use ort_rs::runtime::{Arity, OpDef, Param, Since, operators};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Every version of every operator that is built in, a dictionary each: `domain`, `name`, `since`, `until` (the last opset that has it,
/// or a large number), `deprecated`, `inputs` and `outputs` (pairs of name and type, and how often they are given), `types` (the types
/// that each variable may be), `attributes` (name, kind, and whether there is no node without it), and `kernel`: whether the CPU has one.
#[pyfunction]
pub(crate) fn registered_operators(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let all = PyList::empty(py);
    // Operators of this project's own are no part of any standard.
    for def in operators().filter(|def| def.domain != "ai.ort_rs") {
        for (i, since) in def.versions.iter().enumerate() {
            let until = def.versions.get(i + 1).map_or(i32::MAX, |next| next.version as i32 - 1);
            all.append(version(py, def, since, until)?)?;
        }
    }
    Ok(all)
}

fn version<'py>(py: Python<'py>, def: &OpDef, since: &Since, until: i32) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("domain", def.domain)?;
    dict.set_item("name", def.name)?;
    dict.set_item("since", since.version)?;
    dict.set_item("until", until)?;
    dict.set_item("deprecated", since.deprecated)?;
    dict.set_item("inputs", since.inputs().map(parameter).collect::<Vec<_>>())?;
    dict.set_item("outputs", since.outputs().map(parameter).collect::<Vec<_>>())?;
    dict.set_item("types", since.types.iter().map(|(variable, set)| (*variable, set.names())).collect::<Vec<_>>())?;
    let attributes = if since.deprecated { Vec::new() } else { def.attributes(since) };
    dict.set_item("attributes", attributes.into_iter().map(|a| (a.name, a.kind, a.required)).collect::<Vec<_>>())?;
    dict.set_item("kernel", def.kernels.cpu.is_some() || def.body.is_some())?;
    Ok(dict)
}

/// Name, type, and how often it is given: 0 for once, 1 for once or not at all, 2 for any number of times; then whether those are of one
/// type.
fn parameter(p: Param) -> (&'static str, String, u8, bool) {
    let often = match p.arity {
        Arity::Required => 0,
        Arity::Optional => 1,
        Arity::Variadic | Arity::Heterogeneous => 2,
    };
    let ty = if ort_rs::DType::from_name(p.ty).is_some() { format!("tensor({})", p.ty) } else { p.ty.to_owned() };
    (p.name, ty, often, p.arity != Arity::Heterogeneous)
}
