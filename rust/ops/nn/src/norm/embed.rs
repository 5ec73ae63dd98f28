//! EmbedLayerNormalization of `com.microsoft`: words, positions and segments looked up, added, and normalized.

use base::{DType, Result, TensorRef, ensure, error};
use ir::Dim;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::chunks::{rows_per_chunk, try_for_rows};
use crate::floats::{Floats, FloatsMut};

const SIGNATURE: &str = "input_ids:T1, segment_ids:T1?, word_embedding:T, position_embedding:T, segment_embedding:T?, gamma:T, beta:T, \
                         mask:T1?, position_ids:T1? -> output:T, mask_index:T1?, embedding_sum:T?";

/// EmbedLayerNormalization of `com.microsoft`.
pub static EMBED_LAYER_NORMALIZATION: OpDef = OpDef {
    name: "EmbedLayerNormalization",
    versions: &[since(
        1,
        SIGNATURE,
        &[("T1", TypeSet::tensors(&[DType::I32])), ("T", TypeSet::tensors(&[DType::F32, DType::F16, DType::BF16]))],
    )],
    load: |a| {
        // The kind of index that a mask is turned into; counts are the only one that ONNX Runtime's own kernels know.
        a.ignore("mask_index_type");
        Ok(Box::new(EmbedLayerNormalization { epsilon: a.float("epsilon", 1e-12)? }))
    },
    kernels: Kernels::NONE.stateless::<EmbedLayerNormalization>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct EmbedLayerNormalization {
    epsilon: f32,
}

impl Op for EmbedLayerNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(2)?;
        let (ids, words) = (cx.dims(0)?, cx.dims(2)?);
        for (dims, what) in [(ids, "input_ids"), (words, "word_embedding"), (cx.dims(3)?, "position_embedding")] {
            ensure!(dims.is_none_or(|d| d.len() == 2), InvalidGraph, "{what} must have two axes, not shape {dims:?}");
        }
        let dims = match (ids, words) {
            (Some([batch, length]), Some([_, hidden])) => Some([batch, length, hidden].into_iter().cloned().collect()),
            _ => None,
        };
        let batch: Option<ir::Dims> = ids.map(|ids| [ids[0].clone()].into_iter().collect::<Vec<Dim>>().into());
        cx.tensor(0, dtype, dims.clone());
        cx.tensor(1, DType::I32, batch);
        cx.tensor(2, dtype, dims);
        Ok(())
    }
}

/// A table of vectors, and which of them each row takes.
struct Lookup<'a> {
    name: &'static str,
    table: Floats<'a>,
    rows: usize,
    /// One index a row, repeated; without any, rows take vectors in order of their place in the sequence.
    ids: Option<&'a [i32]>,
}

impl<'a> Lookup<'a> {
    fn new(name: &'static str, table: TensorRef<'a>, ids: Option<&'a [i32]>, hidden: usize) -> Result<Self> {
        let &[rows, width] = table.shape() else { base::bail!(InvalidArgument, "{name} is of shape {:?}", table.shape()) };
        ensure!(width == hidden, InvalidArgument, "{name} is of shape {:?}, but words have {hidden} elements", table.shape());
        Ok(Self { name, table: Floats::of(table)?, rows, ids })
    }

    /// Adds the vector of row `row` of sequences of `length`.
    fn add(&self, row: usize, length: usize, buffer: &mut [f32], to: &mut [f32]) -> Result<()> {
        let id = match self.ids {
            Some(ids) => i64::from(ids[row % ids.len()]),
            None => (row % length) as i64,
        };
        let place = usize::try_from(id).ok().filter(|&i| i < self.rows);
        let place =
            place.ok_or_else(|| error!(InvalidArgument, "input index out of range: {id} of {} rows of {}", self.rows, self.name))?;
        self.table.read(place * buffer.len(), buffer);
        to.iter_mut().zip(&*buffer).for_each(|(to, x)| *to += x);
        Ok(())
    }
}

impl EmbedLayerNormalization {
    /// How many ones the mask of each sequence has.
    fn counts(cx: &Run<'_>, batch: usize, length: usize) -> Result<()> {
        let out = cx.output(1)?.slice::<i32>()?;
        out.fill(0);
        let Some(mask) = cx.optional(7)? else { return Ok(()) };
        ensure!(mask.shape() == [batch, length], InvalidArgument, "mask is of shape {:?}, not [{batch}, {length}]", mask.shape());
        for (out, row) in out.iter_mut().zip(mask.slice::<i32>()?.chunks_exact(length.max(1))) {
            *out = row.iter().filter(|&&m| m == 1).count() as i32;
        }
        Ok(())
    }
}

