//! What a value is, in a few words.

use std::fmt::Write;

use base::{DType, Result, Tensor, Value};

use super::cast::cast;

/// Appends the type and shape of `value`, and the least, the mean and the greatest of its elements.
pub(crate) fn summarize(out: &mut String, name: &str, value: &Value) -> Result<()> {
    match value {
        Value::Tensor(tensor) => line(out, &format!("{name}: {}", of_tensor(tensor)?)),
        Value::Optional(optional) => match &optional.value {
            Some(value) => summarize(out, name, value)?,
            None => line(out, &format!("{name}: {}, nothing", value.ty())),
        },
        Value::Sequence(sequence) => {
            line(out, &format!("{name}: {} of {}", value.ty(), sequence.values.len()));
            for (i, element) in sequence.values.iter().enumerate() {
                summarize(out, &format!("  [{i}]"), element)?;
            }
        }
        Value::Map(map) => {
            line(out, &format!("{name}: {} of {}", value.ty(), map.values.len()));
            for (i, element) in map.values.iter().enumerate() {
                summarize(out, &format!("  value {i}"), element)?;
            }
        }
        Value::Sparse(sparse) => line(out, &format!("{name}: {}{}, values {}", value.ty(), sparse.shape, of_tensor(&sparse.values)?)),
    }
    Ok(())
}

/// Appends a line. Writing to a string cannot fail.
fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}");
}

fn of_tensor(tensor: &Tensor) -> Result<String> {
    let sizes: Vec<String> = tensor.shape().iter().map(ToString::to_string).collect();
    let head = format!("tensor({})[{}]", tensor.dtype(), sizes.join(","));
    match tensor.dtype() {
        _ if tensor.is_empty() => Ok(format!("{head}, empty")),
        DType::C64 | DType::C128 => Ok(head),
        DType::String => {
            let shown: Vec<String> = tensor.as_ref().strings()?.iter().take(3).map(|s| format!("{s:?}")).collect();
            let more = if tensor.len() > shown.len() { ", …" } else { "" };
            Ok(format!("{head}, {}{more}", shown.join(", ")))
        }
        _ => Ok(format!("{head}, {}", statistics(&numbers(tensor)?))),
    }
}

/// The elements as doubles.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    let doubles = if tensor.dtype() == DType::F64 { tensor.clone() } else { cast(tensor.clone(), DType::F64)? };
    Ok(doubles.slice::<f64>()?.to_vec())
}

fn statistics(numbers: &[f64]) -> String {
    let real: Vec<f64> = numbers.iter().copied().filter(|x| !x.is_nan()).collect();
    let nans = numbers.len() - real.len();
    if real.is_empty() {
        return format!("NaN {nans}");
    }
    let (min, max) = real.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(*x), high.max(*x)));
    let mean = real.iter().sum::<f64>() / real.len() as f64;
    format!("min {min:.6}, mean {mean:.6}, max {max:.6}, NaN {nans}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Sequence;

    fn summary(value: impl Into<Value>) -> String {
        let mut out = String::new();
        summarize(&mut out, "y", &value.into()).unwrap();
        out
    }

    #[test]
    fn numbers_are_summed_up() {
        let t = Tensor::from_slice([2, 2], &[1f32, f32::NAN, -2.0, 4.0]).unwrap();
        assert_eq!(summary(t), "y: tensor(float)[2,2], min -2.000000, mean 1.000000, max 4.000000, NaN 1\n");
        assert_eq!(summary(Tensor::from_slice([1], &[f32::NAN]).unwrap()), "y: tensor(float)[1], NaN 1\n");
        assert_eq!(summary(Tensor::zeros(DType::F16, [0, 3]).unwrap()), "y: tensor(float16)[0,3], empty\n");
        assert_eq!(
            summary(Tensor::from_slice([1], &[true]).unwrap()),
            "y: tensor(bool)[1], min 1.000000, mean 1.000000, max 1.000000, NaN 0\n"
        );
    }

    #[test]
    fn containers_show_what_they_hold() {
        let words = Tensor::from_strings([2], ["a", "b"].into_iter().collect()).unwrap();
        let sequence = Sequence { element: Value::from(words.clone()).ty(), values: vec![words.into()] };
        assert_eq!(summary(sequence), "y: seq(tensor(string)) of 1\n  [0]: tensor(string)[2], \"a\", \"b\"\n");
    }
}
