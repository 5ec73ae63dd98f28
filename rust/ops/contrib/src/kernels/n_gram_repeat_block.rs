//! NGramRepeatBlock: tokens that would repeat a sequence of tokens get no score.

use base::{DType, Result, Shape, bail, ensure};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// NGramRepeatBlock of `com.microsoft`.
pub static N_GRAM_REPEAT_BLOCK: OpDef = OpDef {
    name: "NGramRepeatBlock",
    versions: &[since(
        1,
        "input_ids:Tid, scores:T -> scores_out:T",
        &[("Tid", TypeSet::tensors(&[DType::I64])), ("T", TypeSet::tensors(&[DType::F32]))],
    )],
    load: |a| {
        let size = a.required_int("ngram_size")?;
        ensure!(size > 0, InvalidGraph, "attribute 'ngram_size' is {size}");
        Ok(Box::new(NGramRepeatBlock { size: size as usize }))
    },
    kernels: Kernels::NONE.stateless::<NGramRepeatBlock>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct NGramRepeatBlock {
    size: usize,
}

impl Op for NGramRepeatBlock {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(1)?.map(Into::into);
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl Stateless for NGramRepeatBlock {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (&[batch, length], &[rows, words]) = (cx.input(0)?.shape(), cx.input(1)?.shape()) else {
            bail!(InvalidArgument, "input_ids of shape {:?}, scores of shape {:?}", cx.input(0)?.shape(), cx.input(1)?.shape());
        };
        ensure!(batch == rows, InvalidArgument, "scores of {rows} sequences, of which there are {batch}");
        cx.allocate(0, DType::F32, Shape::from([rows, words]))?;
        let (ids, scores) = (cx.input(0)?.slice::<i64>()?, cx.output(0)?.slice::<f32>()?);
        scores.copy_from_slice(cx.input(1)?.slice()?);
        for (ids, scores) in ids.chunks_exact(length.max(1)).zip(scores.chunks_exact_mut(words.max(1))) {
            let Some(start) = length.checked_sub(self.size - 1) else { continue };
            // The last tokens but one of a sequence, wherever they came before, and what came after them.
            for window in ids.windows(self.size).filter(|w| w[..self.size - 1] == ids[start..]) {
                let token = window[self.size - 1];
                let score = usize::try_from(token).ok().and_then(|t| scores.get_mut(t));
                let Some(score) = score else { bail!(InvalidArgument, "token {token} is none of {words}") };
                *score = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn what_would_repeat_is_blocked() {
        let op = |ids: &[i64], size: i64| single(&N_GRAM_REPEAT_BLOCK, 1).attr("ngram_size", size).input([1, ids.len()], ids);
        let blocked = |ids: &[i64], size: i64| {
            let t = op(ids, size).input([1, 5], &[1f32; 5]).tensor().unwrap();
            t.slice::<f32>().unwrap().iter().map(|s| s.is_infinite()).collect::<Vec<_>>()
        };
        assert_eq!(blocked(&[1, 2, 3, 1, 2], 3), [false, false, false, true, false]);
        assert_eq!(blocked(&[1, 2, 3, 1, 2], 1), [false, true, true, true, false]);
        assert_eq!(blocked(&[1], 3), [false; 5]);
        assert!(op(&[7, 7], 1).input([1, 5], &[1f32; 5]).tensor().is_err());
        assert!(op(&[1, 1], 1).input([2, 5], &[1f32; 10]).tensor().is_err());
    }
}
