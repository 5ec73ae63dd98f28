//! CausalConvWithState: each channel convolved with what came before, of which the last part is kept for the next call.

use base::threads::{paced, pieces};
use base::{DType, Result, ensure};
use ir::Dim;
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};
use simd::math::Silu;

use crate::chunks::{for_rows, rows_per_chunk};
use crate::floats::{Floats, FloatsMut};

const SIGNATURE: &str = "input:T, weight:T, bias:T?, past_state:T? -> output:T, present_state:T";
const TYPES: &[(&str, TypeSet)] = &[("T", TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]))];

/// CausalConvWithState of `ai.onnx`.
pub static CAUSAL_CONV_WITH_STATE: OpDef = OpDef {
    name: "CausalConvWithState",
    versions: &[since(27, SIGNATURE, TYPES)],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.stateless::<CausalConv>(),
    ..OpDef::ONNX
};

/// CausalConvWithState of `com.microsoft`, over one axis.
pub static MICROSOFT_CAUSAL_CONV_WITH_STATE: OpDef = OpDef {
    name: "CausalConvWithState",
    versions: &[since(1, "input:T, weight:T, bias:T?, past_state:T? -> output:T, present_state:T?", TYPES)],
    load: |a| {
        let (axes, window) = (a.int("ndim", 1)?, a.int("state_window", 0)?);
        ensure!(axes == 1 && window == 0, NotImplemented, "CausalConvWithState with ndim={axes} and state_window={window}");
        Ok(Box::new(load(a)?))
    },
    kernels: Kernels::NONE.stateless::<CausalConv>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct CausalConv {
    silu: bool,
}

fn load(a: &Attrs<'_>) -> Result<CausalConv> {
    Ok(CausalConv { silu: matches!(a.choice("activation", &["none", "silu", "swish", ""], "none")?, 1 | 2) })
}

impl Op for CausalConv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        for (i, what) in ["input", "weight"].into_iter().enumerate() {
            let fits = cx.dims(i)?.is_none_or(|d| d.len() == 3);
            ensure!(fits, InvalidGraph, "{what} must have three axes, not shape {:?}", cx.dims(i)?);
        }
        let state = match (cx.dims(0)?, cx.dims(1)?) {
            (Some([batch, channels, _]), Some([_, _, k])) => {
                Some([batch.clone(), channels.clone(), k.sub(&Dim::Known(1))].into_iter().collect())
            }
            _ => None,
        };
        crate::infer::same(cx, 0, 0)?;
        cx.tensor(1, dtype, state);
        Ok(())
    }
}

