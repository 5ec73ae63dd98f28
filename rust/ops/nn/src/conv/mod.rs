//! Convolutions.

mod direct;
mod kernel;
mod pack;
pub mod plain;
mod problem;
mod tile;
