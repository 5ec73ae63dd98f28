//! Random numbers.
//!
//! A node draws from a stream of its own: with a `seed` always the same one, else one that depends on the seed of the process
//! ([`set_seed`]). A stream goes on from run to run, and what it gives does not depend on the number of threads.

pub mod bernoulli;
pub mod dropout;
pub mod fill;
pub mod multinomial;
mod philox;
mod stream;

pub use stream::set_seed;

use base::dtype::Element;
use half::{bf16, f16};

/// A float type that random numbers are rounded to.
trait Real: Element {
    /// The nearest number to `x`.
    fn nearest(x: f64) -> Self;
}

impl Real for f32 {
    fn nearest(x: f64) -> Self {
        x as f32
    }
}

impl Real for f64 {
    fn nearest(x: f64) -> Self {
        x
    }
}

impl Real for f16 {
    fn nearest(x: f64) -> Self {
        f16::from_f64(x)
    }
}

impl Real for bf16 {
    fn nearest(x: f64) -> Self {
        bf16::from_f64(x)
    }
}