impl Stateless for CausalConv {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let dtype = cx.input(0)?.dtype();
        let (&[batch, channels, len], &[rows, 1, k]) = (cx.input(0)?.shape(), cx.input(1)?.shape()) else {
            base::bail!(InvalidArgument, "an input of shape {:?} and weights of shape {:?}", cx.input(0)?.shape(), cx.input(1)?.shape());
        };
        ensure!(rows == channels && k > 0, InvalidArgument, "weights of shape {:?} for {channels} channels", cx.input(1)?.shape());
        let kept = k - 1;
        cx.allocate(0, dtype, [batch, channels, len])?;
        cx.allocate(1, dtype, [batch, channels, kept])?;
        let given = |i: usize, shape: &[usize]| match cx.optional(i)? {
            Some(t) if t.shape() == shape => Floats::of(t).map(Some),
            Some(t) => Err(base::error!(InvalidArgument, "input {i} is of shape {:?}, not {shape:?}", t.shape())),
            None => Ok(None),
        };
        let (bias, past) = (given(2, &[channels])?, given(3, &[batch, channels, kept])?);
        let (x, w, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        let present = if cx.has_output(1) { Some(FloatsMut::of(cx.output(1)?)?) } else { None };
        for_rows::<f32>(&mut [], 0, batch * channels, rows_per_chunk((len + k) * 4), &|_, range| {
            let (mut line, mut out, mut weights) = (vec![0f32; kept + len], vec![0f32; len], vec![0f32; k]);
            for row in range {
                let channel = row % channels;
                match past {
                    Some(past) => past.read(row * kept, &mut line[..kept]),
                    None => line[..kept].fill(0.0),
                }
                x.read(row * len, &mut line[kept..]);
                w.read(channel * k, &mut weights);
                out.fill(bias.map_or(0.0, |b| b.get::<f32>(channel)));
                for piece in pieces(len, 1 << 14) {
                    for (j, &weight) in paced(weights.iter().enumerate(), piece.len() / 4) {
                        let line = &line[j + piece.start..j + piece.end];
                        out[piece.clone()].iter_mut().zip(line).for_each(|(out, x)| *out += weight * x);
                    }
                }
                if self.silu {
                    simd::map_in_place(Silu, &mut out);
                }
                // SAFETY: each row is written by one chunk only.
                unsafe {
                    y.write(row * len, &out);
                    if let Some(present) = &present {
                        present.write(row * kept, &line[len..]);
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    fn data(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7 + 3) % 11) as f32 / 4.0 - 1.0).collect()
    }

    fn op(batch: usize, channels: usize, len: usize, k: usize) -> Single {
        single(&CAUSAL_CONV_WITH_STATE, 27)
            .input([batch, channels, len], &data(batch * channels * len))
            .input([channels, 1, k], &data(channels * k))
    }

    #[test]
    fn steps_are_the_whole() {
        let (batch, channels, k) = (2, 3, 4);
        for len in [1, 2, 5] {
            let bias = [0.5f32, -1.0, 0.0];
            let past = data(batch * channels * (k - 1));
            let out = op(batch, channels, len, k).input([channels], &bias).input([batch, channels, k - 1], &past).run(2).unwrap();
            let (x, w) = (data(batch * channels * len), data(channels * k));
            let (mut want, mut state) = (Vec::new(), Vec::new());
            for row in 0..batch * channels {
                let line: Vec<f32> = past[row * (k - 1)..][..k - 1].iter().chain(&x[row * len..][..len]).copied().collect();
                let c = row % channels;
                want.extend((0..len).map(|t| f64::from(bias[c] + (0..k).map(|j| w[c * k + j] * line[t + j]).sum::<f32>())));
                state.extend(line[len..].iter().map(|&v| f64::from(v)));
            }
            assert_close(out[0].tensor().unwrap(), &want, 1e-5, 1e-6);
            assert_close(out[1].tensor().unwrap(), &state, 0., 0.);
        }
    }

    #[test]
    fn activation_and_kernels_of_one() {
        let out = op(1, 1, 2, 1).attr("activation", "swish").run(2).unwrap();
        let silu = |x: f64| x / (1.0 + (-x).exp());
        let (x, w) = (data(2), f64::from(data(1)[0]));
        assert_close(out[0].tensor().unwrap(), &[silu(f64::from(x[0]) * w), silu(f64::from(x[1]) * w)], 1e-6, 1e-6);
        assert_eq!(&**out[1].tensor().unwrap().shape(), [1, 1, 0]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(op(1, 2, 3, 2).input([3], &[0f32; 3]).run(2).unwrap_err().detail().contains("input 2 is of shape [3], not [2]"));
        assert!(op(1, 2, 3, 2).skip().input([1, 2, 2], &[0f32; 4]).run(2).unwrap_err().detail().contains("not [1, 2, 1]"));
        assert!(op(1, 2, 3, 2).attr("activation", "relu").run(2).is_err());
        let s = single(&MICROSOFT_CAUSAL_CONV_WITH_STATE, 1).attr("ndim", 2).input([1, 1, 1], &[0f32]).input([1, 1, 1], &[0f32]);
        assert_eq!(s.run(2).unwrap_err().kind(), base::ErrorKind::NotImplemented);
    }
}
