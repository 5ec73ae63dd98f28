//! TreeEnsembleClassifier: the class that trees give most to, and the scores of all.

use base::threads::SharedMut;
use base::{DType, Result, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::attributes::{numbers, trees};
use super::build::{Written, build};
use super::evaluate::{Aggregate, Rows, Scores, evaluate};
use super::node::Forest;
use super::number::Number;
use crate::features::{FEATURES, LABELS, ML, scores_dims, table, table_dims};
use crate::labels::Labels;
use crate::post::{PostTransform, Second};

const SIGNATURE: &str = "X:T1 -> Y:T2, Z:float";

/// TreeEnsembleClassifier of `ai.onnx.ml`.
pub static TREE_ENSEMBLE_CLASSIFIER: OpDef = OpDef {
    name: "TreeEnsembleClassifier",
    versions: &[
        since(1, SIGNATURE, &[("T1", FEATURES), ("T2", LABELS)]),
        since(3, SIGNATURE, &[("T1", FEATURES), ("T2", LABELS)]),
        since(5, SIGNATURE, &[("T1", FEATURES), ("T2", LABELS)]),
    ],
    load: |a| TreeEnsembleClassifier::load(a).map(|c| Box::new(c) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<TreeEnsembleClassifier>(),
    ..ML
};

#[derive(Clone, Debug)]
struct TreeEnsembleClassifier {
    written: Written,
    labels: Labels,
    post: PostTransform,
    base: Vec<f64>,
    binary: Option<Binary>,
}

/// How two classes are told apart by the weights of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    /// No weight is negative: the score is a probability.
    Probability,
    /// The sign of the score tells.
    Decision,
}

impl TreeEnsembleClassifier {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let labels = Labels::load(a, "classlabels_int64s", "classlabels_strings")?;
        let classes = labels.len();
        let base = numbers(a, "base_values")?;
        let fits = base.is_empty() || base.len() == classes || (classes == 2 && base.len() == 1);
        ensure!(fits, InvalidGraph, "{} base values are given for {classes} classes", base.len());
        let written = trees(a, "class", classes)?;
        let mut met = written.leaves.iter().flatten().map(|w| w.0);
        let first = met.next();
        let binary = (classes == 2 && met.all(|c| Some(c) == first)).then(|| {
            let negative = written.leaves.iter().flatten().any(|w| w.1 < 0.0);
            if negative { Binary::Decision } else { Binary::Probability }
        });
        Ok(Self { written, labels, post: PostTransform::load(a)?, base, binary })
    }
}

impl Op for TreeEnsembleClassifier {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let rows = table_dims(cx.dims(0)?)?.map(|(rows, _)| [rows].into_iter().collect());
        let scores = scores_dims(cx.dims(0)?, self.labels.len())?;
        cx.tensor(0, self.labels.dtype(), rows);
        cx.tensor(1, DType::F32, scores);
        Ok(())
    }
}

impl CpuKernel for TreeEnsembleClassifier {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(if cx.dtype(0)? == DType::F64 { Box::new(self.build::<f64>()?) } else { Box::new(self.build::<f32>()?) })
    }
}

impl TreeEnsembleClassifier {
    fn build<T: Number>(&self) -> Result<Classifier<T>> {
        let base = self.base.iter().map(|&b| T::near(b)).collect();
        Ok(Classifier { forest: build(&self.written)?, labels: self.labels.clone(), post: self.post, base, binary: self.binary })
    }
}

#[derive(Debug)]
struct Classifier<T> {
    forest: Forest<T>,
    labels: Labels,
    post: PostTransform,
    base: Vec<T>,
    binary: Option<Binary>,
}

impl<T: Number> Classifier<T> {
    /// Turns the scores of one row into those that the model gives, and chooses the class.
    fn finish(&self, values: &[T], given: &[bool], out: &mut [T]) -> u32 {
        match values.len() {
            2 => self.two([values[0], values[1]], [given[0], given[1]], out),
            1 => {
                let score = values[0] + self.base.first().copied().unwrap_or_else(T::zero);
                out[0] = score;
                self.post.apply(out);
                u32::from(score > T::zero())
            }
            _ => self.many(values, given, out),
        }
    }

    /// The greatest score of those that were given any.
    fn many(&self, values: &[T], given: &[bool], out: &mut [T]) -> u32 {
        let mut best: Option<usize> = None;
        for (i, out) in out.iter_mut().enumerate() {
            *out = if given[i] { values[i] } else { T::zero() };
            if let Some(base) = self.base.get(i) {
                *out += *base;
            }
        }
        for (i, score) in out.iter().enumerate() {
            let counts = given[i] || !self.base.is_empty();
            if counts && best.is_none_or(|b| *score > out[b]) {
                best = Some(i);
            }
        }
        self.post.apply(out);
        best.unwrap_or(0) as u32
    }