/// The indices that input `i` holds: as many as there are rows, or for positions one sequence for all.
fn indices<'a>(cx: &'a Run<'_>, i: usize, batch: usize, length: usize) -> Result<Option<&'a [i32]>> {
    let Some(t) = cx.optional(i)? else { return Ok(None) };
    let fits = t.shape() == [batch, length] || (i == 8 && t.shape() == [1, length]);
    ensure!(fits, InvalidArgument, "input {i} is of shape {:?}, not [{batch}, {length}]", t.shape());
    t.slice().map(Some)
}

impl Stateless for EmbedLayerNormalization {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let dtype = cx.input(2)?.dtype();
        let (&[batch, length], &[_, hidden]) = (cx.input(0)?.shape(), cx.input(2)?.shape()) else {
            base::bail!(InvalidArgument, "input_ids of shape {:?}, words of shape {:?}", cx.input(0)?.shape(), cx.input(2)?.shape());
        };
        cx.allocate(0, dtype, [batch, length, hidden])?;
        cx.allocate(1, DType::I32, [batch])?;
        cx.allocate(2, dtype, [batch, length, hidden])?;
        if cx.has_output(1) {
            Self::counts(cx, batch, length)?;
        }
        let mut lookups = vec![
            Lookup::new("word_embedding", cx.input(2)?, indices(cx, 0, batch, length)?, hidden)?,
            Lookup::new("position_embedding", cx.input(3)?, indices(cx, 8, batch, length)?, hidden)?,
        ];
        match (indices(cx, 1, batch, length)?, cx.optional(4)?) {
            (Some(ids), Some(table)) => lookups.push(Lookup::new("segment_embedding", table, Some(ids), hidden)?),
            (None, None) => {}
            _ => base::bail!(InvalidArgument, "segment_ids and segment_embedding must be given together"),
        }
        let vector = |i: usize| {
            let t = cx.input(i)?;
            ensure!(t.shape() == [hidden], InvalidArgument, "input {i} is of shape {:?}, not [{hidden}]", t.shape());
            let mut wide = vec![0f32; hidden];
            Floats::of(t)?.read(0, &mut wide);
            Ok(wide)
        };
        let (gamma, beta) = (vector(5)?, vector(6)?);
        let y = FloatsMut::of(cx.output(0)?)?;
        let sum = if cx.has_output(2) { Some(FloatsMut::of(cx.output(2)?)?) } else { None };
        try_for_rows::<f32>(&mut [], 0, batch * length, rows_per_chunk(hidden * 4), &|_, range| {
            let (mut row, mut buffer, mut out) = (vec![0f32; hidden], vec![0f32; hidden], vec![0f32; hidden]);
            for r in range {
                row.fill(0.0);
                lookups.iter().try_for_each(|l| l.add(r, length, &mut buffer, &mut row))?;
                let (mean, variance) = simd::rows::mean_variance(&row);
                simd::rows::normalize(&row, &mut out, mean, 1.0 / (variance + self.epsilon).sqrt(), Some(&gamma), Some(&beta));
                // SAFETY: each row is written by one chunk only.
                unsafe {
                    y.write(r * hidden, &out);
                    if let Some(sum) = &sum {
                        sum.write(r * hidden, &row);
                    }
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, assert_close, single};

    use super::*;

    fn op(ids: &[i32]) -> Single {
        let s = single(&EMBED_LAYER_NORMALIZATION, 1).attr("epsilon", 0.0f32).input([1, 2], ids).input([1, 2], &[1i32, 0]);
        let s = s.input([3, 2], &[1f32, 2., 3., 4., 5., 6.]).input([2, 2], &[10f32, 20., 30., 50.]).input([2, 2], &[0f32, 0., 1., -1.]);
        s.input([2], &[2f32, 3.]).input([2], &[0.5f32, 0.])
    }

    #[test]
    fn sums_norms_and_counts() {
        let out = op(&[2, 0]).input([1, 2], &[1i32, 0]).input([1, 2], &[1i32, 0]).run(3).unwrap();
        // Words 5 6 and 1 2, positions 30 50 and 10 20, segments 1 -1 and 0 0.
        assert_close(out[2].tensor().unwrap(), &[36., 55., 11., 22.], 0., 0.);
        assert_close(out[0].tensor().unwrap(), &[-1.5, 3., -1.5, 3.], 1e-5, 0.);
        assert_eq!(out[1].tensor().unwrap().slice::<i32>().unwrap(), [1]);
        let out = op(&[2, 0]).run(3).unwrap();
        assert_close(out[2].tensor().unwrap(), &[16., 25., 31., 52.], 0., 0.);
        assert_eq!(out[1].tensor().unwrap().slice::<i32>().unwrap(), [0]);
    }

    #[test]
    fn indices_out_of_range_are_named() {
        for id in [3, -1] {
            let e = op(&[0, id]).run(1).unwrap_err();
            assert!(e.detail().contains(&format!("{id} of 3 rows of word_embedding")), "{e}");
        }
        let e = op(&[0, 0]).input([2, 2], &[1i32; 4]).run(2).unwrap_err();
        assert!(e.detail().contains("mask is of shape [2, 2]"), "{e}");
    }
}
