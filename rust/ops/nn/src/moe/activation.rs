//! What stands between the two products of an expert.

use base::{Result, bail, ensure};
use op::Attrs;
use simd::math::{GeluTanh, Silu};

/// The activation of experts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Activation {
    Relu,
    /// By the hyperbolic tangent, as in ONNX Runtime.
    Gelu,
    Silu,
    Identity,
    /// Gates and values beside each other, or (`apart`) one half after the other.
    SwiGlu {
        alpha: f32,
        beta: f32,
        limit: f32,
        apart: bool,
    },
}

impl Activation {
    /// Reads the attributes `activation_*` and `swiglu_*`.
    pub(super) fn load(a: &Attrs<'_>) -> Result<Self> {
        let (alpha, beta) = (a.float("activation_alpha", 1.0)?, a.float("activation_beta", 0.0)?);
        let (limit, fusion) = (a.float("swiglu_limit", f32::INFINITY)?, a.int("swiglu_fusion", 0)?);
        ensure!(limit >= 0.0, InvalidGraph, "attribute 'swiglu_limit' is {limit}");
        Ok(match a.choice("activation_type", &["relu", "gelu", "silu", "identity", "swiglu"], "relu")? {
            0 => Self::Relu,
            1 => Self::Gelu,
            2 => Self::Silu,
            3 => Self::Identity,
            _ => match fusion {
                1 => Self::SwiGlu { alpha, beta, limit, apart: false },
                2 => Self::SwiGlu { alpha, beta, limit, apart: true },
                other => bail!(NotImplemented, "SwiGLU with swiglu_fusion={other}: gates and values must come from one product"),
            },
        })
    }

    /// How many values of the first product make one of the second's.
    pub(super) fn inputs(self) -> usize {
        if matches!(self, Self::SwiGlu { .. }) { 2 } else { 1 }
    }

    /// Activates rows of `width` values; the result lies at the beginning.
    pub(super) fn apply(self, x: &mut Vec<f32>, width: usize) {
        match self {
            Self::Relu => x.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::Gelu => simd::map_in_place(GeluTanh, x),
            Self::Silu => simd::map_in_place(Silu, x),
            Self::Identity => {}
            Self::SwiGlu { alpha, beta, limit, apart } => {
                let half = width / 2;
                let value = |gate: f32, value: f32| {
                    let (gate, value) = (gate.min(limit), value.clamp(-limit, limit));
                    gate / (1.0 + (-alpha * gate).exp()) * (value + beta)
                };
                for i in 0..x.len() / 2 {
                    let (row, column) = (i / half, i % half);
                    let (gate, other) = if apart { (column, half + column) } else { (2 * column, 2 * column + 1) };
                    // What has been read already is written over.
                    let result = value(x[row * width + gate], x[row * width + other]);
                    if apart { x[row * width + column] = result } else { x[i] = result }
                }
                if apart {
                    (0..x.len() / 2).for_each(|i| x[i] = x[i / half * width + i % half]);
                }
                x.truncate(x.len() / 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swiglu_beside_and_apart() {
        let f = |g: f32, v: f32| g.min(2.0) / (1.0 + (-1.5 * g.min(2.0)).exp()) * (v.clamp(-2.0, 2.0) + 0.5);
        let want = [f(1., 2.), f(-1., 3.), f(4., 0.), f(0.5, -5.)];
        let swiglu = |apart| Activation::SwiGlu { alpha: 1.5, beta: 0.5, limit: 2.0, apart };
        let mut x = vec![1., 2., -1., 3., 4., 0., 0.5, -5.];
        swiglu(false).apply(&mut x, 4);
        assert_eq!(x, want);
        let mut x = vec![1., -1., 2., 3., 4., 0.5, 0., -5.];
        swiglu(true).apply(&mut x, 4);
        assert_eq!(x, want);
    }
}
