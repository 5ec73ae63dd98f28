//! Values by keys, and one for all else: what LabelEncoder and CategoryMapper are.

use base::threads::paced;
use base::{DType, Result, Strings, Tensor, TensorRef, ensure};
use op::Run;

use crate::keys::Keys;

/// Values by keys.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) keys: Keys,
    key_dtype: DType,
    values: Tensor,
    /// What other keys give; one element.
    default: Tensor,
}

impl Table {
    /// The table that gives `values[i]` for `keys[i]`, and `default` for all else.
    ///
    /// # Errors
    /// `InvalidGraph` when they do not fit together.
    pub(crate) fn new(keys: &Tensor, values: Tensor, default: Tensor) -> Result<Self> {
        ensure!(keys.len() == values.len(), InvalidGraph, "{} keys and {} values are given", keys.len(), values.len());
        ensure!(!keys.is_empty(), InvalidGraph, "no keys are given");
        let fits = default.len() == 1 && default.dtype() == values.dtype();
        ensure!(fits, InvalidGraph, "the default is {}{}, but values are of type {}", default.dtype(), default.shape(), values.dtype());
        Ok(Self { keys: Keys::new(keys)?, key_dtype: keys.dtype(), values, default })
    }

    /// The type of the values.
    pub(crate) fn dtype(&self) -> DType {
        self.values.dtype()
    }

    /// Checks that inputs of type `dtype` can be looked up.
    ///
    /// # Errors
    /// `InvalidGraph` when they cannot.
    pub(crate) fn check(&self, dtype: DType) -> Result<()> {
        ensure!(dtype == self.key_dtype, InvalidGraph, "the input is of type {dtype}, but the keys are of type {}", self.key_dtype);
        Ok(())
    }

    /// Looks all elements of input 0 up.
    ///
    /// # Errors
    /// `InvalidArgument` when they are of another kind than the keys.
    pub(crate) fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (found, shape) = {
            let x = cx.input(0)?;
            (self.keys.find(&x)?, x.shape().to_vec())
        };
        if self.dtype() == DType::String {
            let (values, default) = (self.values.as_ref().strings()?, self.default.as_ref().strings()?.get(0));
            let strings: Strings = found.iter().map(|f| f.map_or(default, |i| values.get(i as usize))).collect();
            return cx.set_strings(0, &*shape, strings);
        }
        cx.allocate(0, self.dtype(), &*shape)?;
        let (values, default): (TensorRef<'_>, _) = (self.values.as_ref(), self.default.as_ref());
        let (values, default) = (values.bytes()?, default.bytes()?);
        let size = default.len();
        for (out, f) in paced(cx.output(0)?.bytes()?.chunks_exact_mut(size).zip(found), 4) {
            out.copy_from_slice(f.map_or(default, |i| &values[i as usize * size..(i as usize + 1) * size]));
        }
        Ok(())
    }
}
