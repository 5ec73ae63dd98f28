//! Instruction sets found at run time, and vector mathematics on them.
//!
//! A kernel is written once over the [`Simd`] trait and run by [`dispatch`], which picks the widest instruction set of the machine. The
//! zero-sized token of an instruction set exists only where the machine has it, so holding a token proves that its instructions may run.
//!
//! ```
//! let mut x = [0.0f32, 1.0, -1.0];
//! simd::map_in_place(simd::math::Exp, &mut x);
//! assert_eq!(x[0], 1.0);
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod convert;
pub mod isa;
mod map;
pub mod math;
mod pieces;
mod portable;
pub mod reduce;
pub mod rows;
#[cfg(test)]
mod testing;
mod vector;
#[cfg(test)]
mod vector_tests;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2Token;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512Token;
pub use convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub use isa::Isa;
pub use map::{VecFn, VecFn2, map, map_in_place, zip, zip_in_place};
pub use portable::PortableToken;
pub use vector::{Kernel, MAX_LANES, Simd, dispatch, dispatch_on};
