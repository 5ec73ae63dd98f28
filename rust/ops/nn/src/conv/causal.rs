//! CausalConvWithState: each channel convolved with what came before, of which the last part is kept for the next call.

use base::threads::{paced, pieces};
use base::{DType, Result, Shape, ensure};
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
        let dilation = a.int("dilation", 1)?;
        let dilation = usize::try_from(dilation).ok().filter(|d| *d > 0);
        let dilation = dilation.ok_or_else(|| base::error!(InvalidGraph, "attribute 'dilation' must be above 0"))?;
        Ok(Box::new(CausalConv { dilation, channels_last: a.flag("channels_last", false)?, ..load(a)? }))
    },
    kernels: Kernels::NONE.stateless::<CausalConv>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct CausalConv {
    silu: bool,
    /// The distance of positions that the taps of a kernel read.
    dilation: usize,
    /// Whether channels, of any number of axes, stand behind positions.
    channels_last: bool,
}

fn load(a: &Attrs<'_>) -> Result<CausalConv> {
    let silu = matches!(a.choice("activation", &["none", "silu", "swish", ""], "none")?, 1 | 2);
    Ok(CausalConv { silu, dilation: 1, channels_last: false })
}

impl Op for CausalConv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        for (i, what) in ["input", "weight"].into_iter().enumerate() {
            let Some(dims) = cx.dims(i)? else { continue };
            let fits = dims.len() == 3 || (i == 0 && self.channels_last && dims.len() > 3);
            ensure!(fits, InvalidGraph, "{what} must have three axes, not shape {dims:?}");
        }
        let state = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(x), Some([_, _, k])) => {
                let mut state = x.to_vec();
                state[if self.channels_last { 1 } else { 2 }] = k.sub(&Dim::Known(1)).mul(&Dim::from(self.dilation));
                Some(state.into())
            }
            _ => None,
        };
        crate::infer::same(cx, 0, 0)?;
        cx.tensor(1, dtype, state);
        Ok(())
    }
}

/// The operands of a run, with past and future as one line of `kept + len` positions for each channel.
struct Line<'a> {
    x: Floats<'a>,
    past: Option<Floats<'a>>,
    weights: Floats<'a>,
    bias: Option<Floats<'a>>,
    y: FloatsMut<'a>,
    present: Option<FloatsMut<'a>>,
    channels: usize,
    len: usize,
    taps: usize,
    kept: usize,
}

impl Stateless for CausalConv {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        let given = Shape::from(cx.input(1)?.shape());
        let sizes = match *shape {
            [batch, channels, len] if !self.channels_last => Some((batch, channels, len)),
            [batch, len, ref rest @ ..] if self.channels_last => Shape::checked_len(rest).map(|channels| (batch, channels, len)),
            _ => None,
        };
        let (Some((batch, channels, len)), &[rows, 1, taps]) = (sizes, &*given) else {
            base::bail!(InvalidArgument, "an input of shape {shape} and weights of shape {given}");
        };
        ensure!(rows == channels && taps > 0, InvalidArgument, "weights of shape {given} for {channels} channels");
        let kept = (taps - 1).checked_mul(self.dilation);
        let kept = kept.ok_or_else(|| base::error!(InvalidArgument, "{taps} taps that are {} apart", self.dilation))?;
        let mut state = shape.to_vec();
        state[if self.channels_last { 1 } else { 2 }] = kept;
        let state = Shape::from(&state[..]);
        cx.allocate(0, dtype, shape)?;
        cx.allocate(1, dtype, state.clone())?;
        let given = |i: usize, shape: &[usize]| match cx.optional(i)? {
            Some(t) if t.shape() == shape => Floats::of(t).map(Some),
            Some(t) => Err(base::error!(InvalidArgument, "input {i} is of shape {:?}, not {shape:?}", t.shape())),
            None => Ok(None),
        };
        let (bias, past) = (given(2, &[channels])?, given(3, &state)?);
        let (x, weights, y) = (Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, FloatsMut::of(cx.output(0)?)?);
        let present = if cx.has_output(1) { Some(FloatsMut::of(cx.output(1)?)?) } else { None };
        let line = Line { x, past, weights, bias, y, present, channels, len, taps, kept };
        if self.channels_last { self.by_position(&line, batch) } else { self.by_channel(&line, batch) }
    }
}

