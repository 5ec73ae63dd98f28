//! Mathematical functions of one or two `f32`, each a [`VecFn`](crate::VecFn) or [`VecFn2`](crate::VecFn2).
//!
//! The coefficients are minimax fits (Remez exchange) over the stated interval. Errors are against the exact result: at most 2 ULP for
//! `Exp`, `Log` and `Log1p`, 4 ULP for the others unless said otherwise, over every `f32` including subnormal results.

mod arith;
mod erf;
mod exp;
mod log;
mod tanh;
mod trig;

pub use arith::*;
pub use erf::{Erf, Gelu};
pub use exp::{Elu, Exp, Expm1, GeluTanh, QuickGelu, Sigmoid, Silu};
pub use log::{Log, Log1p, Softplus};
pub use tanh::Tanh;
pub use trig::{Cos, Sin};

use crate::Simd;

/// `c[0] + c[1] x + c[2] x^2 + …` by Horner's rule.
#[inline(always)]
pub(crate) fn poly<S: Simd, const N: usize>(s: S, x: S::F, c: [f32; N]) -> S::F {
    let mut y = s.splat(c[N - 1]);
    for i in (0..N - 1).rev() {
        y = s.fma(y, x, s.splat(c[i]));
    }
    y
}
