//! The operators of `com.microsoft.nchwc`, which ONNX Runtime writes into models that it optimized for one machine.
//!
//! There, channels lie in blocks, so many as a vector of the machine has lanes, and their number is rounded up to whole blocks. Here
//! layout is no matter of shapes: the operators become those of ONNX, with as many channels, and weights are put in order again. Passes
//! choose layouts of their own afterwards.

pub mod conv;
pub mod pool;
pub mod reorder;
pub mod upsample;

use op::{OpDef, TypeSet};

/// The domain of these operators.
pub(crate) const DOMAIN: &str = "com.microsoft.nchwc";
/// What tensors they take.
pub(crate) const FLOAT: &[(&str, TypeSet)] = &[("T", TypeSet::tensors(&[base::DType::F32]))];
/// What definitions start from.
pub(crate) const NCHWC: OpDef = OpDef { domain: DOMAIN, ..OpDef::ONNX };

/// How many channels ONNX Runtime keeps in a block on this machine.
pub(crate) fn block() -> usize {
    #[cfg(target_arch = "x86_64")]
    return if std::arch::is_x86_feature_detected!("avx512f") { 16 } else { 8 };
    #[cfg(not(target_arch = "x86_64"))]
    return 16;
}
