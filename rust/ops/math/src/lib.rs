//! Element-wise, comparison, logic and reduction operators.

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[];
