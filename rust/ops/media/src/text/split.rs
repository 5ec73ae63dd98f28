//! StringSplit: the parts of strings between delimiters, in rows as long as the longest.
//!
//! Without a delimiter, runs of white space delimit, and those at both ends vanish.

use base::threads::{Pace, paced};
use base::{DType, Result, Shape, Strings, Tensor};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use super::STRING;

/// StringSplit of `ai.onnx`.
pub static STRING_SPLIT: OpDef = OpDef {
    name: "StringSplit",
    versions: &[since(20, "X:T1 -> Y:T2, Z:T3", &[("T1", STRING), ("T2", STRING), ("T3", TypeSet::tensors(&[DType::I64]))])],
    load: |a| {
        let most = a.opt_int("maxsplit")?;
        // Nobody can count further than `usize` anyway; negative numbers stand for no bound, as in the reference implementation.
        let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let delimiter = a.opt_string("delimiter")?.unwrap_or_default().to_owned();
        Ok(Box::new(StringSplit { delimiter, most }))
    },
    kernels: Kernels::NONE.stateless::<StringSplit>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct StringSplit {
    /// What stands between parts; empty for white space.
    delimiter: String,
    /// How many times a string is split at most.
    most: usize,
}

impl Op for StringSplit {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = cx.dims(0)?.map(<[_]>::to_vec);
        let longest = cx.fresh();
        let parts = dims.clone().map(|d| d.into_iter().chain([longest]).collect());
        cx.tensor(0, DType::String, parts);
        cx.set(1, Fact { shape: dims.map(Into::into), ..Fact::of(base::Type::Tensor(DType::I64)) });
        Ok(())
    }
}

fn is_space(c: char) -> bool {
    // The separators of records and the like count too, as they do in Python.
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl StringSplit {
    /// Calls `f` with each part of `text` and gives their number.
    fn split<'s>(&self, text: &'s str, mut f: impl FnMut(&'s str)) -> usize {
        let mut count = 0;
        let pace = Pace::default();
        let mut each = |part: &'s str| {
            pace.spend(16 + part.len());
            f(part);
            count += 1;
        };
        if !self.delimiter.is_empty() {
            text.splitn(self.most.saturating_add(1), self.delimiter.as_str()).for_each(each);
            return count;
        }
        let mut rest = text.trim_matches(is_space);
        let mut splits = 0;
        while !rest.is_empty() {
            let end = if splits < self.most { rest.find(is_space) } else { None };
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            each(part);
            rest = after.trim_start_matches(is_space);
            splits += 1;
        }
        count
    }
}

impl Stateless for StringSplit {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?;
        let texts = x.strings()?;
        let counts: Vec<i64> = paced(texts.iter(), 32).map(|t| self.split(t, |_| {}) as i64).collect();
        let longest = counts.iter().max().map_or(0, |&n| n as usize);
        let mut shape = Shape::from(x.shape());
        let counts = Tensor::from_slice(shape.clone(), &counts)?;
        shape.push(longest);
        // No part is longer than what it was split from, so the parts take no more bytes.
        let mut parts = Strings::with_room(Shape::checked_len(&shape).unwrap_or(usize::MAX), texts.byte_len())?;
        for text in paced(texts.iter(), 32) {
            let count = self.split(text, |part| parts.push(part));
            paced(count..longest, 8).for_each(|_| parts.push(""));
        }
        cx.set_strings(0, shape, parts)?;
        cx.set(1, counts)
    }
}

#[cfg(test)]
mod tests {
    use testkit::{Single, single};

    use super::*;

    fn split(s: Single) -> (Vec<usize>, Vec<String>, Vec<i64>) {
        let out = s.run(2).unwrap();
        let parts = out[0].tensor().unwrap();
        let texts = parts.as_ref().strings().unwrap().iter().map(str::to_owned).collect();
        (parts.shape().to_vec(), texts, out[1].tensor().unwrap().slice().unwrap().to_vec())
    }

    fn owned(v: &[&str]) -> Vec<String> {
        v.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn by_delimiters() {
        let s = || single(&STRING_SPLIT, 20).attr("delimiter", "..");
        let (shape, parts, counts) = split(s().strings([2], &["a..b....c", "..."]));
        assert_eq!((shape, parts), (vec![2, 4], owned(&["a", "b", "", "c", "", ".", "", ""])));
        assert_eq!(counts, [4, 2]);
        let (_, parts, counts) = split(s().attr("maxsplit", 1).strings([2], &["a..b..c", ""]));
        assert_eq!((parts, counts), (owned(&["a", "b..c", "", ""]), vec![2, 1]));
    }

    #[test]
    fn by_white_space() {
        let s = || single(&STRING_SPLIT, 20).attr("delimiter", "");
        let (shape, parts, counts) = split(s().strings([3, 1], &[" a\t\u{2003}b  ", "", "c"]));
        assert_eq!((shape, parts), (vec![3, 1, 2], owned(&["a", "b", "", "", "c", ""])));
        assert_eq!(counts, [2, 0, 1]);
        let (_, parts, _) = split(s().attr("maxsplit", 1).strings([1], &["  a  b  c "]));
        assert_eq!(parts, owned(&["a", "b  c"]));
        let (_, parts, _) = split(s().attr("maxsplit", 0).strings([1], &[" a b "]));
        assert_eq!(parts, owned(&["a b"]));
    }

    #[test]
    fn nothing_to_split() {
        assert_eq!(split(single(&STRING_SPLIT, 20).strings([0], &[])), (vec![0, 0], vec![], vec![]));
        assert_eq!(split(single(&STRING_SPLIT, 20).strings([], &["  "])), (vec![0], vec![], vec![0]));
    }
}
