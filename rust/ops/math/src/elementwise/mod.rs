//! Element-wise functions: inner loops, broadcasting, and the operators that are nothing but a loop.
//!
//! An inner loop ([`Map`], [`Zip`]) is a function over neighbouring elements and knows nothing of shapes. The drivers cut an output into
//! chunks for threads and into runs over which every input is contiguous or one element, so that each function is compiled once for each
//! type, not once for each way to broadcast.

mod binary;
mod blocked;
mod convert;
mod cuda;
mod driver;
mod loops;
mod operand;
mod unary;
mod variadic;

pub(crate) use binary::{Align, Binary, BinaryKernel, binary, test, unknown};
pub(crate) use convert::{Convert, MapThrough, ZipThrough, float_map, float_zip, through};
pub(crate) use driver::{Target, check_apart, map};
pub(crate) use loops::{Map, Vector, Zip, each, each_here, each_wide, pairs, pairs_wide, swapped, vector, vectorize, vectors};
pub(crate) use operand::{BLOCK, Buffer, indices};
pub(crate) use unary::{SELF, Unary, closures, consumed_inputs, floats, plain, with};
pub(crate) use variadic::Fold;

pub(crate) use convert::for_integers;
