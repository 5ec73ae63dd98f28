//! The versions of the reductions.

use base::DType;
use op::types::{BOOL, FLOATS, HIGH_PRECISION, HIGH_PRECISION_V7};
use op::{Since, TypeSet, since};

use crate::types::Types;

const ATTRIBUTE: &str = "data:T -> reduced:T";
const INPUT: &str = "data:T, axes:int64? -> reduced:T";

const BYTES: TypeSet = TypeSet::tensors(&[DType::U8, DType::I8]);
const T_V1: Types = &[("T", HIGH_PRECISION_V7)];
const T_V13: Types = &[("T", HIGH_PRECISION)];

/// ReduceSum: axes are an input since version 13.
pub(super) const SUMS: &[Since] = &[since(1, ATTRIBUTE, T_V1), since(11, ATTRIBUTE, T_V1), since(13, INPUT, T_V13)];

/// Most reductions.
pub(super) const OTHERS: &[Since] =
    &[since(1, ATTRIBUTE, T_V1), since(11, ATTRIBUTE, T_V1), since(13, ATTRIBUTE, T_V13), since(18, INPUT, T_V13)];

/// Reductions that give a logarithm: of floats only since version 28.
pub(super) const LOGARITHMS: &[Since] = &[
    since(1, ATTRIBUTE, T_V1),
    since(11, ATTRIBUTE, T_V1),
    since(13, ATTRIBUTE, T_V13),
    since(18, INPUT, T_V13),
    since(28, INPUT, &[("T", FLOATS)]),
];

/// ReduceMax and ReduceMin: of bytes since version 12, of booleans since version 20.
pub(super) const EXTREMES: &[Since] = &[
    since(1, ATTRIBUTE, T_V1),
    since(11, ATTRIBUTE, T_V1),
    since(12, ATTRIBUTE, &[("T", HIGH_PRECISION_V7.or(BYTES))]),
    since(13, ATTRIBUTE, &[("T", HIGH_PRECISION.or(BYTES))]),
    since(18, INPUT, &[("T", HIGH_PRECISION.or(BYTES))]),
    since(20, INPUT, &[("T", HIGH_PRECISION.or(BYTES).or(BOOL))]),
];
