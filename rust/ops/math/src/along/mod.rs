//! Operators that work along one axis of a tensor.

pub mod arg;
pub mod cumulative;
pub mod hardmax;
mod search;
mod split;
