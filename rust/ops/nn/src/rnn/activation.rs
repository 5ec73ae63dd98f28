//! The activations of recurrent cells, by name.

use base::{Result, bail};
use gemm::Activation;
use op::Attrs;

use crate::activation::apply;
use crate::real::Real;

/// An activation of a recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CellActivation {
    Common(Activation),
    /// `alpha * x + beta`.
    Affine(f32, f32),
    /// `x` where it is at least `alpha`, else 0.
    ThresholdedRelu(f32),
    /// `alpha * tanh(beta * x)`.
    ScaledTanh(f32, f32),
}

impl CellActivation {
    /// Applies it to each value.
    pub(super) fn apply<A: Real>(self, x: &mut [A]) {
        match self {
            Self::Common(activation) => apply(activation, x),
            Self::Affine(a, b) => x.iter_mut().for_each(|v| *v = *v * A::of(a.into()) + A::of(b.into())),
            Self::ThresholdedRelu(a) => x.iter_mut().for_each(|v| *v = if *v >= A::of(a.into()) { *v } else { A::zero() }),
            Self::ScaledTanh(a, b) => x.iter_mut().for_each(|v| *v = A::of(a.into()) * (*v * A::of(b.into())).tanh()),
        }
    }
}

/// The activations of all directions: attributes `activations`, `activation_alpha` and `activation_beta`, or `defaults` for each.
///
/// # Errors
/// `InvalidGraph` for a name that is none, or when they are not as many as directions and `defaults` ask for.
pub(super) fn read(a: &Attrs<'_>, defaults: &[&str], directions: usize) -> Result<Vec<CellActivation>> {
    let want = defaults.len() * directions;
    let names = match a.opt_strings("activations")? {
        // The default that the specification states for RNN names two, for whichever number of directions.
        Some(mut names) if !names.is_empty() => {
            names.truncate(if a.op() == "RNN" { want } else { names.len() });
            names
        }
        _ => defaults.repeat(directions).iter().map(ToString::to_string).collect(),
    };
    base::ensure!(names.len() == want, InvalidGraph, "{} activations, where {want} are needed", names.len());
    // Each function that has a parameter takes the next of the list.
    let mut alphas = a.opt_floats("activation_alpha")?.unwrap_or_default().iter().copied();
    let mut betas = a.opt_floats("activation_beta")?.unwrap_or_default().iter().copied();
    names.iter().map(|name| one(name, &mut alphas, &mut betas)).collect()
}

fn one(name: &str, alphas: &mut dyn Iterator<Item = f32>, betas: &mut dyn Iterator<Item = f32>) -> Result<CellActivation> {
    use Activation::{Elu, HardSigmoid, LeakyRelu, Relu, Sigmoid, Softplus, Softsign, Tanh};
    let mut alpha = |default: f32| alphas.next().unwrap_or(default);
    let mut beta = |default: f32| betas.next().unwrap_or(default);
    Ok(match name.to_ascii_lowercase().as_str() {
        "relu" => CellActivation::Common(Relu),
        "tanh" => CellActivation::Common(Tanh),
        "sigmoid" => CellActivation::Common(Sigmoid),
        "softsign" => CellActivation::Common(Softsign),
        "softplus" => CellActivation::Common(Softplus),
        "leakyrelu" => CellActivation::Common(LeakyRelu(alpha(0.01))),
        "elu" => CellActivation::Common(Elu(alpha(1.0))),
        "hardsigmoid" => CellActivation::Common(HardSigmoid { alpha: alpha(0.2), beta: beta(0.5) }),
        "affine" => CellActivation::Affine(alpha(1.0), beta(0.0)),
        "thresholdedrelu" => CellActivation::ThresholdedRelu(alpha(1.0)),
        "scaledtanh" => CellActivation::ScaledTanh(alpha(1.0), beta(1.0)),
        _ => bail!(InvalidGraph, "attribute 'activations' has '{name}', which is no activation"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_taken_in_order() {
        let (mut alphas, mut betas) = ([0.5f32, 2.0].into_iter(), [3.0f32].into_iter());
        let mut next = |name: &str| one(name, &mut alphas, &mut betas).unwrap();
        assert_eq!(next("LeakyRelu"), CellActivation::Common(Activation::LeakyRelu(0.5)));
        assert_eq!(next("Tanh"), CellActivation::Common(Activation::Tanh));
        assert_eq!(next("Affine"), CellActivation::Affine(2.0, 3.0));
        assert_eq!(next("Elu"), CellActivation::Common(Activation::Elu(1.0)));
    }

    #[test]
    fn own_functions() {
        let apply = |f: CellActivation| {
            let mut x = [-1.0f64, 0.5, 2.0];
            f.apply(&mut x);
            x
        };
        assert_eq!(apply(CellActivation::Affine(2.0, 1.0)), [-1.0, 2.0, 5.0]);
        assert_eq!(apply(CellActivation::ThresholdedRelu(1.0)), [0.0, 0.0, 2.0]);
        assert_eq!(apply(CellActivation::ScaledTanh(2.0, 0.5))[1], 2.0 * 0.25f64.tanh());
    }
}
