//! Matrix products.

mod bytes;
mod cuda;
pub mod fused;
pub mod general;
pub mod integer;
pub mod integer_to_float;
pub mod matmul_nbits;
pub mod plain;
pub(crate) mod product;
pub mod quantized;
mod reordered;
pub(crate) mod shape;
