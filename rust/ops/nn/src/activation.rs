//! Activations that fused operators name by attributes.

use base::{Result, bail, ensure};
use gemm::Activation;
use ir::{Attribute, ValueId};
use op::Attrs;
use op::body::Body;

use crate::real::Real;

/// The activation `name` with its parameters, or with the defaults of the operator of that name.
///
/// # Errors
/// `InvalidGraph` when there is none of that name or there are too many parameters.
pub(crate) fn named(name: &str, parameters: &[f32]) -> Result<Option<Activation>> {
    let p = |i: usize, default: f32| parameters.get(i).copied().unwrap_or(default);
    let (activation, count) = match name {
        "" | "Identity" => return Ok(None),
        "Relu" => (Activation::Relu, 0),
        "Sigmoid" => (Activation::Sigmoid, 0),
        "Tanh" => (Activation::Tanh, 0),
        "LeakyRelu" => (Activation::LeakyRelu(p(0, 0.01)), 1),
        "Elu" => (Activation::Elu(p(0, 1.0)), 1),
        "Clip" => (Activation::Clip { low: p(0, f32::MIN), high: p(1, f32::MAX) }, 2),
        "HardSigmoid" => (Activation::HardSigmoid { alpha: p(0, 0.2), beta: p(1, 0.5) }, 2),
        "HardSwish" => (Activation::HardSwish, 0),
        "Softplus" => (Activation::Softplus, 0),
        "Softsign" => (Activation::Softsign, 0),
        "Gelu" => (Activation::Gelu { approximate: false }, 0),
        "FastGelu" => (Activation::Gelu { approximate: true }, 0),
        "QuickGelu" => (Activation::QuickGelu(p(0, 1.702)), 1),
        "Silu" => (Activation::Silu, 0),
        _ => bail!(InvalidGraph, "attribute 'activation' is '{name}', which is no activation"),
    };
    ensure!(
        parameters.len() <= count || name == "Relu",
        InvalidGraph,
        "activation {name} has {count} parameters, not {}",
        parameters.len()
    );
    Ok(Some(activation))
}

/// The activation of FusedGemm: attributes `activation`, `activation_alpha`, `activation_beta` and `activation_gamma`.
pub(crate) fn of_gemm(a: &Attrs<'_>) -> Result<Option<Activation>> {
    let given = [a.opt_float("activation_alpha")?, a.opt_float("activation_beta")?, a.opt_float("activation_gamma")?];
    let parameters: Vec<f32> = given.into_iter().flatten().collect();
    named(a.string("activation", "")?, &parameters)
}

/// The activation of FusedConv: attributes `activation` and `activation_params`.
pub(crate) fn of_conv(a: &Attrs<'_>) -> Result<Option<Activation>> {
    named(a.string("activation", "")?, a.opt_floats("activation_params")?.unwrap_or_default())
}

/// The number of `activation` for kernels of devices, and its parameters: `Activation` of `functions.cuh`.
pub(crate) fn number(activation: Option<Activation>) -> (u32, f32, f32) {
    match activation {
        None => (0, 0.0, 0.0),
        Some(Activation::Relu) => (1, 0.0, 0.0),
        Some(Activation::Clip { low, high }) => (2, low, high),
        Some(Activation::LeakyRelu(alpha)) => (3, alpha, 0.0),
        Some(Activation::Elu(alpha)) => (4, alpha, 0.0),
        Some(Activation::Sigmoid) => (5, 0.0, 0.0),
        Some(Activation::HardSigmoid { alpha, beta }) => (6, alpha, beta),
        Some(Activation::Tanh) => (7, 0.0, 0.0),
        Some(Activation::Gelu { approximate: false }) => (8, 0.0, 0.0),
        Some(Activation::Gelu { approximate: true }) => (9, 0.0, 0.0),
        Some(Activation::QuickGelu(alpha)) => (10, alpha, 0.0),
        Some(Activation::Silu) => (11, 0.0, 0.0),
        Some(Activation::HardSwish) => (12, 0.0, 0.0),
        Some(Activation::Softplus) => (13, 0.0, 0.0),
        Some(Activation::Softsign) => (14, 0.0, 0.0),
    }
}

/// Applies `activation` to each value of `x`, in the precision of `A`.
pub(crate) fn apply<A: Real>(activation: Activation, x: &mut [A]) {
    match crate::floats::cast_mut::<A, f32>(x) {
        Some(x) => simd::map_in_place(activation, x),
        None => x.iter_mut().for_each(|x| *x = A::of(wide(activation, x.f64()))),
    }
}

