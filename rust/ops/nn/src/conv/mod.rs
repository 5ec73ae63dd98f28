//! Convolutions.

mod bytes;
pub mod causal;
pub mod col2im;
pub mod deform;
mod depthwise;
mod direct;
mod general;
pub mod integer;
mod kernel;
mod pack;
pub mod plain;
mod problem;
pub mod quantized;
pub mod reorder;
mod rows;
mod target;
pub(crate) mod tile;
pub mod transpose;
pub(crate) mod windows;
mod winograd;
