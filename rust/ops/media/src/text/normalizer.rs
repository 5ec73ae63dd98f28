//! StringNormalizer: strings without stop words, in lower or upper case.
//!
//! Case is changed by the rules of Unicode, whatever the locale.

use std::collections::HashSet;

use base::threads::paced;
use base::{DType, Result, Strings, bail, ensure};
use ir::{Dim, Fact};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

/// StringNormalizer of `ai.onnx`.
pub static STRING_NORMALIZER: OpDef = OpDef {
    name: "StringNormalizer",
    versions: &[since(10, "X:string -> Y:string", &[])],
    load: |a| {
        a.ignore("locale");
        let sensitive = a.flag("is_case_sensitive", false)?;
        let words = a.opt_strings("stopwords")?.unwrap_or_default();
        let action = match a.choice("case_change_action", &["NONE", "LOWER", "UPPER"], "NONE")? {
            0 => Action::None,
            1 => Action::Lower,
            _ => Action::Upper,
        };
        let stopwords = words.into_iter().map(|w| if sensitive { w } else { w.to_lowercase() }).collect();
        Ok(Box::new(StringNormalizer { stopwords, sensitive, action }))
    },
    kernels: Kernels::NONE.stateless::<StringNormalizer>(),
    ..OpDef::ONNX
};

#[derive(Clone, Copy, Debug)]
enum Action {
    None,
    Lower,
    Upper,
}

#[derive(Clone, Debug)]
struct StringNormalizer {
    /// In lower case unless case counts.
    stopwords: HashSet<String>,
    sensitive: bool,
    action: Action,
}

impl Op for StringNormalizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let left = cx.fresh();
        let dims = match cx.dims(0)? {
            None => None,
            Some([len]) => Some(vec![self.left(len, left)]),
            Some([batch, len]) => {
                ensure!(batch.known().is_none_or(|n| n == 1), InvalidGraph, "a matrix of strings must have one row, not {batch}");
                Some(vec![Dim::Known(1), self.left(len, left)])
            }
            Some(dims) => bail!(InvalidGraph, "strings must be a vector or a matrix of one row, not of shape {dims:?}"),
        };
        cx.set(0, Fact { shape: dims.map(Into::into), ..Fact::of(base::Type::Tensor(DType::String)) });
        Ok(())
    }
}

impl StringNormalizer {
    /// How many of `len` strings are left: all, or as many as only a run will tell.
    fn left(&self, len: &Dim, unknown: Dim) -> Dim {
        match len.known() {
            Some(n) if self.stopwords.is_empty() => Dim::Known(n.max(1)),
            _ => unknown,
        }
    }

    fn stops(&self, word: &str) -> bool {
        if self.stopwords.is_empty() {
            return false;
        }
        if self.sensitive { self.stopwords.contains(word) } else { self.stopwords.contains(&word.to_lowercase()) }
    }

    fn normalized(&self, words: &Strings) -> Strings {
        let kept = paced(words.iter(), 64).filter(|w| !self.stops(w));
        let kept: Strings = match self.action {
            Action::None => kept.collect(),
            Action::Lower => kept.map(str::to_lowercase).collect(),
            Action::Upper => kept.map(str::to_uppercase).collect(),
        };
        if kept.is_empty() { [""].into_iter().collect() } else { kept }
    }
}

impl Stateless for StringNormalizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let kept = self.normalized(x.strings()?);
        let shape = match x.shape() {
            [_] => vec![kept.len()],
            [1, _] => vec![1, kept.len()],
            other => bail!(InvalidArgument, "strings must be a vector or a matrix of one row, not of shape {other:?}"),
        };
        cx.set_strings(0, shape, kept)
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, single};

    use super::*;

    fn run(s: Single) -> (Vec<usize>, Vec<String>) {
        let t = s.tensor().unwrap();
        (t.shape().to_vec(), t.as_ref().strings().unwrap().iter().map(str::to_owned).collect())
    }

    fn with_stopwords(words: &[&str]) -> Single {
        let words = words.iter().map(|w| w.as_bytes().into()).collect();
        single(&STRING_NORMALIZER, 10).attr("stopwords", Attribute::Strings(words))
    }

    #[test]
    fn drops_words_and_changes_case() {
        let s = with_stopwords(&["Monday"]).attr("case_change_action", "UPPER").attr("locale", "en_US");
        assert_eq!(run(s.strings([3], &["MONDAY", "größe", "x"])), (vec![2], vec!["GRÖSSE".to_owned(), "X".to_owned()]));
        let s = with_stopwords(&["Monday"]).attr("case_change_action", "LOWER").attr("is_case_sensitive", 1);
        assert_eq!(run(s.strings([1, 3], &["MONDAY", "Monday", "Ä"])), (vec![1, 2], vec!["monday".to_owned(), "ä".to_owned()]));
    }

    #[test]
    fn nothing_left_is_an_empty_string() {
        assert_eq!(run(with_stopwords(&["a"]).strings([2], &["a", "A"])), (vec![1], vec![String::new()]));
        assert_eq!(run(with_stopwords(&["a"]).strings([1, 1], &["a"])), (vec![1, 1], vec![String::new()]));
        assert_eq!(run(single(&STRING_NORMALIZER, 10).strings([0], &[])), (vec![1], vec![String::new()]));
    }

    #[test]
    fn other_shapes_and_actions_are_errors() {
        for shape in [vec![2, 1], vec![], vec![1, 1, 1]] {
            let words = vec!["a"; shape.iter().product()];
            assert!(single(&STRING_NORMALIZER, 10).strings(shape, &words).run(1).is_err());
        }
        assert!(single(&STRING_NORMALIZER, 10).attr("case_change_action", "TITLE").strings([1], &["a"]).run(1).is_err());
    }
}
