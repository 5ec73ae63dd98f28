//! Matrix products: packing, microkernels, epilogues.
//!
//! ```
//! use gemm::{Epilogue, Mat, MatMut, Operand, PackedB, Step, gemm};
//!
//! let (a, b, bias) = ([1.0f32, 2.0, 3.0, 4.0], [1.0f32, 0.0, 1.0, 1.0], [10.0f32, 20.0]);
//! let b = PackedB::new(Mat::row_major(&b, 2, 2)?)?;
//! let steps = [Step::add(Operand::per_column(&bias))];
//! let mut c = [0.0f32; 4];
//! gemm(Mat::row_major(&a, 2, 2)?, &b, &Epilogue::new(&steps), MatMut::row_major(&mut c, 2, 2)?, &mut [])?;
//! assert_eq!(c, [13.0, 22.0, 17.0, 24.0]);
//! # Ok::<(), base::Error>(())
//! ```

mod blocking;
mod epilogue;
mod int8;
mod kernel;
mod matrix;
mod memory;
mod nbits;
mod pack;
mod packed;
mod panels;
mod product;
mod scalar;
mod source;

pub use epilogue::{Activation, Epilogue, Operand, Step};
pub use int8::{
    ByteMat, ByteOutput, ByteRhs, ByteTerms, PackedBytes, Scales, byte_gemm, byte_gemm_batched, byte_gemm_on, byte_scratch_len,
};
pub use matrix::{Batch, Mat, MatMut};
pub use nbits::{BlockZeros, Blockwise, PackedBlocks, Precision, blocks_gemm, blocks_scratch_len};
pub use packed::{PackedA, PackedB};
pub use product::{Lhs, Rhs, gemm, gemm_batched, gemm_on, gemm_onto, scratch_len};
pub use scalar::{Float, Scalar};
pub use source::Columns;
