//! Sets of types that only control flow, sequences and optionals have.

use base::DType;
use op::TypeSet;
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25};

/// Just `int64`.
pub(crate) const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);
/// Sequences of what tensors could be before `bfloat16` came.
pub(crate) const SEQUENCES_V1: TypeSet = ANY_V1.sequences();
/// Tensors and sequences of them, before `bfloat16` came.
pub(crate) const VALUES_V1: TypeSet = ANY_V1.or(SEQUENCES_V1);

/// Tensors of `any`, sequences and optionals of them; optionals of sequences stayed as they were in opset 16.
const fn values(any: TypeSet) -> TypeSet {
    any.or(any.sequences()).or(any.or(ANY_V13.sequences()).optionals())
}

/// What control flow takes and gives since opset 16.
pub(crate) const VALUES_V16: TypeSet = values(ANY_V13);
/// What control flow takes and gives since opset 19.
pub(crate) const VALUES_V19: TypeSet = values(ANY_V19);
/// What control flow takes and gives since opset 21.
pub(crate) const VALUES_V21: TypeSet = values(ANY_V21);
/// What control flow takes and gives since opset 23.
pub(crate) const VALUES_V23: TypeSet = values(ANY_V23);
/// What control flow takes and gives since opset 24.
pub(crate) const VALUES_V24: TypeSet = values(ANY_V24);
/// What control flow takes and gives since opset 25.
pub(crate) const VALUES_V25: TypeSet = values(ANY_V25);