    /// Two classes; the rules are those of ONNX Runtime, which the standard leaves open.
    fn two(&self, mut score: [T; 2], given: [bool; 2], out: &mut [T]) -> u32 {
        let mut both = given[1];
        let mut second = Second::Absent;
        match self.base[..] {
            [_, base] if given[1] => {
                score[1] = base + score[0];
                score[0] = -score[1];
            }
            [base, _] => {
                score = [score[0] + base, T::zero()];
                both = true;
            }
            [base] => score[0] += base,
            _ => second = Second::Opposite,
        }
        let deciding = if given[1] { score[1] } else { score[0] };
        let half = T::near(0.5);
        let positive = match self.binary {
            Some(Binary::Probability) => {
                second = Second::Complement;
                deciding > half
            }
            Some(Binary::Decision) => {
                second = Second::Opposite;
                deciding > T::zero()
            }
            None => deciding > T::zero(),
        };
        if both {
            out.copy_from_slice(&score);
            self.post.apply(out);
        } else {
            self.post.spread(second, &mut score);
            out.copy_from_slice(&score);
        }
        u32::from(positive)
    }
}

impl<T: Number> Prepared for Classifier<T> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (count, columns) = table(cx.input(0)?.shape())?;
        let classes = self.labels.len();
        let mut chosen = vec![0; count];
        let mut unasked = Vec::new();
        cx.allocate(1, DType::F32, [count, classes])?;
        {
            let x = cx.input(0)?;
            let data = T::features(&x)?;
            let out = if cx.has_output(1) {
                cx.output(1)?.slice::<f32>()?
            } else {
                unasked.resize(count * classes, 0.0);
                &mut unasked
            };
            let (out, labels) = (SharedMut::new(out), SharedMut::new(&mut chosen));
            evaluate(&self.forest, Aggregate::Sum, Rows { data: &data, count, columns }, &|first, scores: &Scores<T>| {
                let rows = scores.values.len() / classes;
                // SAFETY: each block of rows is finished once, and has its part of both outputs for itself.
                let (out, labels) = unsafe { (out.part(first * classes..(first + rows) * classes), labels.part(first..first + rows)) };
                let mut buffer = vec![T::zero(); classes];
                for (row, out) in out.chunks_exact_mut(classes).enumerate() {
                    let range = row * classes..(row + 1) * classes;
                    labels[row] = self.finish(&scores.values[range.clone()], &scores.given[range], &mut buffer);
                    out.iter_mut().zip(&buffer).for_each(|(o, x)| *o = x.f32());
                }
                Ok(())
            })?;
        }
        self.labels.set(cx, 0, &chosen)
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::assert_close;

    use super::super::testing::{Stumps, stumps};
    use super::*;

    const X: [f32; 8] = [0., 0., 0., 1., 1., 0., 1., 1.];
    /// Labels and scores of the four rows of `X`.
    type Want = ([i64; 4], [f64; 8]);

    fn check(s: Stumps, want: Want) {
        let out = s.attr("classlabels_int64s", Attribute::Ints(vec![10, 20])).single(&TREE_ENSEMBLE_CLASSIFIER, "class").input([4, 2], &X);
        let out = out.run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), want.0);
        assert_close(out[1].tensor().unwrap(), &want.1, 1e-4, 1e-4);
    }

    fn of_class(class: i64, weights: [f32; 4]) -> Stumps {
        let leaves = weights.map(|w| [(class, w)]);
        stumps(&[&leaves[0], &leaves[1], &leaves[2], &leaves[3]])
    }

    fn base(values: &[f32]) -> Attribute {
        Attribute::Floats(values.to_vec())
    }

    #[test]
    fn weights_of_one_of_two_classes() {
        let signed = || of_class(0, [0.3, -0.4, 0.2, 0.9]);
        check(signed(), ([20, 20, 10, 20], [-0.5, 0.5, -1.2, 1.2, 0.2, -0.2, -0.5, 0.5]));
        let logistic = signed().attr("post_transform", "LOGISTIC");
        check(logistic, ([20, 20, 10, 20], [0.3775, 0.6225, 0.2315, 0.7685, 0.5498, 0.4502, 0.3775, 0.6225]));
        check(signed().attr("base_values", base(&[0.05, 0.2])), ([20, 20, 10, 20], [0.55, 0., 1.25, 0., -0.15, 0., 0.55, 0.]));
        check(of_class(0, [0.1, 0.4, 0.2, 0.6]), ([10, 20, 20, 20], [0.7, 0.3, 0.3, 0.7, 0.4, 0.6, 0., 1.]));
        check(of_class(1, [0.1, 0.4, 0.2, 0.6]), ([10, 20, 20, 20], [0., 0.3, 0., 0.7, 0., 0.6, 0., 1.]));
        let complement = of_class(0, [0.1, 0.4, 0.2, 0.6]).attr("base_values", base(&[0.05]));
        check(complement, ([10, 20, 20, 20], [0.65, 0.35, 0.25, 0.75, 0.35, 0.65, -0.05, 1.05]));
    }

    #[test]
    fn weights_of_both_classes() {
        let two = || stumps(&[&[(0, 0.3), (1, 0.2)], &[(0, -0.4), (1, 0.1)], &[(0, 0.2), (1, -0.7)], &[(0, 0.1), (1, 0.9)]]);
        check(two(), ([10, 20, 10, 20], [0.5, -0.5, 0.4, 1.1, -0.2, -0.6, -0.3, 1.0]));
        check(two().attr("base_values", base(&[0.05])), ([10, 20, 10, 20], [0.55, -0.5, 0.45, 1.1, -0.15, -0.6, -0.25, 1.0]));
        check(two().attr("base_values", base(&[0.05, 0.2])), ([20, 20, 10, 10], [-0.7, 0.7, -0.6, 0.6, 0., 0., 0.1, -0.1]));
        let mixed = || stumps(&[&[(0, 0.3)], &[(1, -0.4)], &[(0, 0.2)], &[(1, 0.9)]]);
        check(mixed(), ([20, 20, 10, 20], [-0.5, 0.5, 0.3, 0.9, 0.2, -0.4, 0., 0.5]));
    }

    #[test]
    fn three_classes_of_which_some_are_not_met() {
        let s = |base: Option<Attribute>| {
            let s = stumps(&[&[(0, 0.3)], &[(1, -0.4)], &[(2, -0.2)], &[(1, 0.9)]]);
            let names = ["a", "b", "c"].map(|n| n.as_bytes().into()).to_vec();
            let s = s.attr("classlabels_strings", Attribute::Strings(names));
            let s = base.into_iter().fold(s, |s, b| s.attr("base_values", b));
            s.single(&TREE_ENSEMBLE_CLASSIFIER, "class").input([4, 2], &X).run(2).unwrap()
        };
        let labels = |out: &[base::Value]| -> Vec<String> {
            out[0].tensor().unwrap().as_ref().strings().unwrap().iter().map(str::to_owned).collect()
        };
        let out = s(None);
        assert_eq!(labels(&out), ["a", "b", "c", "b"]);
        assert_close(out[1].tensor().unwrap(), &[0.3, 0., -0.2, 0.3, 0.9, 0., 0., -0.4, -0.2, 0., 0.5, 0.], 1e-6, 1e-6);
        let out = s(Some(base(&[0.1, 0.2, 0.3])));
        assert_eq!(labels(&out), ["a", "b", "c", "b"]);
        assert_close(out[1].tensor().unwrap(), &[0.4, 0.2, 0.1, 0.4, 1.1, 0.3, 0.1, -0.2, 0.1, 0.1, 0.7, 0.3], 1e-6, 1e-6);
    }

    #[test]
    fn one_class() {
        let s = of_class(0, [0.3, -0.4, 0.2, 0.9]).attr("classlabels_int64s", Attribute::Ints(vec![7]));
        let out = s.single(&TREE_ENSEMBLE_CLASSIFIER, "class").input([4, 2], &X).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [1, 1, 0, 1]);
        assert_close(out[1].tensor().unwrap(), &[0.5, 1.2, -0.2, 0.5], 1e-6, 1e-6);
    }

    #[test]
    fn labels_and_base_values_must_fit() {
        let fails = |s: Stumps| s.single(&TREE_ENSEMBLE_CLASSIFIER, "class").input([4, 2], &X).run(2).unwrap_err().detail().to_owned();
        assert!(fails(of_class(0, [0.; 4])).contains("classlabels_int64s"));
        let three = || of_class(0, [0.; 4]).attr("classlabels_int64s", Attribute::Ints(vec![1, 2, 3]));
        assert!(fails(three().attr("base_values", base(&[1.]))).contains("1 base values"));
        assert!(fails(of_class(5, [0.; 4]).attr("classlabels_int64s", Attribute::Ints(vec![1, 2, 3]))).contains("target 5"));
    }
}
