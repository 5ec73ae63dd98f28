//! Activation functions.

pub mod elu;
pub mod gelu;
pub mod relu;
pub mod sigmoid;
pub mod smooth;
