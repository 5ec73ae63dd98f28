//! The gates of an LSTM with its usual activations, in one pass of vectors.

use simd::{Kernel, Simd, VecFn, dispatch, math};

use crate::floats::{cast, cast_mut};
use crate::real::Real;

/// Computes the new states of rows of `n` cells from their gates (input, output, forget, candidate); false, and nothing done, for other
/// types than `f32`.
pub(super) fn usual<A: Real>(n: usize, gates: &[A], c: &[A], new_c: &mut [A], new_h: &mut [A]) -> bool {
    let (Some(gates), Some(c), Some(new_c), Some(new_h)) = (cast(gates), cast(c), cast_mut(new_c), cast_mut(new_h)) else { return false };
    let states = c.chunks_exact(n).zip(new_c.chunks_exact_mut(n)).zip(new_h.chunks_exact_mut(n));
    for (gates, ((c, new_c), new_h)) in gates.chunks_exact(4 * n).zip(states) {
        dispatch(Gates { gates, c, new_c, new_h });
    }
    true
}

/// One row.
struct Gates<'a> {
    gates: &'a [f32],
    c: &'a [f32],
    new_c: &'a mut [f32],
    new_h: &'a mut [f32],
}

impl Kernel for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.c.len();
        assert!(self.gates.len() == 4 * n && self.new_c.len() == n && self.new_h.len() == n, "gates of other cells");
        for i in (0..n).step_by(S::LANES) {
            let rest = S::LANES.min(n - i);
            // No closures over vectors here: they would be compiled without the instruction set.
            // SAFETY: each slice holds `rest` values from `i` on, the gates in each of their four parts.
            unsafe {
                let gates = self.gates.as_ptr().add(i);
                let input = math::Sigmoid.eval(s, load(s, gates, rest));
                let output = math::Sigmoid.eval(s, load(s, gates.add(n), rest));
                let forget = math::Sigmoid.eval(s, load(s, gates.add(2 * n), rest));
                let candidate = math::Tanh.eval(s, load(s, gates.add(3 * n), rest));
                let c = s.fma(input, candidate, s.mul(forget, load(s, self.c.as_ptr().add(i), rest)));
                store(s, self.new_c.as_mut_ptr().add(i), rest, c);
                store(s, self.new_h.as_mut_ptr().add(i), rest, s.mul(output, math::Tanh.eval(s, c)));
            }
        }
    }
}

/// Up to a vector: `n` values.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, from: *const f32, n: usize) -> S::F {
    // SAFETY: as the caller says.
    unsafe { if n == S::LANES { s.load(from) } else { s.load_partial(from, n) } }
}

/// Stores the first `n` values.
///
/// # Safety
/// There is room for them.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, to: *mut f32, n: usize, v: S::F) {
    // SAFETY: as the caller says.
    unsafe { if n == S::LANES { s.store(to, v) } else { s.store_partial(to, n, v) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_one_by_one() {
        for n in [1usize, 7, 16, 33] {
            let value = |i: usize| ((i * 37 + n) % 29) as f32 * 0.3 - 4.0;
            let gates: Vec<f32> = (0..8 * n).map(value).chain([0.0; 0]).collect();
            let c: Vec<f32> = (0..2 * n).map(|i| value(i + 5) * 0.4).collect();
            let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
            let (mut new_c, mut new_h) = (vec![0f32; 2 * n], vec![0f32; 2 * n]);
            assert!(usual(n, &gates, &c, &mut new_c, &mut new_h));
            for (at, (got_c, got_h)) in new_c.iter().zip(&new_h).enumerate() {
                let gate = |which: usize| gates[at / n * 4 * n + which * n + at % n];
                let want_c = sigmoid(gate(2)) * f64::from(c[at]) + sigmoid(gate(0)) * f64::from(gate(3)).tanh();
                let want_h = sigmoid(gate(1)) * want_c.tanh();
                assert!((f64::from(*got_c) - want_c).abs() < 1e-6 && (f64::from(*got_h) - want_h).abs() < 1e-6, "{n} {at}");
            }
        }
        assert!(!usual(1, &[0f64; 4], &[0f64], &mut [0f64], &mut [0f64]));
    }
}
