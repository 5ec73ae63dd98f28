//! Signatures and type constraints that many operators of this crate share.

use base::DType;
use op::TypeSet;
use op::types::{FLOATS, FLOATS_V1, INTEGERS, NUMERIC, NUMERIC_V1};

/// Type constraints of one variable.
pub(crate) type Types = &'static [(&'static str, TypeSet)];

/// `T`: floats until `bfloat16` came.
pub(crate) const T_FLOATS_V1: Types = &[("T", FLOATS_V1)];
/// `T`: floats.
pub(crate) const T_FLOATS: Types = &[("T", FLOATS)];
/// `T`: numbers until `bfloat16` came.
pub(crate) const T_NUMERIC_V1: Types = &[("T", NUMERIC_V1)];
/// `T`: numbers.
pub(crate) const T_NUMERIC: Types = &[("T", NUMERIC)];
/// `T`: integers.
pub(crate) const T_INTEGERS: Types = &[("T", INTEGERS)];
/// Signed integers.
pub(crate) const SIGNED: TypeSet = TypeSet::tensors(&[DType::I8, DType::I16, DType::I32, DType::I64]);
/// The 8-bit floats that have a sign.
pub(crate) const FLOAT8: TypeSet = TypeSet::tensors(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]);

/// One tensor in, one out, as most operators name them.
pub(crate) const X_Y: &str = "X:T -> Y:T";
/// One tensor in, one out, as other operators name them.
pub(crate) const INPUT_OUTPUT: &str = "input:T -> output:T";
