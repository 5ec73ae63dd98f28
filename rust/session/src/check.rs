//! Whether what is fed, and where results go, is what the model asks for.

use base::{Result, Shape, Tensor, Type, Value, ensure};

use crate::{Log, Port, PortDim, Severity};

/// Fails unless `value` has the type and shape that `port` asks for.
pub(crate) fn check_feed(port: &Port, value: &Value) -> Result<()> {
    let (Value::Tensor(tensor), Type::Tensor(dtype)) = (value, &port.ty) else {
        let matches = fits(value, &port.ty);
        ensure!(matches, InvalidArgument, "Unexpected input data type. Actual: ({}) , expected: ({})", value.ty(), port.ty);
        return Ok(());
    };
    let (actual, name) = (tensor.dtype(), &port.name);
    ensure!(actual == *dtype, InvalidArgument, "Unexpected input data type. Actual: (tensor({actual})) , expected: (tensor({dtype}))");
    let Some(dims) = &port.shape else { return Ok(()) };
    check_shape("input", name, tensor.shape(), dims)
}

/// Whether a value that is no tensor is of type `ty`; what an empty sequence would hold is not asked.
fn fits(value: &Value, ty: &Type) -> bool {
    match (value, ty) {
        (Value::Sequence(s), Type::Sequence(element)) => s.values.is_empty() || s.values.iter().all(|v| fits(v, element)),
        (Value::Optional(o), Type::Optional(element)) => o.value.as_ref().is_none_or(|v| fits(v, element)),
        (value, Type::Optional(element)) => fits(value, element),
        (value, ty) => value.ty() == *ty,
    }
}

/// Fails unless a value of `port` can have the type and shape of the `tensor` that it is to be written to.
pub(crate) fn check_destination(port: &Port, tensor: &Tensor) -> Result<()> {
    let (actual, expected) = (Type::Tensor(tensor.dtype()), &port.ty);
    ensure!(actual == *expected, InvalidArgument, "Unexpected output data type. Actual: ({actual}) , expected: ({expected})");
    port.shape.as_ref().map_or(Ok(()), |dims| check_shape("output", &port.name, tensor.shape(), dims))
}

fn check_shape(role: &str, name: &str, shape: &Shape, dims: &[PortDim]) -> Result<()> {
    const REMEDY: &str = "Please fix either the inputs/outputs or the model.";
    let (got, expected) = (shape.len(), dims.len());
    ensure!(got == expected, InvalidArgument, "Invalid rank for {role}: {name} Got: {got} Expected: {expected} {REMEDY}");
    let wrong = |(i, (got, dim)): (usize, (&usize, &PortDim))| match dim {
        PortDim::Known(expected) if *got as i64 != *expected => Some(format!(" index: {i} Got: {got} Expected: {expected}\n")),
        _ => None,
    };
    let wrong: String = shape.iter().zip(dims).enumerate().filter_map(wrong).collect();
    ensure!(wrong.is_empty(), InvalidArgument, "Got invalid dimensions for {role}: {name} for the following indices\n{wrong} {REMEDY}");
    Ok(())
}

/// Warns of outputs whose sizes are not those that the model declares.
pub(crate) fn warn_of_shapes(outputs: &[Port], values: &[Value], log: &Log) {
    for (port, value) in outputs.iter().zip(values) {
        let (Some(dims), Value::Tensor(tensor)) = (&port.shape, value) else { continue };
        let shape = tensor.shape();
        let other = |(dim, size): (&PortDim, &usize)| matches!(dim, PortDim::Known(n) if *n != *size as i64);
        if dims.len() != shape.len() || dims.iter().zip(shape.iter()).any(other) {
            log.say(Severity::Warning, "run", || {
                format!("Expected shape from model of {port} does not match actual shape of {shape} for output {}", port.name)
            });
        }
    }
}
