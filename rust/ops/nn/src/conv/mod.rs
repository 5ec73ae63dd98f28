//! Convolutions.

mod depthwise;
mod direct;
mod general;
mod kernel;
mod pack;
pub mod plain;
mod problem;
pub mod reorder;
pub(crate) mod tile;
