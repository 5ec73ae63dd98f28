//! Operators that move and shape data.

pub mod gather;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[&gather::GATHER];
