//! Tokenizer of `com.microsoft`: the words of strings, in rows as long as the longest.

use base::threads::paced;
use base::{DType, Result, Shape, Strings, ensure};
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, since};
use regex::Regex;

use super::STRING;
use super::re2::compile;

/// Tokenizer of `com.microsoft`.
pub static TOKENIZER: OpDef = OpDef {
    name: "Tokenizer",
    versions: &[since(1, "X:T -> Y:T", &[("T", STRING)])],
    load: |a| Tokenizer::load(a).map(|t| Box::new(t) as Box<dyn Op>),
    kernels: Kernels::NONE.stateless::<Tokenizer>(),
    ..OpDef::MICROSOFT
};

/// What stands before and after the words of a string, if that is asked for.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

#[derive(Clone, Debug)]
enum Words {
    /// Each character is a word.
    Characters,
    /// What lies between matches of the patterns, which are applied one after another.
    Between(Vec<Regex>),
    /// What matches the pattern.
    Matches(Regex),
}

#[derive(Clone, Debug)]
struct Tokenizer {
    words: Words,
    mark: bool,
    /// What fills short rows.
    pad: String,
    /// Words of fewer characters are dropped.
    least: usize,
}

impl Tokenizer {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let mark = a.required_int("mark")? != 0;
        let least = usize::try_from(a.required_int("mincharnum")?).unwrap_or(0);
        let Some(pad) = a.opt_string("pad_value")? else { base::bail!(InvalidGraph, "Required attribute 'pad_value' is missing") };
        let separators = a.opt_strings("separators")?.filter(|s| !s.is_empty());
        let words = match (a.opt_string("tokenexp")?.filter(|e| !e.is_empty()), separators) {
            (Some("."), None) => Words::Characters,
            (Some(pattern), None) => Words::Matches(compile(pattern, |p| p)?),
            (None, Some(separators)) if separators.len() == 1 && separators[0].is_empty() => Words::Characters,
            (None, Some(separators)) => {
                ensure!(separators.iter().all(|s| !s.is_empty()), InvalidGraph, "No empty separators allowed");
                Words::Between(separators.iter().map(|s| compile(s, |p| p)).collect::<Result<_>>()?)
            }
            _ => base::bail!(InvalidGraph, "either 'separators' or 'tokenexp' must be given, and not both"),
        };
        let fits = least < 2 || !matches!(words, Words::Characters);
        ensure!(fits, InvalidGraph, "mincharnum is too big for char level tokenezation");
        Ok(Self { words, mark, pad: pad.to_owned(), least })
    }

    /// The words of `text`.
    fn split<'s>(&self, text: &'s str) -> Vec<&'s str> {
        let mut words = match &self.words {
            Words::Characters => paced(text.char_indices(), 8).map(|(i, c)| &text[i..i + c.len_utf8()]).collect(),
            Words::Matches(pattern) => paced(pattern.find_iter(text), 64).map(|m| m.as_str()).collect(),
            Words::Between(patterns) => {
                let mut parts = vec![text];
                for pattern in patterns {
                    parts = parts.iter().flat_map(|part| paced(pattern.split(part), 64)).collect();
                }
                parts
            }
        };
        words.retain(|w| !w.is_empty() && (self.least < 2 || w.chars().count() >= self.least));
        words
    }
}

impl Op for Tokenizer {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let longest = cx.fresh();
        if let Some(dims) = cx.dims(0)? {
            ensure!((1..=2).contains(&dims.len()), InvalidGraph, "Input dimensions are either [C > 0] or [N > 0][C > 0] allowed");
        }
        let dims = cx.dims(0)?.map(|d| d.iter().cloned().chain([longest]).collect());
        cx.tensor(0, DType::String, dims);
        Ok(())
    }
}

