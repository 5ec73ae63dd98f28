//! Reading dictionaries.

use std::sync::Arc;

use base::{DType, Map, Result, Strings, Tensor, Type, Value, bail, ensure};
use op::{Infer, Run};

/// The dictionary that input 0 is.
///
/// # Errors
/// `InvalidArgument` when it is something else.
pub(crate) fn input(cx: &Run<'_>) -> Result<Arc<Map>> {
    match cx.value(0)? {
        Value::Map(map) => Ok(map),
        other => bail!(InvalidArgument, "a map is needed, not {}", other.ty()),
    }
}

/// The types of keys and values of input 0, a dictionary of plain values.
///
/// # Errors
/// `InvalidGraph` when it is something else.
pub(crate) fn types(cx: &Infer<'_>) -> Result<(DType, DType)> {
    match &cx.input(0)?.ty {
        Type::Map(key, value) => match **value {
            Type::Tensor(value) => Ok((*key, value)),
            ref other => bail!(InvalidGraph, "values of type {other} are no plain values"),
        },
        other => bail!(InvalidGraph, "the input must be a map, not {other}"),
    }
}

/// The values of `map`, each a tensor of one element, as one vector.
///
/// # Errors
/// `InvalidArgument` when a value is something else.
pub(crate) fn values(map: &Map) -> Result<Tensor> {
    let Type::Tensor(dtype) = map.value else { bail!(InvalidArgument, "values of type {} are no plain values", map.value) };
    let each = map.values.iter().map(|v| {
        let t = v.tensor()?;
        ensure!(t.len() == 1 && t.dtype() == dtype, InvalidArgument, "a value is {}{}, not one {dtype}", t.dtype(), t.shape());
        Ok(t)
    });
    let each = each.collect::<Result<Vec<_>>>()?;
    if dtype == DType::String {
        let mut strings = Strings::with_room(each.len(), 0)?;
        for t in &each {
            strings.push(t.as_ref().strings()?.get(0));
        }
        return Tensor::from_strings([each.len()], strings);
    }
    let mut bytes = Vec::new();
    for t in &each {
        bytes.extend_from_slice(t.as_ref().bytes()?);
    }
    Tensor::from_bytes(dtype, [each.len()], &bytes)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The dictionary from `keys` to the elements of `values`.
    pub(crate) fn map(keys: Tensor, values: &[Tensor]) -> Value {
        let value = values.first().map_or(Type::Tensor(DType::F32), |v| Type::Tensor(v.dtype()));
        Value::Map(Arc::new(Map { keys, value, values: values.iter().cloned().map(Value::Tensor).collect() }))
    }

    /// A string without axes.
    pub(crate) fn text(s: &str) -> Tensor {
        Tensor::from_strings(base::Shape::scalar(), [s].into_iter().collect()).unwrap()
    }
}
