//! Class labels: integers or strings, chosen by number.

use base::{DType, Result, Strings, Tensor, ensure};
use op::{Attrs, Run};

/// The labels of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads the labels from two attributes, of which one is given.
    ///
    /// # Errors
    /// `InvalidGraph` when both or none are.
    pub(crate) fn load(a: &Attrs<'_>, ints: &str, strings: &str) -> Result<Self> {
        let given = (a.opt_ints(ints)?.filter(|l| !l.is_empty()), a.opt_strings(strings)?.filter(|l| !l.is_empty()));
        match given {
            (Some(l), None) => Ok(Self::Ints(l.to_vec())),
            (None, Some(l)) => Ok(Self::Strings(l)),
            _ => Err(base::error!(InvalidGraph, "either '{ints}' or '{strings}' must be given, and not both")),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Ints(l) => l.len(),
            Self::Strings(l) => l.len(),
        }
    }

    /// The type of the labels.
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::Ints(_) => DType::I64,
            Self::Strings(_) => DType::String,
        }
    }

    /// The labels as a vector.
    ///
    /// # Errors
    /// `Fail` when the memory cannot be had.
    pub(crate) fn tensor(&self) -> Result<Tensor> {
        match self {
            Self::Ints(l) => Tensor::from_slice([l.len()], l),
            Self::Strings(l) => Tensor::from_strings([l.len()], l.iter().collect::<Strings>()),
        }
    }

    /// Makes output `i` the labels of the classes `chosen`. A model of one class says 1 or 0: whether it is that class.
    ///
    /// # Errors
    /// `Fail` when there is no such class.
    pub(crate) fn set(&self, cx: &mut Run<'_>, i: usize, chosen: &[u32]) -> Result<()> {
        if !cx.has_output(i) {
            return Ok(());
        }
        let alone = self.len() < 2;
        let known = if alone { 2 } else { self.len() };
        ensure!(chosen.iter().all(|&c| (c as usize) < known), Fail, "a class out of {known} was chosen");
        match self {
            Self::Ints(l) => {
                cx.allocate(i, DType::I64, [chosen.len()])?;
                let out = cx.output(i)?.slice::<i64>()?;
                out.iter_mut().zip(chosen).for_each(|(o, &c)| *o = if alone { c.into() } else { l[c as usize] });
                Ok(())
            }
            Self::Strings(l) => {
                let label = |&c: &u32| if alone { ["0", "1"][c as usize] } else { l[c as usize].as_str() };
                cx.set_strings(i, [chosen.len()], chosen.iter().map(label).collect())
            }
        }
    }
}

/// The place of the first greatest score.
pub(crate) fn greatest(scores: &[f32]) -> u32 {
    let mut best = 0;
    for (i, x) in scores.iter().enumerate().skip(1) {
        if *x > scores[best] {
            best = i;
        }
    }
    best as u32
}
