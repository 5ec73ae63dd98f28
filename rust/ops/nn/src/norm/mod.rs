//! Normalizations: to mean and variance, to the root mean square, to a norm.

pub mod batch;
mod cuda;
pub mod embed;
pub mod group;
pub mod layer;
pub mod lp;
pub mod lrn;
pub mod mean_variance;
pub mod rms;
mod row;
pub mod skip;