/// The activation of one value in `f64`.
fn wide(activation: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Relu => {
            if x > 0.0 || x.is_nan() {
                x
            } else {
                0.0
            }
        }
        Activation::Clip { low, high } => x.max(low.into()).min(high.into()),
        Activation::LeakyRelu(alpha) => {
            if x >= 0.0 {
                x
            } else {
                x * f64::from(alpha)
            }
        }
        Activation::Elu(alpha) => {
            if x >= 0.0 {
                x
            } else {
                x.exp_m1() * f64::from(alpha)
            }
        }
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { alpha, beta } => (x * f64::from(alpha) + f64::from(beta)).clamp(0.0, 1.0),
        Activation::Tanh => x.tanh(),
        Activation::Gelu { approximate: false } => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Gelu { approximate: true } => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh())
        }
        Activation::QuickGelu(alpha) => x * sigmoid(x * f64::from(alpha)),
        Activation::Silu => x * sigmoid(x),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        Activation::Softsign => x / (1.0 + x.abs()),
    }
}

/// The error function: its series near zero, its continued fraction far out.
fn erf(x: f64) -> f64 {
    let square = x * x;
    if x.abs() < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..60 {
            term *= -square / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * std::f64::consts::FRAC_2_SQRT_PI;
    }
    let fraction = (1..60).rev().fold(x.abs(), |f, n| x.abs() + f64::from(n) / 2.0 / f);
    (1.0 - (-square).exp() / (fraction * std::f64::consts::PI.sqrt())).copysign(x)
}

/// Adds the nodes of `activation` of `x` to a function body.
pub(crate) fn nodes(b: &mut Body, x: ValueId, activation: Option<Activation>) -> Result<ValueId> {
    let one = |b: &mut Body, name: &str, since: u32, list: &[(&str, f32)]| {
        let list: Vec<(&str, Attribute)> = list.iter().map(|(k, v)| (*k, Attribute::Float(*v))).collect();
        b.node((name, since), &[x], &list)
    };
    Ok(match activation {
        None => x,
        Some(Activation::Relu) => one(b, "Relu", 14, &[]),
        Some(Activation::Sigmoid) => one(b, "Sigmoid", 13, &[]),
        Some(Activation::Tanh) => one(b, "Tanh", 13, &[]),
        Some(Activation::LeakyRelu(alpha)) => one(b, "LeakyRelu", 16, &[("alpha", alpha)]),
        Some(Activation::Elu(alpha)) => one(b, "Elu", 6, &[("alpha", alpha)]),
        Some(Activation::HardSigmoid { alpha, beta }) => one(b, "HardSigmoid", 6, &[("alpha", alpha), ("beta", beta)]),
        Some(Activation::HardSwish) => one(b, "HardSwish", 14, &[]),
        Some(Activation::Softplus) => one(b, "Softplus", 1, &[]),
        Some(Activation::Softsign) => one(b, "Softsign", 1, &[]),
        Some(Activation::Clip { low, high }) => {
            // As attributes, which serve every float type, in the last version that has them.
            one(b, "Clip", 6, &[("min", low), ("max", high)])
        }
        Some(Activation::Gelu { approximate }) => {
            let form = if approximate { "tanh" } else { "none" };
            b.node(("Gelu", 20), &[x], &[("approximate", form.into())])
        }
        Some(Activation::QuickGelu(alpha)) => {
            b.node_of(("com.microsoft", "QuickGelu", 1), &[Some(x)], &[("alpha", Attribute::Float(alpha))])
        }
        Some(Activation::Silu) => {
            let gate = one(b, "Sigmoid", 13, &[]);
            b.node(("Mul", 14), &[x, gate], &[])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_precisions_agree() {
        let all = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Clip", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Gelu"];
        for name in all.into_iter().chain(["FastGelu", "QuickGelu", "Silu"]) {
            let activation = named(name, &[]).unwrap().unwrap();
            let mut narrow: Vec<f32> = (-40..40).map(|i| i as f32 * 0.17).collect();
            let mut wide: Vec<f64> = narrow.iter().map(|v| f64::from(*v)).collect();
            apply(activation, &mut narrow);
            apply(activation, &mut wide);
            for (a, b) in narrow.iter().zip(&wide) {
                assert!((f64::from(*a) - b).abs() <= 2e-6 * b.abs().max(1.0), "{name}: {a} and {b}");
            }
        }
    }

    #[test]
    fn names_and_parameters_are_checked() {
        assert_eq!(named("", &[]).unwrap(), None);
        assert_eq!(named("Clip", &[0.0, 6.0]).unwrap(), Some(Activation::Clip { low: 0.0, high: 6.0 }));
        assert!(named("Sine", &[]).is_err());
        assert!(named("Tanh", &[1.0]).is_err());
    }
}
