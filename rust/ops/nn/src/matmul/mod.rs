//! Matrix products.

pub mod fused;
pub mod general;
pub mod plain;
pub(crate) mod product;
pub(crate) mod shape;