impl CausalConv {
    /// Channels one by one, each along its positions.
    fn by_channel(&self, l: &Line<'_>, batch: usize) -> Result<()> {
        let (len, kept) = (l.len, l.kept);
        if len + kept == 0 {
            return Ok(());
        }
        for_rows::<f32>(&mut [], 0, batch * l.channels, rows_per_chunk((len + kept + 1) * 4), &|_, range| {
            let (mut line, mut out, mut weights) = (vec![0f32; kept + len], vec![0f32; len], vec![0f32; l.taps]);
            for row in range {
                let channel = row % l.channels;
                match l.past {
                    Some(past) => past.read(row * kept, &mut line[..kept]),
                    None => line[..kept].fill(0.0),
                }
                l.x.read(row * len, &mut line[kept..]);
                l.weights.read(channel * l.taps, &mut weights);
                out.fill(l.bias.map_or(0.0, |b| b.get::<f32>(channel)));
                for piece in pieces(len, 1 << 14) {
                    for (j, &weight) in paced(weights.iter().enumerate(), piece.len() / 4) {
                        let line = &line[j * self.dilation + piece.start..j * self.dilation + piece.end];
                        out[piece.clone()].iter_mut().zip(line).for_each(|(out, x)| *out += weight * x);
                    }
                }
                if self.silu {
                    simd::map_in_place(Silu, &mut out);
                }
                // SAFETY: each row is written by one chunk only.
                unsafe {
                    l.y.write(row * len, &out);
                    if let Some(present) = &l.present {
                        present.write(row * kept, &line[len..]);
                    }
                }
            }
        })
    }

    /// Positions one by one, each with all its channels; then the state.
    fn by_position(&self, l: &Line<'_>, batch: usize) -> Result<()> {
        let (c, taps) = (l.channels, l.taps);
        if c == 0 {
            return Ok(());
        }
        // Position `i` of the line of past and present of an image.
        let read = |image: usize, i: usize, to: &mut [f32]| match (i.checked_sub(l.kept), l.past) {
            (Some(i), _) => l.x.read((image * l.len + i) * c, to),
            (None, Some(past)) => past.read((image * l.kept + i) * c, to),
            (None, None) => to.fill(0.0),
        };
        for_rows::<f32>(&mut [], 0, batch * l.len, rows_per_chunk(c * 4).max(taps), &|_, range| {
            // A row of weights for each tap.
            let mut weights = vec![0f32; taps * c];
            for (i, w) in weights.iter_mut().enumerate() {
                *w = l.weights.get(i % c * taps + i / c);
            }
            let (mut x, mut out) = (vec![0f32; c], vec![0f32; c]);
            for row in paced(range, taps * c) {
                let (image, t) = (row / l.len, row % l.len);
                match l.bias {
                    Some(bias) => bias.read(0, &mut out),
                    None => out.fill(0.0),
                }
                for (j, weights) in weights.chunks_exact(c).enumerate() {
                    read(image, t + j * self.dilation, &mut x);
                    out.iter_mut().zip(weights).zip(&x).for_each(|((out, w), x)| *out += w * x);
                }
                if self.silu {
                    simd::map_in_place(Silu, &mut out);
                }
                // SAFETY: each position is written by one chunk only.
                unsafe { l.y.write(row * c, &out) }
            }
        })?;
        let Some(present) = &l.present else { return Ok(()) };
        for_rows::<f32>(&mut [], 0, batch * l.kept, rows_per_chunk(c * 4), &|_, range| {
            let mut x = vec![0f32; c];
            for row in range {
                read(row / l.kept, l.len + row % l.kept, &mut x);
                // SAFETY: as above.
                unsafe { present.write(row * c, &x) }
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
