//! BifurcationDetector: takes over predicted tokens as far as they agree with the source, and finds where the source goes on.

use base::{DType, Result, ensure};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

/// BifurcationDetector of `com.microsoft`.
pub static BIFURCATION_DETECTOR: OpDef = OpDef {
    name: "BifurcationDetector",
    versions: &[since(
        1,
        "src_tokens:T, cur_tokens:T, prev_suffix_match_idx:T, pred_tokens:T? -> tokens:T, suffix_match_idx:T",
        &[("T", TypeSet::tensors(&[DType::I64]))],
    )],
    load: |a| {
        let size = |name: &str, default: i64| -> Result<usize> {
            let n = a.int(name, default)?;
            usize::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| base::error!(InvalidGraph, "attribute '{name}' is {n}"))
        };
        Ok(Box::new(BifurcationDetector { least: size("min_ngram_size", 1)?, most: size("max_ngram_size", 3)? }))
    },
    kernels: Kernels::NONE.stateless::<BifurcationDetector>(),
    ..OpDef::MICROSOFT
};

#[derive(Clone, Debug)]
struct BifurcationDetector {
    /// How many of the last tokens are looked for in the source, at least and at most.
    least: usize,
    most: usize,
}

impl BifurcationDetector {
    /// Behind which tokens of the source the last of `tokens` are, if they are there once only; else -1.
    fn suffix_match(&self, source: &[i64], tokens: &[i64]) -> i64 {
        for size in self.least..=self.most.min(tokens.len()) {
            let suffix = &tokens[tokens.len() - size..];
            let mut places = source.windows(size).enumerate().filter(|(_, window)| *window == suffix).map(|(place, _)| place);
            match (places.next(), places.next()) {
                (None, _) => return -1,
                (Some(place), None) => return (place + size) as i64,
                // More of the last tokens may tell the places apart.
                _ => {}
            }
        }
        -1
    }
}

/// The predicted tokens up to the first that is not what the source says.
fn agreed<'a>(source: &[i64], predicted: &'a [i64]) -> &'a [i64] {
    let same = source.iter().zip(predicted).take_while(|(a, b)| a == b).count();
    &predicted[..predicted.len().min(same + 1)]
}

impl Op for BifurcationDetector {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let length = cx.fresh();
        cx.tensor(0, DType::I64, Some([length].into_iter().collect()));
        cx.tensor(1, DType::I64, Some([].into_iter().collect()));
        Ok(())
    }
}

impl Stateless for BifurcationDetector {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (source, current) = (cx.input(0)?.slice::<i64>()?, cx.input(1)?.slice::<i64>()?);
        let mut tokens = current.to_vec();
        if let Some(predicted) = cx.optional(3)? {
            let (start, predicted) = (cx.input(2)?.scalar::<i64>()?, predicted.slice::<i64>()?);
            let rest = usize::try_from(start).ok().and_then(|start| source.get(start..));
            let rest = rest.ok_or_else(|| base::error!(InvalidArgument, "prev_suffix_match_idx is {start}, of {} tokens", source.len()))?;
            let wanted = rest.len() + 1;
            ensure!(predicted.len() == wanted, InvalidArgument, "{} predicted tokens, not {wanted}", predicted.len());
            tokens.extend(agreed(rest, predicted));
        }
        let found = self.suffix_match(source, &tokens);
        cx.allocate(0, DType::I64, [tokens.len()])?;
        cx.allocate(1, DType::I64, [])?;
        cx.output(0)?.slice::<i64>()?.copy_from_slice(&tokens);
        cx.output(1)?.slice::<i64>()?[0] = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn predictions_are_taken_over_and_the_source_is_found_again() {
        let op = single(&BIFURCATION_DETECTOR, 1).input([4], &[1i64, 0, 3, 2]).input([4], &[0i64, 2, 1, 2]).input([], &[3i64]);
        let out = op.input([2], &[1i64, 1]).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [0, 2, 1, 2, 1]);
        assert_eq!(out[1].tensor().unwrap().slice::<i64>().unwrap(), [1]);
    }

    #[test]
    fn numbers_of_tokens_that_do_not_fit_are_refused() {
        let op = || single(&BIFURCATION_DETECTOR, 1).input([2], &[1i64, 0]).input([1], &[0i64]);
        assert!(op().input([], &[5i64]).input([1], &[1i64]).run(2).unwrap_err().detail().contains("prev_suffix_match_idx is 5"));
        assert!(op().input([], &[1i64]).input([1], &[1i64]).run(2).unwrap_err().detail().contains("not 2"));
    }
}
