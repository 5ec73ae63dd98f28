//! Support vector machines.

pub mod classifier;
mod kernel;
mod probability;
pub mod regressor;
