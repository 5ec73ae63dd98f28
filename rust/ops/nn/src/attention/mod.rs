//! Attention: values summed by how well their keys fit queries.

mod cache;
mod coding;
pub(crate) mod core;
mod few;
pub mod grouped;
pub mod linear;
mod masks;
pub mod multi_head;
pub mod rotary;
pub mod sparse;
pub mod standard;
