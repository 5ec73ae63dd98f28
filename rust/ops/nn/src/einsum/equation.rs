//! The equation of Einsum: labels of the axes of each term and of the result.

use base::{Result, Shape, bail, ensure};

/// The label of an axis: a letter, or one of the axes that an ellipsis stands for, counted from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    Ellipsis(usize),
    Letter(u8),
}

/// One term: its letters, and where an ellipsis stands among them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    letters: Vec<u8>,
    ellipsis: Option<usize>,
}

/// An equation as it is written.
#[derive(Clone, Debug)]
pub(super) struct Equation {
    inputs: Vec<Term>,
    output: Option<Term>,
}

impl Term {
    fn parse(text: &str) -> Result<Self> {
        let mut term = Self { letters: Vec::new(), ellipsis: None };
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = match first {
                b'a'..=b'z' | b'A'..=b'Z' => {
                    term.letters.push(*first);
                    tail
                }
                b'.' if tail.starts_with(b"..") && term.ellipsis.is_none() => {
                    term.ellipsis = Some(term.letters.len());
                    &tail[2..]
                }
                _ => bail!(InvalidGraph, "term '{text}' of an equation has '{}'", char::from(*first)),
            };
        }
        Ok(term)
    }

    /// The labels of the axes, where the ellipsis stands for `hidden` of them.
    fn labels(&self, hidden: usize) -> Vec<Label> {
        let mut labels: Vec<Label> = self.letters.iter().map(|l| Label::Letter(*l)).collect();
        if let Some(at) = self.ellipsis {
            labels.splice(at..at, (0..hidden).rev().map(Label::Ellipsis));
        }
        labels
    }
}

impl Equation {
    /// Reads `text`.
    ///
    /// # Errors
    /// `InvalidGraph` when it is no equation.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(Term::parse(output)?)),
            None => (&text[..], None),
        };
        let inputs: Vec<Term> = inputs.split(',').map(Term::parse).collect::<Result<_>>()?;
        for (i, letter) in output.iter().flat_map(|o| o.letters.iter().enumerate()) {
            let known = inputs.iter().any(|t| t.letters.contains(letter));
            ensure!(known, InvalidGraph, "the result of '{text}' has '{}', which no term has", char::from(*letter));
            let again = output.iter().any(|o| o.letters[..i].contains(letter));
            ensure!(!again, InvalidGraph, "the result of '{text}' has '{}' twice", char::from(*letter));
        }
        Ok(Self { inputs, output })
    }

    /// The labels of all inputs, which have these ranks, and of the result.
    ///
    /// # Errors
    /// `InvalidGraph` when the ranks do not fit.
    pub(super) fn labels(&self, ranks: &[usize]) -> Result<(Vec<Vec<Label>>, Vec<Label>)> {
        ensure!(ranks.len() == self.inputs.len(), InvalidGraph, "{} inputs for an equation of {} terms", ranks.len(), self.inputs.len());
        let mut most = 0;
        let mut inputs = Vec::new();
        for (term, rank) in self.inputs.iter().zip(ranks) {
            let letters = term.letters.len();
            let fits = if term.ellipsis.is_some() { *rank >= letters } else { *rank == letters };
            ensure!(fits, InvalidGraph, "an input of {rank} axes for a term of {letters} letters");
            most = most.max(rank - letters);
            inputs.push(term.labels(rank - letters));
        }
        let output = match &self.output {
            Some(output) => output.labels(most),
            None => implied(&inputs, most),
        };
        Ok((inputs, output))
    }
}

/// The labels of a result that is not written: the axes of ellipses, then the letters that occur once, in their order.
fn implied(inputs: &[Vec<Label>], hidden: usize) -> Vec<Label> {
    let all: Vec<Label> = inputs.iter().flatten().copied().collect();
    let mut single: Vec<Label> =
        all.iter().copied().filter(|l| matches!(l, Label::Letter(_)) && all.iter().filter(|m| *m == l).count() == 1).collect();
    single.sort();
    (0..hidden).rev().map(Label::Ellipsis).chain(single).collect()
}

/// The size of each label: all axes of one label have the same size, or 1.
///
/// # Errors
/// `InvalidArgument` when two sizes disagree.
pub(super) fn sizes(labels: &[Vec<Label>], shapes: &[Shape]) -> Result<Vec<(Label, usize)>> {
    let mut sizes: Vec<(Label, usize)> = Vec::new();
    for (label, &size) in labels.iter().zip(shapes).flat_map(|(l, s)| l.iter().zip(s.iter())) {
        match sizes.iter_mut().find(|(l, _)| l == label) {
            None => sizes.push((*label, size)),
            Some((_, known)) if *known == size || size == 1 => {}
            Some((_, known)) if *known == 1 => *known = size,
            Some((_, known)) => bail!(InvalidArgument, "axes of sizes {known} and {size} share a label; the shapes are {shapes:?}"),
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(labels: &[Label]) -> String {
        let one = |l: &Label| match l {
            Label::Letter(l) => char::from(*l).to_string(),
            Label::Ellipsis(i) => i.to_string(),
        };
        labels.iter().map(one).collect()
    }

    #[test]
    fn results_are_implied() {
        let of = |text: &str, ranks: &[usize]| Equation::parse(text).unwrap().labels(ranks).map(|(_, o)| shown(&o));
        assert_eq!(of("ij,jk", &[2, 2]).unwrap(), "ik");
        assert_eq!(of("b a", &[2]).unwrap(), "ab");
        assert_eq!(of("...ij, ...jk", &[4, 3]).unwrap(), "10ik");
        assert_eq!(of("ii", &[2]).unwrap(), "");
        assert_eq!(of("i...->...", &[3]).unwrap(), "10");
        assert!(of("ij", &[3]).is_err());
        assert!(of("ij,jk", &[2]).is_err());
    }

    #[test]
    fn what_is_no_equation() {
        for text in ["i1->i", "i->j", "i..", "i......", "ij->ii"] {
            assert!(Equation::parse(text).is_err(), "{text}");
        }
    }
}
