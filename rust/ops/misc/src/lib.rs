//! Control flow, sequences, optionals, quantization, random numbers, sparse matrices, steps of optimizers.

pub mod control;
mod in_place;
pub mod optional;
pub mod quantize;
pub mod random;
mod scalar;
pub mod sequence;
mod slices;
pub mod sparse_matmul;
pub mod training;
mod types;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &control::flex_attention::FLEX_ATTENTION,
    &control::if_::IF,
    &control::loop_::LOOP,
    &control::scan::SCAN,
    &control::sequence_map::SEQUENCE_MAP,
    &optional::OPTIONAL,
    &optional::OPTIONAL_GET_ELEMENT,
    &optional::OPTIONAL_HAS_ELEMENT,
    &quantize::dequantize_linear::DEQUANTIZE_LINEAR,
    &quantize::dequantize_linear::MS_DEQUANTIZE_LINEAR,
    &quantize::dynamic::DYNAMIC_QUANTIZE_LINEAR,
    &quantize::quantize_linear::QUANTIZE_LINEAR,
    &quantize::quantize_linear::MS_QUANTIZE_LINEAR,
    &random::bernoulli::BERNOULLI,
    &random::dropout::DROPOUT,
    &random::fill::RANDOM_NORMAL,
    &random::fill::RANDOM_NORMAL_LIKE,
    &random::fill::RANDOM_UNIFORM,
    &random::fill::RANDOM_UNIFORM_LIKE,
    &random::multinomial::MULTINOMIAL,
    &sequence::at::SEQUENCE_AT,
    &sequence::concat::CONCAT_FROM_SEQUENCE,
    &sequence::construct::SEQUENCE_CONSTRUCT,
    &sequence::empty::SEQUENCE_EMPTY,
    &sequence::erase::SEQUENCE_ERASE,
    &sequence::insert::SEQUENCE_INSERT,
    &sequence::length::SEQUENCE_LENGTH,
    &sequence::split::SPLIT_TO_SEQUENCE,
    &sparse_matmul::SPARSE_TO_DENSE_MATMUL,
    &training::adagrad::ADAGRAD,
    &training::adam::ADAM,
    &training::momentum::MOMENTUM,
];
