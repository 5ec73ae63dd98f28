//! Operators on strings.

pub mod concat;
pub mod full_match;
pub mod normalizer;
mod re2;
pub mod split;
pub mod tf_idf;
pub mod tokenizer;

use base::DType;
use op::TypeSet;

/// Just `string`.
const STRING: TypeSet = TypeSet::tensors(&[DType::String]);
