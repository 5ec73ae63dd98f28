//! Operators of `com.microsoft` that ONNX has as well, or that few of its operators make.

pub mod bnb4;
pub mod cdist;
pub mod dynamic_quantize_mat_mul;
pub mod embed;
pub mod expand_dims;
pub mod mat_mul_integer16;
pub mod q_attention;
pub mod same;
pub mod sample_op;
