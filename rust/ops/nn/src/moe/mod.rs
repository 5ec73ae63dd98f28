//! Mixtures of experts.

mod activation;
pub mod plain;
pub mod quantized;
mod route;
