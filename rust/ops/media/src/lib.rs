//! Operators on strings, images and signals.

pub mod picture;
pub mod signal;
pub mod text;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &picture::decoder::IMAGE_DECODER,
    &signal::dft::DFT,
    &signal::mel::MEL_WEIGHT_MATRIX,
    &signal::stft::STFT,
    &signal::window::BLACKMAN_WINDOW,
    &signal::window::HAMMING_WINDOW,
    &signal::window::HANN_WINDOW,
    &text::concat::STRING_CONCAT,
    &text::full_match::REGEX_FULL_MATCH,
    &text::normalizer::STRING_NORMALIZER,
    &text::split::STRING_SPLIT,
    &text::tf_idf::TF_IDF_VECTORIZER,
    &text::tokenizer::TOKENIZER,
];
