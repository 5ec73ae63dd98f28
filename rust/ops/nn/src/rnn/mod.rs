//! RNN, GRU and LSTM: states that go along sequences.

mod activation;
mod cell;
pub mod dynamic;
mod kernel;
mod lstm;

use base::{DType, Result, bail, ensure};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, TypeSet, since};

use activation::CellActivation;
use cell::Kind;

const LENGTHS: TypeSet = TypeSet::tensors(&[DType::I32]);
const OLD_TYPES: &[(&str, TypeSet)] = &[("T", FLOATS_V1), ("T1", LENGTHS)];
const NEW_TYPES: &[(&str, TypeSet)] = &[("T", FLOATS), ("T1", LENGTHS)];
const PLAIN: &str = "X:T, W:T, R:T, B:T?, sequence_lens:T1?, initial_h:T? -> Y:T?, Y_h:T?";
const WITH_CELL: &str = "X:T, W:T, R:T, B:T?, sequence_lens:T1?, initial_h:T?, initial_c:T?, P:T? -> Y:T?, Y_h:T?, Y_c:T?";

/// RNN of `ai.onnx`.
pub static RNN: OpDef = OpDef {
    name: "RNN",
    versions: &[since(1, PLAIN, OLD_TYPES), since(7, PLAIN, OLD_TYPES), since(14, PLAIN, OLD_TYPES), since(22, PLAIN, NEW_TYPES)],
    load: |a| Ok(Box::new(Network::read(a, Kind::Rnn, &["Tanh"])?)),
    kernels: Kernels::NONE.cpu::<Network>(),
    ..OpDef::ONNX
};

/// GRU of `ai.onnx`.
pub static GRU: OpDef = OpDef {
    name: "GRU",
    versions: &[
        since(1, "X:T, W:T, R:T, B:T?, sequence_lens:T1?, initial_h:T? -> Y:T?, Y_h:T", OLD_TYPES),
        since(3, PLAIN, OLD_TYPES),
        since(7, PLAIN, OLD_TYPES),
        since(14, PLAIN, OLD_TYPES),
        since(22, PLAIN, NEW_TYPES),
    ],
    load: |a| {
        let linear_before_reset = a.since() >= 3 && a.flag("linear_before_reset", false)?;
        Ok(Box::new(Network::read(a, Kind::Gru { linear_before_reset }, &["Sigmoid", "Tanh"])?))
    },
    kernels: Kernels::NONE.cpu::<Network>(),
    ..OpDef::ONNX
};

/// LSTM of `ai.onnx`.
pub static LSTM: OpDef = OpDef {
    name: "LSTM",
    versions: &[
        since(1, WITH_CELL, OLD_TYPES),
        since(7, WITH_CELL, OLD_TYPES),
        since(14, WITH_CELL, OLD_TYPES),
        since(22, WITH_CELL, NEW_TYPES),
    ],
    load: |a| {
        let coupled = a.flag("input_forget", false)?;
        Ok(Box::new(Network::read(a, Kind::Lstm { coupled }, &["Sigmoid", "Tanh", "Tanh"])?))
    },
    kernels: Kernels::NONE.cpu::<Network>(),
    ..OpDef::ONNX
};

/// A recurrent network of one layer.
#[derive(Clone, Debug)]
struct Network {
    kind: Kind,
    /// For each direction whether it goes backwards.
    directions: Vec<bool>,
    /// Those of all directions, one after the other.
    activations: Vec<CellActivation>,
    clip: Option<f32>,
    hidden: Option<usize>,
    /// Whether sequences are the outermost axis.
    batch_first: bool,
}

impl Network {
    fn read(a: &Attrs<'_>, kind: Kind, defaults: &[&str]) -> Result<Self> {
        let directions = match a.string("direction", "forward")? {
            // The first version of GRU spelt its default so.
            "forward" | "foward" => vec![false],
            "reverse" => vec![true],
            "bidirectional" => vec![false, true],
            other => bail!(InvalidGraph, "attribute 'direction' is '{other}'"),
        };
        if a.since() < 7 {
            // Outputs that are not asked for are left out since.
            a.ignore("output_sequence");
        }
        let hidden = match a.opt_int("hidden_size")? {
            None => None,
            Some(n) => match usize::try_from(n).ok().filter(|n| *n > 0) {
                Some(n) => Some(n),
                None => bail!(InvalidGraph, "attribute 'hidden_size' is {n}"),
            },
        };
        let clip = a.opt_float("clip")?;
        ensure!(clip.is_none_or(|c| c >= 0.0), InvalidGraph, "attribute 'clip' is {clip:?}");
        let batch_first = a.since() >= 14 && a.flag("layout", false)?;
        let activations = activation::read(a, defaults, directions.len())?;
        Ok(Self { kind, directions, activations, clip: clip.filter(|c| *c > 0.0), hidden, batch_first })
    }
}

