//! Operators on signals.

pub mod dft;
mod fourier;
pub mod mel;
mod numbers;
pub mod stft;
pub mod window;

use base::DType;
use op::TypeSet;
use op::types::{FLOATS, INTEGERS};

/// Types of windows and matrices that are computed from sizes.
const COMPUTED: TypeSet = INTEGERS.or(FLOATS);

/// The element type that attribute `output_datatype` names.
fn output_type(a: &op::Attrs<'_>) -> base::Result<DType> {
    let dtype = a.opt_dtype("output_datatype")?.unwrap_or(DType::F32);
    base::ensure!(COMPUTED.contains(&base::Type::Tensor(dtype)), InvalidGraph, "attribute 'output_datatype' is {dtype}");
    Ok(dtype)
}
