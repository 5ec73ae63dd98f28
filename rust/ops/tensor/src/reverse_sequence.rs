//! ReverseSequence: reverses the first `sequence_lens[b]` steps of each sequence `b` of a batch.

use std::ops::Range;

use base::{Result, Shape, ensure};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::movement::write;

const SIGNATURE: &str = "input:T, sequence_lens:int64 -> Y:T";

/// ReverseSequence of `ai.onnx`.
pub static REVERSE_SEQUENCE: OpDef = OpDef {
    name: "ReverseSequence",
    versions: &[since(10, SIGNATURE, &[("T", ANY_V1)]), since(28, SIGNATURE, &[("T", ANY_V13)])],
    load: |a| {
        let (batch, time) = (a.int("batch_axis", 1)?, a.int("time_axis", 0)?);
        ensure!(
            (batch, time) == (0, 1) || (batch, time) == (1, 0),
            InvalidGraph,
            "batch_axis {batch} and time_axis {time} must be 0 and 1"
        );
        Ok(Box::new(ReverseSequence { time_first: time == 0 }))
    },
    kernels: Kernels::NONE.stateless::<ReverseSequence>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ReverseSequence {
    /// Whether the input is `[time, batch, ..]`, not `[batch, time, ..]`.
    time_first: bool,
}

impl Op for ReverseSequence {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        ensure!(dims.len() >= 2, InvalidGraph, "the input must have a batch and a time axis, not shape {dims:?}");
        if let Some(lens) = cx.dims(1)? {
            let batch = &dims[usize::from(self.time_first)];
            let fits = lens.len() == 1 && lens[0].known().zip(batch.known()).is_none_or(|(a, b)| a == b);
            ensure!(fits, InvalidGraph, "sequence_lens of shape {lens:?} are not one for each of a batch of {batch}");
        }
        facts::state(cx, 0, dtype, dims.into(), None);
        Ok(())
    }
}

/// The steps of sequences, seen as rows.
#[derive(Clone, Copy)]
struct Steps<'a> {
    lens: &'a [i64],
    /// The size of the second axis.
    second: usize,
    time_first: bool,
}

impl Steps<'_> {
    /// The row of the input that each row of `range` of the output is.
    fn sources(self, range: Range<usize>) -> impl Iterator<Item = Result<usize>> {
        range.map(move |row| {
            let (first, second) = (row / self.second, row % self.second);
            let (time, batch) = if self.time_first { (first, second) } else { (second, first) };
            let len = self.lens[batch] as usize;
            let from = if time < len { len - 1 - time } else { time };
            Ok(if self.time_first { from * self.second + batch } else { batch * self.second + from })
        })
    }
}

impl Stateless for ReverseSequence {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (input, lens) = (cx.input(0)?, cx.input(1)?.slice::<i64>()?);
        let (dtype, shape) = (input.dtype(), Shape::from(input.shape()));
        let [first, second, ..] = *shape else {
            base::bail!(InvalidArgument, "the input must have a batch and a time axis, not shape {shape}")
        };
        let (time, batch) = if self.time_first { (first, second) } else { (second, first) };
        ensure!(lens.len() == batch, InvalidArgument, "{} sequence_lens are not one for each of a batch of {batch}", lens.len());
        if let Some(len) = lens.iter().find(|&&len| len < 0 || len as u64 > time as u64) {
            base::bail!(InvalidArgument, "Invalid sequence length: {len}. Value must be in range [0,{time}]");
        }
        let row = shape[2..].iter().product();
        write(cx, 0, dtype, shape, |cx, out| {
            let steps = Steps { lens: cx.input(1)?.slice()?, second, time_first: self.time_first };
            out.rows(&cx.input(0)?, row, |range| steps.sources(range))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn both_orders() {
        let data: Vec<f32> = (0..6).map(|i| i as f32).collect();
        let t = single(&REVERSE_SEQUENCE, 10).input([3, 2], &data).input([2], &[3i64, 2]).tensor().unwrap();
        assert_eq!(t.slice::<f32>().unwrap(), [4., 3., 2., 1., 0., 5.]);
        let case = |lens: &[i64]| {
            let case = single(&REVERSE_SEQUENCE, 28).attr("batch_axis", 0).attr("time_axis", 1);
            case.input([2, 3], &data).input([lens.len()], lens).tensor()
        };
        assert_eq!(case(&[2, 0]).unwrap().slice::<f32>().unwrap(), [1., 0., 2., 3., 4., 5.]);
        assert!(case(&[4, 0]).is_err() && case(&[-1, 0]).is_err() && case(&[1]).is_err());
        assert!(single(&REVERSE_SEQUENCE, 10).attr("time_axis", 1).input([1, 1], &[1u8]).input([1], &[1i64]).tensor().is_err());
    }
}