impl Stateless for Tokenizer {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let texts = x.strings()?;
        let mut rows = Vec::with_capacity(texts.len());
        for text in paced(texts.iter(), 64) {
            rows.push(self.split(text));
        }
        let words = rows.iter().map(Vec::len).max().unwrap_or(0);
        // Where there are no words at all, there are no marks either.
        let mark = self.mark && words > 0;
        let longest = words + if mark { MARKS.len() } else { 0 };
        let mut shape = Shape::from(x.shape());
        shape.push(longest);
        let room = Shape::checked_len(&shape).filter(|n| *n <= isize::MAX as usize / 16);
        ensure!(room.is_some(), Fail, "the words of strings of shape {} are too many", Shape::from(x.shape()));
        let mut out = Strings::with_room(room.unwrap_or(usize::MAX), 0)?;
        for row in rows {
            let marks = if mark { &MARKS[..] } else { &[] };
            let used = row.len() + marks.len();
            let words = marks.iter().take(1).chain(&row).chain(marks.iter().skip(1));
            paced(words, 16).for_each(|word| out.push(word));
            paced(used..longest, 16).for_each(|_| out.push(&self.pad));
        }
        cx.set_strings(0, shape, out)
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, single};

    use super::*;

    fn tokenizer(mark: i64, least: i64) -> Single {
        single(&TOKENIZER, 1).attr("mark", mark).attr("pad_value", "#").attr("mincharnum", least)
    }

    fn separators(s: Single, list: &[&str]) -> Single {
        s.attr("separators", Attribute::Strings(list.iter().map(|s| s.as_bytes().into()).collect()))
    }

    fn check(s: Single, texts: &[&str], want: &[&[&str]]) {
        let t = s.strings([texts.len()], texts).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), want.concat());
        assert_eq!(&**t.shape(), [texts.len(), want[0].len()]);
    }

    #[test]
    fn between_separators() {
        check(separators(tokenizer(0, 1), &[", ", " "]), &["a, b  cd", "x"], &[&["a", "b", "cd"], &["x", "#", "#"]]);
        check(separators(tokenizer(1, 1), &[" "]), &["a b", ""], &[&["\u{2}", "a", "b", "\u{3}"], &["\u{2}", "\u{3}", "#", "#"]]);
        check(separators(tokenizer(0, 2), &["b", "ab"]), &["abc, abb"], &[&["c, a"]]);
        check(separators(tokenizer(0, 1), &["[ ,]+"]), &["a, b,,c"], &[&["a", "b", "c"]]);
        check(separators(tokenizer(1, 1), &["."]), &["abc"], &[&[]]);
    }

    #[test]
    fn characters_and_matches() {
        check(separators(tokenizer(0, 1), &[""]), &["aä€", "b"], &[&["a", "ä", "€"], &["b", "#", "#"]]);
        check(tokenizer(0, 2).attr("tokenexp", "[a-z]*"), &["ab, c;def"], &[&["ab", "def"]]);
        check(tokenizer(1, 1).attr("tokenexp", "(ab)c"), &["xabcy", "x"], &[&["\u{2}", "abc", "\u{3}"], &["\u{2}", "\u{3}", "#"]]);
    }

    #[test]
    fn two_axes_and_no_strings() {
        let t = separators(tokenizer(0, 1), &[" "]).strings([2, 2], &["a b", "c", "d", ""]).tensor().unwrap();
        assert_eq!(&**t.shape(), [2, 2, 2]);
        assert_eq!(&**separators(tokenizer(1, 1), &[" "]).strings([0], &[]).tensor().unwrap().shape(), [0, 0]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.strings([1], &["a"]).run(1).unwrap_err().detail().to_owned();
        assert!(fails(tokenizer(0, 1)).contains("either 'separators' or 'tokenexp'"));
        assert!(fails(separators(tokenizer(0, 2), &[""])).contains("mincharnum is too big"));
        assert!(fails(separators(tokenizer(0, 1), &[" ", ""])).contains("No empty separators"));
        assert!(fails(single(&TOKENIZER, 1).attr("mincharnum", 1)).contains("'mark' is missing"));
        assert!(separators(tokenizer(0, 1), &[" "]).strings([1, 1, 1], &["a"]).run(1).is_err());
    }
}
