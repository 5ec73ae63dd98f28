//! Adam: steps by running averages of gradients and of their squares.

use base::Result;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{Real, SIGNATURE, TRAINING, TYPES, Update, number};

/// Adam of `ai.onnx.preview.training`.
pub static ADAM: OpDef = OpDef {
    name: "Adam",
    versions: &[since(1, SIGNATURE, TYPES)],
    load: |a| {
        Ok(Box::new(Adam {
            alpha: a.float("alpha", 0.9)?,
            beta: a.float("beta", 0.999)?,
            norm: a.float("norm_coefficient", 0.0)?,
            norm_after: a.float("norm_coefficient_post", 0.0)?,
            epsilon: a.float("epsilon", 1e-6)?,
        }))
    },
    kernels: Kernels::NONE.stateless::<Adam>(),
    ..TRAINING
};

#[derive(Clone, Debug)]
struct Adam {
    alpha: f32,
    beta: f32,
    norm: f32,
    norm_after: f32,
    epsilon: f32,
}

/// The step at one point of the training, whose rate makes up for averages that began at zero.
struct Step<'a> {
    rate: f64,
    of: &'a Adam,
}

impl<T: Real> Update<T> for Step<'_> {
    const STATES: usize = 2;

    fn step(&self, x: T, gradient: T, states: &mut [T]) -> T {
        let [alpha, beta, norm, after] = [self.of.alpha, self.of.beta, self.of.norm, self.of.norm_after].map(|x| number::<T>(x.into()));
        let gradient = norm * x + gradient;
        states[0] = alpha * states[0] + (T::one() - alpha) * gradient;
        states[1] = beta * states[1] + (T::one() - beta) * gradient * gradient;
        let x = x - number::<T>(self.rate) * states[0] / (states[1].sqrt() + number(self.of.epsilon.into()));
        (T::one() - after) * x
    }
}

impl Op for Adam {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        super::infer(cx, 2)
    }
}

impl Stateless for Adam {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (mut rate, count) = super::progress(cx)?;
        if count > 0.0 {
            rate *= (1.0 - f64::from(self.beta).powf(count)).sqrt() / (1.0 - f64::from(self.alpha).powf(count));
        }
        super::run(cx, &Step { rate, of: self })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn averages_and_their_correction() {
        let run = |count: i64| {
            let s =
                single(&ADAM, 1).attr("alpha", 0.5f32).attr("beta", 0.75f32).attr("epsilon", 0.0f32).attr("norm_coefficient_post", 0.5f32);
            let s = s.input([], &[0.1f32]).input([], &[count]).input([2], &[1f32, 2.]).input([2], &[2f32, -2.]);
            s.input([2], &[4f32, 0.]).input([2], &[4f32, 12.]).run(3).unwrap()
        };
        let out = run(0);
        // Averages are 3 and -1, and 4 and 10.
        assert_close(out[1].tensor().unwrap(), &[3., -1.], 0., 0.);
        assert_close(out[2].tensor().unwrap(), &[4., 10.], 0., 0.);
        assert_close(out[0].tensor().unwrap(), &[0.5 * (1. - 0.1 * 1.5), 0.5 * (2. + 0.1 / 10f64.sqrt())], 1e-6, 0.);
        let rate = 0.1 * (1.0 - 0.75f64.powi(2)).sqrt() / 0.75;
        assert_close(run(2)[0].tensor().unwrap(), &[0.5 * (1. - rate * 1.5), 0.5 * (2. + rate / 10f64.sqrt())], 1e-6, 0.);
    }
}
