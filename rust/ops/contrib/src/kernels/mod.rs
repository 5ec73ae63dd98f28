//! Operators with kernels of their own.

pub mod bifurcation_detector;
pub mod dynamic_time_warping;
pub mod gather_block_quantized;
pub mod inverse;
pub mod murmur_hash3;
pub mod n_gram_repeat_block;
