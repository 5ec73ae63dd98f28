//! Operators on strings, images and signals.

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[];
