//! Operators of neural networks: products, convolutions, norms.

mod activation;
mod body;
mod chunks;
pub mod conv;
mod floats;
mod infer;
pub mod matmul;
pub mod norm;
mod real;
pub mod softmax;
mod widen;
mod window;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &conv::plain::CONV,
    &conv::plain::FUSED_CONV,
    &conv::reorder::REORDER,
    &matmul::fused::FUSED_MAT_MUL,
    &matmul::fused::TRANSPOSE_MAT_MUL,
    &matmul::general::FUSED_GEMM,
    &matmul::general::GEMM,
    &matmul::plain::MAT_MUL,
    &norm::batch::BATCH_NORMALIZATION,
    &norm::group::GROUP_NORMALIZATION,
    &norm::group::INSTANCE_NORMALIZATION,
    &norm::layer::LAYER_NORMALIZATION,
    &norm::lp::LP_NORMALIZATION,
    &norm::lrn::LRN,
    &norm::mean_variance::MEAN_VARIANCE_NORMALIZATION,
    &norm::rms::RMS_NORMALIZATION,
    &norm::rms::SIMPLIFIED_LAYER_NORMALIZATION,
    &norm::skip::SKIP_LAYER_NORMALIZATION,
    &norm::skip::SKIP_SIMPLIFIED_LAYER_NORMALIZATION,
    &softmax::LOG_SOFTMAX,
    &softmax::SOFTMAX,
];
