//! Element-wise functions: inner loops, broadcasting, and the operators that are nothing but a loop.
//!
//! An inner loop ([`Map`], [`Zip`]) is a function over neighbouring elements and knows nothing of shapes. The drivers cut an output into
//! chunks for threads and into runs over which every input is contiguous or one element, so that each function is compiled once for each
//! type, not once for each way to broadcast.

mod binary;
mod blocked;
mod convert;
mod driver;
mod loops;
mod operand;
mod unary;
mod variadic;

pub use binary::{Align, Binary, BinaryKernel, binary, test, unknown, values};
pub use convert::{Convert, MapThrough, ZipThrough, float_map, float_zip};
pub use driver::{Target, check_apart, map, zip};
pub use loops::{Map, Source, Vector, Zip, each, each_wide, pairs, pairs_wide, swapped, vector, vectors};
pub use operand::{BLOCK, indices};
pub use unary::{SELF, Unary, closures, consumed_inputs, floats, plain, with};
pub use variadic::Fold;

pub(crate) use convert::for_integers;