impl Op for Network {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (x, r) = (cx.dims(0)?, cx.dims(2)?);
        let Some(x) = x else {
            for (i, rank) in [4, 3, 3].into_iter().enumerate() {
                let dims = cx.fresh_dims(rank);
                cx.tensor(i, dtype, Some(dims));
            }
            return Ok(());
        };
        ensure!(x.len() == 3, InvalidGraph, "an input of sequences, batch and elements is needed, not shape {x:?}");
        let hidden = match (self.hidden, r) {
            (_, Some([_, _, hidden])) => hidden.clone(),
            (_, Some(r)) => bail!(InvalidGraph, "weights of shape {r:?}"),
            (Some(hidden), None) => Dim::from(hidden),
            (None, None) => cx.fresh(),
        };
        if let (Some(want), Some(have)) = (self.hidden, hidden.size()) {
            ensure!(want == have, InvalidGraph, "hidden_size is {want}, but the weights are made for {have}");
        }
        let directions = Dim::from(self.directions.len());
        let (steps, batch) = if self.batch_first { (&x[1], &x[0]) } else { (&x[0], &x[1]) };
        let (all, last): (Dims, Dims) = match self.batch_first {
            true => (
                vec![batch.clone(), steps.clone(), directions.clone(), hidden.clone()].into(),
                vec![batch.clone(), directions, hidden].into(),
            ),
            false => (
                vec![steps.clone(), directions.clone(), batch.clone(), hidden.clone()].into(),
                vec![directions, batch.clone(), hidden].into(),
            ),
        };
        cx.tensor(0, dtype, Some(all));
        cx.tensor(1, dtype, Some(last.clone()));
        cx.tensor(2, dtype, Some(last));
        Ok(())
    }
}

impl CpuKernel for Network {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        kernel::prepare(self, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    #[test]
    fn a_plain_cell_adds_up() {
        let op = single(&RNN, 14).attr("hidden_size", 1i64).attr("activations", ir::Attribute::Strings(vec![b"Affine"[..].into()]));
        let op = op.input([3, 1, 1], &[1f32, 2.0, 3.0]).input([1, 1, 1], &[1f32]).input([1, 1, 1], &[1f32]);
        let out = op.input([1, 2], &[0.5f32, 0.0]).run(2).unwrap();
        assert_close(out[0].tensor().unwrap(), &[1.5, 4.0, 7.5], 0.0, 0.0);
        assert_close(out[1].tensor().unwrap(), &[7.5], 0.0, 0.0);
    }

    #[test]
    fn directions_and_lengths() {
        let op = single(&RNN, 14).attr("direction", "bidirectional");
        let op = op.attr("activations", ir::Attribute::Strings(vec![b"Affine"[..].into(), b"Affine"[..].into()]));
        let op = op.input([3, 2, 1], &[1f32, 10.0, 2.0, 20.0, 3.0, 30.0]).input([2, 1, 1], &[1f32, 1.0]).input([2, 1, 1], &[1f32, 1.0]);
        let out = op.skip().input([2], &[3i32, 2]).run(2).unwrap();
        // By step, direction and sequence.
        let want = [1.0, 10.0, 6.0, 30.0, 3.0, 30.0, 5.0, 20.0, 6.0, 0.0, 3.0, 0.0];
        assert_close(out[0].tensor().unwrap(), &want, 0.0, 0.0);
        assert_close(out[1].tensor().unwrap(), &[6.0, 30.0, 6.0, 30.0], 0.0, 0.0);
    }

    #[test]
    fn no_sequences() {
        let op = single(&GRU, 14).input([3, 0, 1], &[0f32; 0]).input([1, 6, 1], &[1f32; 6]).input([1, 6, 2], &[1f32; 12]);
        let out = op.run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().shape()[..], [3, 1, 0, 2]);
        assert_eq!(out[1].tensor().unwrap().shape()[..], [1, 0, 2]);
    }

    #[test]
    fn gates_of_an_lstm() {
        let w = [0.1f32, 0.2, 0.3, 0.4];
        let op = single(&LSTM, 14).attr("layout", 1i64).input([1, 1, 1], &[2f32]).input([1, 4, 1], &w).input([1, 4, 1], &w);
        let out = op.skip().skip().input([1, 1, 1], &[1f32]).input([1, 1, 1], &[0.5f32]).run(3).unwrap();
        let gate = |w: f64| 1.0 / (1.0 + (-3.0 * w).exp());
        let c = gate(0.3) * 0.5 + gate(0.1) * 1.2f64.tanh();
        assert_close(out[2].tensor().unwrap(), &[c], 1e-6, 0.0);
        assert_close(out[1].tensor().unwrap(), &[gate(0.2) * c.tanh()], 1e-6, 0.0);
    }

    #[test]
    fn both_forms_of_a_gru_in_halves() {
        let h = |v: &[f32]| v.iter().map(|v| f16::from_f32(*v)).collect::<Vec<_>>();
        for linear in [0i64, 1] {
            let op = single(&GRU, 14).attr("linear_before_reset", linear).input([1, 1, 1], &h(&[1.0])).input([1, 3, 1], &h(&[0.5; 3]));
            let op = op.input([1, 3, 1], &h(&[0.25; 3])).input([1, 6], &h(&[0.0, 0.0, 0.0, 0.0, 0.0, 1.0])).skip();
            let out = op.input([1, 1, 1], &h(&[2.0])).run(2).unwrap();
            let gate = 1.0 / (1.0 + (-1f64).exp());
            let inner: f64 = if linear == 1 { 0.5 + gate * (0.5 + 1.0) } else { 0.5 + gate * 2.0 * 0.25 + 1.0 };
            assert_close(out[1].tensor().unwrap(), &[(1.0 - gate) * inner.tanh() + gate * 2.0], 1e-3, 0.0);
        }
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let op = single(&RNN, 14).input([1, 1, 2], &[0f32; 2]).input([1, 3, 1], &[0f32; 3]).input([1, 3, 3], &[0f32; 9]);
        assert!(op.run(1).is_err());
        assert!(single(&RNN, 14).attr("direction", "sideways").input([1, 1, 1], &[0f32]).run(1).is_err());
    }
}
