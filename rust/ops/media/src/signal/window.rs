//! HannWindow, HammingWindow, BlackmanWindow: weights that fade a piece of a signal in and out.

use std::f64::consts::TAU;

use base::{DType, Result, bail};
use op::types::INDEX;
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::numbers::{fill, int};
use super::{COMPUTED, output_type};

/// HannWindow of `ai.onnx`.
pub static HANN_WINDOW: OpDef = OpDef {
    name: "HannWindow",
    versions: &[since(17, "size:T1 -> output:T2", &[("T1", INDEX), ("T2", COMPUTED)])],
    load: |a| load(a, [0.5, -0.5, 0.0]),
    kernels: Kernels::NONE.stateless::<Window>(),
    ..OpDef::ONNX
};

/// HammingWindow of `ai.onnx`.
pub static HAMMING_WINDOW: OpDef = OpDef { name: "HammingWindow", load: |a| load(a, [25.0 / 46.0, -21.0 / 46.0, 0.0]), ..HANN_WINDOW };

/// BlackmanWindow of `ai.onnx`.
pub static BLACKMAN_WINDOW: OpDef = OpDef { name: "BlackmanWindow", load: |a| load(a, [0.42, -0.5, 0.08]), ..HANN_WINDOW };

#[derive(Clone, Debug)]
struct Window {
    /// Factors of the cosines of zero, one and two periods.
    cosines: [f64; 3],
    /// Whether the window is one period, so that its first weight would follow its last.
    periodic: bool,
    dtype: DType,
}

fn load(a: &Attrs<'_>, cosines: [f64; 3]) -> Result<Box<dyn Op>> {
    Ok(Box::new(Window { cosines, periodic: a.flag("periodic", true)?, dtype: output_type(a)? }))
}

impl Window {
    fn weight(&self, i: usize, size: usize) -> f64 {
        let period = if self.periodic { size as f64 } else { size as f64 - 1.0 };
        let phase = TAU * i as f64 / period;
        let [constant, first, second] = self.cosines;
        constant + first * phase.cos() + second * (2.0 * phase).cos()
    }
}

impl Op for Window {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let size = match cx.ints(0) {
            Some([size]) => size.clone(),
            _ => cx.fresh(),
        };
        if size.known().is_some_and(|n| n < 0) {
            bail!(InvalidGraph, "the size of a window is {size}");
        }
        cx.tensor(0, self.dtype, Some([size].into_iter().collect()));
        Ok(())
    }
}

impl Stateless for Window {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let size = int(cx.input(0)?)?;
        let Ok(size) = usize::try_from(size) else { bail!(InvalidArgument, "the size of a window is {size}") };
        cx.allocate(0, self.dtype, [size])?;
        fill(cx.output(0)?, |i| self.weight(i, size))
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_close, single};

    use super::*;

    #[test]
    fn windows_have_their_shapes() {
        let run = |def, periodic: i64| single(def, 17).attr("periodic", periodic).input([], &[4i64]).tensor().unwrap();
        assert_close(&run(&HANN_WINDOW, 1), &[0.0, 0.5, 1.0, 0.5], 1e-6, 1e-7);
        assert_close(&run(&HANN_WINDOW, 0), &[0.0, 0.75, 0.75, 0.0], 1e-6, 1e-7);
        assert_close(&run(&HAMMING_WINDOW, 1), &[4.0 / 46.0, 25.0 / 46.0, 1.0, 25.0 / 46.0], 1e-6, 0.0);
        assert_close(&run(&BLACKMAN_WINDOW, 1), &[0.0, 0.34, 1.0, 0.34], 1e-6, 1e-7);
    }

    #[test]
    fn other_types_and_sizes() {
        let s = single(&HANN_WINDOW, 17).attr("output_datatype", 6).attr("periodic", 0).input([], &[5i32]);
        assert_eq!(s.tensor().unwrap().slice::<i32>().unwrap(), [0, 0, 1, 0, 0]);
        let s = single(&BLACKMAN_WINDOW, 17).attr("output_datatype", 11).input([], &[1i32]);
        assert_close(&s.tensor().unwrap(), &[0.0], 0.0, 1e-15);
        assert!(single(&HANN_WINDOW, 17).input([], &[0i64]).tensor().unwrap().is_empty());
        assert!(single(&HANN_WINDOW, 17).input([], &[-1i64]).run(1).is_err());
        assert!(single(&HANN_WINDOW, 17).attr("output_datatype", 9).input([], &[1i64]).run(1).is_err());
    }
}
