//! Adagrad: steps that shrink with the sum of squared gradients.

use base::Result;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{Real, SIGNATURE, TRAINING, TYPES, Update, number};

/// Adagrad of `ai.onnx.preview.training`.
pub static ADAGRAD: OpDef = OpDef {
    name: "Adagrad",
    versions: &[since(1, SIGNATURE, TYPES)],
    load: |a| {
        let [decay, norm] = [a.float("decay_factor", 0.0)?, a.float("norm_coefficient", 0.0)?];
        Ok(Box::new(Adagrad { decay, norm, epsilon: a.float("epsilon", 1e-6)? }))
    },
    kernels: Kernels::NONE.stateless::<Adagrad>(),
    ..TRAINING
};

#[derive(Clone, Debug)]
struct Adagrad {
    decay: f32,
    norm: f32,
    epsilon: f32,
}

/// The step at one point of the training.
struct Step {
    rate: f64,
    norm: f64,
    epsilon: f64,
}

impl<T: Real> Update<T> for Step {
    const STATES: usize = 1;

    fn step(&self, x: T, gradient: T, states: &mut [T]) -> T {
        let gradient = number::<T>(self.norm) * x + gradient;
        states[0] = states[0] + gradient * gradient;
        x - number::<T>(self.rate) * gradient / (states[0].sqrt() + number(self.epsilon))
    }
}

impl Op for Adagrad {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        super::infer(cx, 1)
    }
}

impl Stateless for Adagrad {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (rate, count) = super::progress(cx)?;
        let rate = rate / (1.0 + count * f64::from(self.decay));
        super::run(cx, &Step { rate, norm: self.norm.into(), epsilon: self.epsilon.into() })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn two_parameters_of_two_types() {
        let s = single(&ADAGRAD, 1).attr("norm_coefficient", 0.5f32).attr("decay_factor", 0.25f32).attr("epsilon", 0.0f32);
        let s = s.input([], &[0.1f64]).input([], &[4i64]).input([2], &[1f32, 2.]).input([1], &[3f64]);
        let s = s.input([2], &[0.5f32, -1.]).input([1], &[1f64]).input([2], &[3f32, 4.]).input([1], &[0f64]);
        let out = s.run(4).unwrap();
        // Regularized gradients are 1, 0 and 2.5; the rate is 0.05.
        assert_close(out[0].tensor().unwrap(), &[0.975, 2.], 1e-6, 0.);
        assert_close(out[1].tensor().unwrap(), &[2.95], 1e-7, 0.);
        assert_close(out[2].tensor().unwrap(), &[4., 4.], 0., 0.);
        assert_close(out[3].tensor().unwrap(), &[6.25], 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let s = || single(&ADAGRAD, 1).input([], &[0.1f32]).input([], &[0i64]).input([2], &[1f32, 2.]);
        assert!(s().run(2).unwrap_err().detail().contains("1 inputs are no parameters"));
        let e = s().input([1], &[1f32]).input([2], &[0f32; 2]).run(2).unwrap_err();
        assert!(e.detail().contains("input 3 is float[1]"), "{e}");
    }
}
