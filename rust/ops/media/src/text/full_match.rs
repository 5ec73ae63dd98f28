//! RegexFullMatch: whether strings match a pattern from end to end.

use base::threads::Pace;
use base::{DType, Result, Shape, error};
use op::types::BOOL;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};
use regex::Regex;

use super::{STRING, re2};

/// RegexFullMatch of `ai.onnx`.
pub static REGEX_FULL_MATCH: OpDef = OpDef {
    name: "RegexFullMatch",
    versions: &[since(20, "X:T1 -> Y:T2", &[("T1", STRING), ("T2", BOOL)])],
    load: |a| {
        let pattern = a.opt_string("pattern")?.ok_or_else(|| error!(InvalidGraph, "Required attribute 'pattern' is missing"))?;
        Ok(Box::new(RegexFullMatch { regex: compiled(pattern)? }))
    },
    kernels: Kernels::NONE.stateless::<RegexFullMatch>(),
    ..OpDef::ONNX
};

/// `pattern`, anchored at both ends. Matching takes time in proportion to the text, whatever the pattern.
fn compiled(pattern: &str) -> Result<Regex> {
    // On its own first: a pattern may not close the group around it.
    re2::compile(pattern, |p| p)?;
    re2::compile(pattern, |p| format!(r"\A(?:{p})\z"))
}

#[derive(Clone, Debug)]
struct RegexFullMatch {
    regex: Regex,
}

impl Op for RegexFullMatch {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(0)?.map(Into::into);
        cx.tensor(0, DType::Bool, dims);
        Ok(())
    }
}

impl Stateless for RegexFullMatch {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let shape = Shape::from(cx.input(0)?.shape());
        cx.allocate(0, DType::Bool, shape)?;
        let texts = cx.input(0)?.strings()?;
        let out = cx.output(0)?.slice::<bool>()?;
        let pace = Pace::default();
        for (out, text) in out.iter_mut().zip(texts.iter()) {
            pace.spend(64 + 8 * text.len());
            *out = self.regex.is_match(text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    fn matches(pattern: &str, texts: &[&str]) -> Vec<bool> {
        let t = single(&REGEX_FULL_MATCH, 20).attr("pattern", pattern).strings([texts.len()], texts).tensor().unwrap();
        t.slice::<bool>().unwrap().to_vec()
    }

    #[test]
    fn from_end_to_end() {
        assert_eq!(matches("a|ab", &["a", "ab", "abc", ""]), [true, true, false, false]);
        assert_eq!(matches("a.*|.", &["abc", "ab\n", "é", "xa"]), [true, false, true, false]);
        assert_eq!(matches(r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)", &["account@gmail.com", "not email"]), [true, false]);
        assert_eq!(matches("", &["", "a"]), [true, false]);
        assert!(matches("x", &[]).is_empty());
    }

    #[test]
    fn classes_are_ascii() {
        assert_eq!(matches(r"\d\w", &["1a", "١a", "1é"]), [true, false, false]);
        assert_eq!(matches(r"(?i)É", &["é"]), [true]);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["a(?=b)", "(", "a)(?:b", "[z-a]", "(a{1000}){1000}"] {
            let e = single(&REGEX_FULL_MATCH, 20).attr("pattern", pattern).strings([0], &[]).run(1).unwrap_err();
            assert!(e.detail().contains("Invalid regex pattern"), "{e}");
        }
        assert!(single(&REGEX_FULL_MATCH, 20).strings([0], &[]).run(1).is_err());
    }
}
