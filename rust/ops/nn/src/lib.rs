//! Operators of neural networks: products, convolutions, norms.

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[];
