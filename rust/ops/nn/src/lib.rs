//! Operators of neural networks: products, convolutions, norms.

mod activation;
pub mod attention;
#[cfg(test)]
mod blocked_tests;
#[cfg(test)]
mod body_tests;
mod chunks;
pub mod conv;
pub mod einsum;
mod floats;
mod fold;
mod infer;
pub mod loss;
pub mod matmul;
pub mod moe;
pub mod norm;
mod number;
pub mod pool;
mod real;
pub mod resize;
pub mod rnn;
pub mod softmax;
pub mod swiglu;
pub mod vision;
mod widen;
mod window;

use op::OpDef;

/// How many channels the convolutions of this machine keep in a block.
pub fn channel_block() -> u8 {
    conv::tile::lanes(simd::isa::best()) as u8
}

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &attention::grouped::GROUP_QUERY_ATTENTION,
    &attention::linear::LINEAR_ATTENTION,
    &attention::linear::MICROSOFT_LINEAR_ATTENTION,
    &attention::multi_head::MICROSOFT_ATTENTION,
    &attention::multi_head::MULTI_HEAD_ATTENTION,
    &attention::multi_head::DECODER_MASKED_MULTI_HEAD_ATTENTION,
    &attention::rotary::MICROSOFT_ROTARY_EMBEDDING,
    &attention::rotary::ROTARY_EMBEDDING,
    &attention::sparse::SPARSE_ATTENTION,
    &attention::standard::ATTENTION,
    &conv::causal::CAUSAL_CONV_WITH_STATE,
    &conv::causal::MICROSOFT_CAUSAL_CONV_WITH_STATE,
    &conv::col2im::COL2IM,
    &conv::deform::DEFORM_CONV,
    &conv::integer::CONV_INTEGER,
    &conv::plain::CONV,
    &conv::plain::FUSED_CONV,
    &conv::plain::CONV_REORDER,
    &conv::quantized::Q_LINEAR_CONV,
    &conv::reorder::REORDER,
    &conv::transpose::CONV_TRANSPOSE,
    &einsum::EINSUM,
    &loss::NEGATIVE_LOG_LIKELIHOOD_LOSS,
    &loss::SOFTMAX_CROSS_ENTROPY_LOSS,
    &matmul::fused::FUSED_MAT_MUL,
    &matmul::fused::TRANSPOSE_MAT_MUL,
    &matmul::general::FUSED_GEMM,
    &matmul::general::GEMM,
    &matmul::integer::MAT_MUL_INTEGER,
    &matmul::integer_to_float::MAT_MUL_INTEGER_TO_FLOAT,
    &matmul::matmul_nbits::MAT_MUL_N_BITS,
    &matmul::plain::MAT_MUL,
    &matmul::quantized::Q_LINEAR_MAT_MUL,
    &moe::plain::MOE,
    &moe::quantized::Q_MOE,
    &norm::batch::BATCH_NORMALIZATION,
    &norm::embed::EMBED_LAYER_NORMALIZATION,
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
    &pool::global::GLOBAL_AVERAGE_POOL,
    &pool::global::GLOBAL_LP_POOL,
    &pool::global::GLOBAL_MAX_POOL,
    &pool::unpool::MAX_UNPOOL,
    &pool::window::AVERAGE_POOL,
    &pool::window::LP_POOL,
    &pool::window::MAX_POOL,
    &resize::RESIZE,
    &resize::UPSAMPLE,
    &rnn::dynamic::DYNAMIC_QUANTIZE_LSTM,
    &rnn::GRU,
    &rnn::LSTM,
    &rnn::RNN,
    &softmax::LOG_SOFTMAX,
    &softmax::SOFTMAX,
    &swiglu::SWI_GLU,
    &vision::affine_grid::AFFINE_GRID,
    &vision::crop_and_resize::CROP_AND_RESIZE,
    &vision::grid_sample::GRID_SAMPLE,
    &vision::max_roi_pool::MAX_ROI_POOL,
    &vision::non_max_suppression::NON_MAX_SUPPRESSION,
    &vision::roi_align::ROI_ALIGN,
];
