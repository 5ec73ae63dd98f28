//! Control flow, sequences, optionals, quantization.

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[];
