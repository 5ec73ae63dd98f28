//! Operators of `ai.onnx.ml`: trees, support vectors, linear models, encoders.

pub mod array_feature_extractor;
pub mod binarizer;
pub mod cast_map;
pub mod dict_vectorizer;
pub mod feature_vectorizer;
mod features;
pub mod imputer;
mod keys;
pub mod label_encoder;
mod labels;
pub mod linear;
mod maps;
pub mod normalizer;
pub mod one_hot_encoder;
mod post;
pub mod scaler;
pub mod svm;
mod table;
pub mod trees;
pub mod zip_map;

use op::OpDef;

/// The operators of this crate.
pub static OPS: &[&OpDef] = &[
    &array_feature_extractor::ARRAY_FEATURE_EXTRACTOR,
    &binarizer::BINARIZER,
    &cast_map::CAST_MAP,
    &dict_vectorizer::DICT_VECTORIZER,
    &feature_vectorizer::FEATURE_VECTORIZER,
    &imputer::IMPUTER,
    &label_encoder::CATEGORY_MAPPER,
    &label_encoder::LABEL_ENCODER,
    &linear::LINEAR_CLASSIFIER,
    &linear::LINEAR_REGRESSOR,
    &normalizer::NORMALIZER,
    &one_hot_encoder::ONE_HOT_ENCODER,
    &scaler::SCALER,
    &svm::classifier::SVM_CLASSIFIER,
    &svm::regressor::SVM_REGRESSOR,
    &trees::classifier::TREE_ENSEMBLE_CLASSIFIER,
    &trees::ensemble::TREE_ENSEMBLE,
    &trees::regressor::TREE_ENSEMBLE_REGRESSOR,
    &zip_map::ZIP_MAP,
];
