//! Keys that are looked up: integers, floats or strings, each with its number.

use std::collections::HashMap;

use base::threads::paced;
use base::{DType, Result, Tensor, TensorRef, bail, error};

/// Which kinds of keys are compared with each other.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    Ints(HashMap<i64, u32>),
    /// By the bits of the number as `f64`: see [`bits`].
    Floats(HashMap<u64, u32>),
    Strings(HashMap<String, u32>),
}

/// The bits by which floats are compared: both zeros are one key, all NaNs are one.
fn bits(x: f64) -> u64 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        f64::NAN.to_bits()
    } else {
        x.to_bits()
    }
}

/// Numbers keys; of equal ones the first counts.
fn number<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, u32> {
    let mut known = HashMap::new();
    for (i, key) in keys.enumerate() {
        known.entry(key).or_insert(i as u32);
    }
    known
}

/// The elements of an integer tensor of any width.
fn ints<'a>(t: &TensorRef<'a>) -> Result<Box<dyn Iterator<Item = i64> + 'a>> {
    Ok(match t.dtype() {
        DType::I64 => Box::new(t.slice::<i64>()?.iter().copied()),
        DType::I32 => Box::new(t.slice::<i32>()?.iter().map(|&x| x.into())),
        DType::I16 => Box::new(t.slice::<i16>()?.iter().map(|&x| x.into())),
        other => bail!(InvalidArgument, "keys of type {other} are no integers"),
    })
}

/// The elements of a float tensor of any width.
fn floats<'a>(t: &TensorRef<'a>) -> Result<Box<dyn Iterator<Item = f64> + 'a>> {
    Ok(match t.dtype() {
        DType::F32 => Box::new(t.slice::<f32>()?.iter().map(|&x| x.into())),
        DType::F64 => Box::new(t.slice::<f64>()?.iter().copied()),
        other => bail!(InvalidArgument, "keys of type {other} are no floats"),
    })
}

impl Keys {
    /// The elements of `keys`, numbered from 0.
    ///
    /// # Errors
    /// `InvalidArgument` for types that are no keys.
    pub(crate) fn new(keys: &Tensor) -> Result<Self> {
        let keys = keys.as_ref();
        u32::try_from(keys.len()).map_err(|_| error!(InvalidGraph, "{} keys are too many", keys.len()))?;
        Ok(match keys.dtype() {
            DType::String => Self::Strings(number(keys.strings()?.iter().map(str::to_owned))),
            DType::F32 | DType::F64 => Self::Floats(number(floats(&keys)?.map(bits))),
            _ => Self::Ints(number(ints(&keys)?)),
        })
    }

    /// The numbers of the elements of `t`; `None` for those that are no keys.
    ///
    /// # Errors
    /// `InvalidArgument` when they are of another kind than the keys.
    pub(crate) fn find(&self, t: &TensorRef<'_>) -> Result<Vec<Option<u32>>> {
        Ok(match (self, t.dtype()) {
            (Self::Strings(known), DType::String) => paced(t.strings()?.iter(), 32).map(|s| known.get(s).copied()).collect(),
            (Self::Strings(_), other) => bail!(InvalidArgument, "the keys are strings, but the input is of type {other}"),
            (Self::Floats(known), _) => paced(floats(t)?, 16).map(|x| known.get(&bits(x)).copied()).collect(),
            (Self::Ints(known), _) => paced(ints(t)?, 16).map(|x| known.get(&x).copied()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_nans_are_found() {
        let keys = Keys::new(&Tensor::from_slice([4], &[f32::NAN, 0.0, 1.5, 1.5]).unwrap()).unwrap();
        let x = Tensor::from_slice([4], &[-0.0, -f64::NAN, 1.5, 2.0]).unwrap();
        assert_eq!(keys.find(&x.as_ref()).unwrap(), [Some(1), Some(0), Some(2), None]);
        assert!(keys.find(&Tensor::from_slice([1], &[0i64]).unwrap().as_ref()).is_err());
    }

    #[test]
    fn strings_and_integers() {
        let strings = |s: &[&str]| Tensor::from_strings([s.len()], s.iter().collect()).unwrap();
        let keys = Keys::new(&strings(&["a", ""])).unwrap();
        assert_eq!(keys.find(&strings(&["", "b"]).as_ref()).unwrap(), [Some(1), None]);
        let keys = Keys::new(&Tensor::from_slice([2], &[5i16, -7]).unwrap()).unwrap();
        assert_eq!(keys.find(&Tensor::from_slice([2], &[-7i64, 0]).unwrap().as_ref()).unwrap(), [Some(1), None]);
    }
}
