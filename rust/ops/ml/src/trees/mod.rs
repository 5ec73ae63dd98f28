//! Ensembles of decision trees.

mod attributes;
mod build;
pub mod classifier;
mod descend;
pub mod ensemble;
mod evaluate;
mod node;
mod number;
pub mod regressor;
#[cfg(test)]
mod testing;
