//! The functions of cuBLASLt that are called, and the numbers they are called with.
//!
//! Names, types and numbers are those of `cublasLt.h` and `library_types.h`; they are the same in CUDA 12 and 13.

use std::ffi::{c_char, c_int, c_void};

use crate::driver::Handle;
use crate::library::table;

/// How a product is computed, as the library chose it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Algorithm([u64; 8]);

/// What the library says of an algorithm.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Heuristic {
    pub(super) algorithm: Algorithm,
    pub(super) workspace: usize,
    pub(super) status: c_int,
    pub(super) waves: f32,
    pub(super) reserved: [c_int; 4],
}

impl Heuristic {
    pub(super) const EMPTY: Self = Self { algorithm: Algorithm([0; 8]), workspace: 0, status: 0, waves: 0.0, reserved: [0; 4] };
}

table! {
    /// The functions of cuBLASLt, as of CUDA 12.0.
    Lt {
        cublasLtCreate(*mut Handle);
        cublasLtDestroy(Handle);
        cublasLtGetVersion() -> usize;
        cublasLtGetStatusName(c_int) -> *const c_char;
        cublasLtMatmulDescCreate(*mut Handle, c_int, c_int);
        cublasLtMatmulDescSetAttribute(Handle, c_int, *const c_void, usize);
        cublasLtMatmulDescDestroy(Handle);
        cublasLtMatrixLayoutCreate(*mut Handle, c_int, u64, u64, i64);
        cublasLtMatrixLayoutSetAttribute(Handle, c_int, *const c_void, usize);
        cublasLtMatrixLayoutDestroy(Handle);
        cublasLtMatmulPreferenceCreate(*mut Handle);
        cublasLtMatmulPreferenceSetAttribute(Handle, c_int, *const c_void, usize);
        cublasLtMatmulPreferenceDestroy(Handle);
        cublasLtMatmulAlgoGetHeuristic(
            Handle, Handle, Handle, Handle, Handle, Handle, Handle, c_int, *mut super::library::Heuristic, *mut c_int,
        );
        cublasLtMatmul(
            Handle, Handle, *const c_void, u64, Handle, u64, Handle, *const c_void, u64, Handle, u64, Handle,
            *const super::library::Algorithm, u64, usize, Handle,
        );
    }
}

pub(super) const R_32F: c_int = 0;
pub(super) const R_16F: c_int = 2;
pub(super) const R_16BF: c_int = 14;
pub(super) const COMPUTE_32F: c_int = 68;
pub(super) const COMPUTE_32F_FAST_TF32: c_int = 77;
pub(super) const OP_T: c_int = 1;
pub(super) const DESC_TRANSA: c_int = 3;
pub(super) const DESC_TRANSB: c_int = 4;
pub(super) const DESC_EPILOGUE: c_int = 7;
pub(super) const DESC_BIAS_POINTER: c_int = 8;
pub(super) const EPILOGUE_RELU: u32 = 2;
pub(super) const EPILOGUE_BIAS: u32 = 4;
pub(super) const EPILOGUE_RELU_BIAS: u32 = 6;
pub(super) const LAYOUT_BATCH_COUNT: c_int = 5;
pub(super) const LAYOUT_STRIDED_BATCH_OFFSET: c_int = 6;
pub(super) const PREF_MAX_WORKSPACE_BYTES: c_int = 1;
/// That of A; those of B, C and D follow.
pub(super) const PREF_MIN_ALIGNMENT_A_BYTES: c_int = 5;
/// The status of products that no algorithm is for.
pub(super) const NOT_SUPPORTED: c_int = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::cublaslt::sys;

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!(R_32F, sys::cudaDataType_t::CUDA_R_32F as c_int);
        assert_eq!(R_16F, sys::cudaDataType_t::CUDA_R_16F as c_int);
        assert_eq!(R_16BF, sys::cudaDataType_t::CUDA_R_16BF as c_int);
        assert_eq!(COMPUTE_32F, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F as c_int);
        assert_eq!(COMPUTE_32F_FAST_TF32, sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32 as c_int);
        let desc = |a: sys::cublasLtMatmulDescAttributes_t| a as c_int;
        assert_eq!(DESC_TRANSA, desc(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA));
        assert_eq!(DESC_TRANSB, desc(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSB));
        assert_eq!(DESC_EPILOGUE, desc(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_EPILOGUE));
        assert_eq!(DESC_BIAS_POINTER, desc(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER));
        let epilogue = |e: sys::cublasLtEpilogue_t| e as u32;
        assert_eq!(EPILOGUE_RELU, epilogue(sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU));
        assert_eq!(EPILOGUE_BIAS, epilogue(sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS));
        assert_eq!(EPILOGUE_RELU_BIAS, epilogue(sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_RELU_BIAS));
        let layout = |a: sys::cublasLtMatrixLayoutAttribute_t| a as c_int;
        assert_eq!(LAYOUT_BATCH_COUNT, layout(sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT));
        let offset = sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET;
        assert_eq!(LAYOUT_STRIDED_BATCH_OFFSET, layout(offset));
        let pref = |a: sys::cublasLtMatmulPreferenceAttributes_t| a as c_int;
        assert_eq!(PREF_MAX_WORKSPACE_BYTES, pref(sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES));
        let alignments = [
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
        ];
        assert!(alignments.into_iter().map(pref).eq((0..4).map(|i| PREF_MIN_ALIGNMENT_A_BYTES + i)));
        assert_eq!(OP_T, cudarc::cublas::sys::cublasOperation_t::CUBLAS_OP_T as c_int);
        assert_eq!(NOT_SUPPORTED, cudarc::cublas::sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED as c_int);
        assert_eq!(size_of::<Algorithm>(), size_of::<sys::cublasLtMatmulAlgo_t>());
        assert_eq!(size_of::<Heuristic>(), size_of::<sys::cublasLtMatmulHeuristicResult_t>());
        let offset = std::mem::offset_of!(sys::cublasLtMatmulHeuristicResult_t, workspaceSize);
        assert_eq!(std::mem::offset_of!(Heuristic, workspace), offset);
    }
}
