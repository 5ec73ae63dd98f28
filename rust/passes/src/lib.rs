//! Graph passes and their driver.
//!
//! A pass is one file: its documentation shows the graph before and after. [`PASSES`] lists them in the order they work;
//! [`optimize`] runs them until nothing changes.
#![forbid(unsafe_code)]

mod activation;
mod attention;
mod bias_gelu;
mod cast_like;
mod context;
mod conv;
mod conv_activation;
mod conv_add;
mod conv_affine;
mod conv_batch_norm;
mod cse;
mod dead;
mod driver;
mod elementwise;
mod fold;
mod gelu;
mod gemm_activation;
mod identity;
mod inline_if;
mod layer_norm;
mod layout;
mod level;
mod matmul_add;
mod matmul_transpose;
mod norm;
mod numbers;
mod pass;
mod product;
mod quick_gelu;
mod report;
mod reshape;
mod rewriter;
mod rms_norm;
mod skip_layer_norm;
mod stale;
mod subgraphs;
#[cfg(test)]
mod testing;
mod transpose;

pub use context::Context;
pub use driver::{Options, optimize};
pub use level::Level;
pub use numbers::tensor_of;
pub use pass::{PASSES, Pass, Rule, table};
pub use report::Report;
pub use rewriter::Rewriter;
