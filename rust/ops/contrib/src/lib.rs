//! Operators that ONNX Runtime's optimizers and quantizer write, most of them in terms of those of ONNX, and weights in blocks.

pub mod blocks;
pub mod fused;
pub mod kernels;
pub mod legacy;
pub mod nchwc;
pub mod plain;
pub mod q_linear;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &fused::engram_gate::ENGRAM_GATE,
    &fused::gated_rms_norm::BRANCHWISE_RMS_NORM,
    &fused::gated_rms_norm::GATED_RMS_NORM,
    &fused::gates::GATED_ADD,
    &fused::gates::LINEAR_ATTENTION_GATE,
    &fused::gates::SCALED_SI_LU,
    &fused::hyper_connection::HYPER_CONNECTION_POST_MIX,
    &fused::hyper_connection::HYPER_CONNECTION_PRE_MIX,
    &fused::m_rotary_embedding::M_ROTARY_EMBEDDING,
    &fused::unfold_tensor::UNFOLD_TENSOR,
    &kernels::bifurcation_detector::BIFURCATION_DETECTOR,
    &kernels::dynamic_time_warping::DYNAMIC_TIME_WARPING,
    &kernels::gather_block_quantized::GATHER_BLOCK_QUANTIZED,
    &kernels::inverse::INVERSE,
    &kernels::murmur_hash3::MURMUR_HASH3,
    &kernels::n_gram_repeat_block::N_GRAM_REPEAT_BLOCK,
    &legacy::AFFINE,
    &legacy::CROP,
    &legacy::DYNAMIC_SLICE,
    &legacy::IMAGE_SCALER,
    &legacy::MEMCPY_FROM_HOST,
    &legacy::MEMCPY_TO_HOST,
    &legacy::PARAMETRIC_SOFTPLUS,
    &legacy::SCALE,
    &legacy::SCALED_TANH,
    &nchwc::conv::CONV,
    &nchwc::pool::AVERAGE_POOL,
    &nchwc::pool::GLOBAL_AVERAGE_POOL,
    &nchwc::pool::GLOBAL_MAX_POOL,
    &nchwc::pool::MAX_POOL,
    &nchwc::reorder::REORDER_INPUT,
    &nchwc::reorder::REORDER_OUTPUT,
    &nchwc::upsample::UPSAMPLE,
    &plain::bnb4::MAT_MUL_BNB4,
    &plain::cdist::C_DIST,
    &plain::dynamic_quantize_mat_mul::DYNAMIC_QUANTIZE_MAT_MUL,
    &plain::embed::Q_EMBED_LAYER_NORMALIZATION,
    &plain::expand_dims::EXPAND_DIMS,
    &plain::mat_mul_integer16::MAT_MUL_INTEGER16,
    &plain::q_attention::Q_ATTENTION,
    &plain::sample_op::SAMPLE_OP,
    &plain::same::GATHER_ND,
    &plain::same::GRID_SAMPLE,
    &plain::same::PAD,
    &plain::same::RANGE,
    &plain::same::TRILU,
    &plain::same::UNIQUE,
    &q_linear::average_pool::Q_LINEAR_AVERAGE_POOL,
    &q_linear::average_pool::Q_LINEAR_GLOBAL_AVERAGE_POOL,
    &q_linear::binary::Q_LINEAR_ADD,
    &q_linear::binary::Q_LINEAR_MUL,
    &q_linear::concat::Q_LINEAR_CONCAT,
    &q_linear::conv::NHWC_MAX_POOL,
    &q_linear::conv::Q_LINEAR_CONV,
    &q_linear::gemm::Q_GEMM,
    &q_linear::reduce_mean::Q_LINEAR_REDUCE_MEAN,
    &q_linear::softmax::Q_LINEAR_SOFTMAX,
    &q_linear::unary::Q_LINEAR_LEAKY_RELU,
    &q_linear::unary::Q_LINEAR_SIGMOID,
    &q_linear::r#where::Q_LINEAR_WHERE,
];
