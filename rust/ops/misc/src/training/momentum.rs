//! Momentum: steps that keep some of the direction they had.

use base::{Result, error};
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{Real, SIGNATURE, TRAINING, TYPES, Update, number};

/// Momentum of `ai.onnx.preview.training`.
pub static MOMENTUM: OpDef = OpDef {
    name: "Momentum",
    versions: &[since(1, SIGNATURE, TYPES)],
    load: |a| {
        let nesterov = a.choice("mode", &["standard", "nesterov"], "")? == 1;
        Ok(Box::new(Momentum {
            nesterov,
            alpha: required(a, "alpha")?,
            beta: required(a, "beta")?,
            norm: required(a, "norm_coefficient")?,
        }))
    },
    kernels: Kernels::NONE.stateless::<Momentum>(),
    ..TRAINING
};

fn required(a: &Attrs<'_>, name: &str) -> Result<f32> {
    a.opt_float(name)?.ok_or_else(|| error!(InvalidGraph, "Required attribute '{name}' is missing"))
}

#[derive(Clone, Debug)]
struct Momentum {
    nesterov: bool,
    alpha: f32,
    beta: f32,
    norm: f32,
}

/// The step at one point of the training.
struct Step<'a> {
    rate: f64,
    /// What gradients are scaled by: 1 in the first update.
    beta: f32,
    of: &'a Momentum,
}

impl<T: Real> Update<T> for Step<'_> {
    const STATES: usize = 1;

    fn step(&self, x: T, gradient: T, states: &mut [T]) -> T {
        let [alpha, beta, norm] = [self.of.alpha, self.beta, self.of.norm].map(|x| number::<T>(x.into()));
        let gradient = norm * x + gradient;
        states[0] = alpha * states[0] + beta * gradient;
        let direction = if self.of.nesterov { gradient + alpha * states[0] } else { states[0] };
        x - number::<T>(self.rate) * direction
    }
}

impl Op for Momentum {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        super::infer(cx, 1)
    }
}

impl Stateless for Momentum {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (rate, count) = super::progress(cx)?;
        let beta = if count > 0.0 { self.beta } else { 1.0 };
        super::run(cx, &Step { rate, beta, of: self })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    fn momentum(mode: &str, count: i64) -> Single {
        let s = single(&MOMENTUM, 1).attr("alpha", 0.5f32).attr("beta", 0.25f32).attr("norm_coefficient", 1.0f32).attr("mode", mode);
        s.input([], &[0.5f32]).input([], &[count]).input([1], &[1f32]).input([1], &[3f32]).input([1], &[2f32])
    }

    #[test]
    fn both_modes() {
        let check = |mode, count, x: f64, v: f64| {
            let out = momentum(mode, count).run(2).unwrap();
            assert_close(out[0].tensor().unwrap(), &[x], 0., 0.);
            assert_close(out[1].tensor().unwrap(), &[v], 0., 0.);
        };
        // The regularized gradient is 4.
        check("standard", 0, -1.5, 5.);
        check("standard", 3, 0., 2.);
        check("nesterov", 3, -1.5, 2.);
    }

    #[test]
    fn attributes_must_be_given() {
        assert!(momentum("sideways", 0).run(2).is_err());
        assert!(
            single(&MOMENTUM, 1)
                .attr("mode", "standard")
                .input([], &[0f32])
                .input([], &[0i64])
                .run(1)
                .unwrap_err()
                .detail()
                .contains("'alpha' is missing")
        );
    }
}
