//! SVMClassifier: pairs of classes, told apart by support vectors; or one row of coefficients for each class.

use base::{DType, Result, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::kernel::{Function, Vectors};
use super::probability::classes;
use crate::features::{FEATURES, LABELS, ML, count, floats, scores_dims, table, table_dims};
use crate::labels::{Labels, greatest};
use crate::post::{PostTransform, Second, logistic};

/// SVMClassifier of `ai.onnx.ml`.
pub static SVM_CLASSIFIER: OpDef = OpDef {
    name: "SVMClassifier",
    versions: &[since(1, "X:T1 -> Y:T2, Z:float", &[("T1", FEATURES), ("T2", LABELS)])],
    load: |a| SvmClassifier::load(a).map(|c| Box::new(c) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<SvmClassifier>(),
    ..ML
};

#[derive(Clone, Debug)]
struct SvmClassifier {
    labels: Labels,
    function: Function,
    /// The support vectors, class by class; none in a linear model.
    vectors: Vec<f32>,
    /// Where the vectors of each class begin, and their end.
    begins: Vec<usize>,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    /// Slope and offset from scores of pairs to probabilities; may be empty.
    slopes: Vec<(f32, f32)>,
    post: PostTransform,
}

impl SvmClassifier {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let list = |name| a.opt_floats(name).map(|l| l.unwrap_or_default().to_vec());
        let labels = Labels::load(a, "classlabels_ints", "classlabels_strings")?;
        let mut begins = vec![0];
        for &n in a.opt_ints("vectors_per_class")?.unwrap_or_default() {
            begins.push(begins[begins.len() - 1] + count("vectors_per_class", n)?);
        }
        let (offsets, slopes) = (list("prob_b")?, list("prob_a")?);
        ensure!(offsets.len() == slopes.len(), InvalidGraph, "{} slopes and {} offsets of probabilities", slopes.len(), offsets.len());
        let slopes = slopes.into_iter().zip(offsets).collect();
        let (coefficients, rho, vectors) = (list("coefficients")?, list("rho")?, list("support_vectors")?);
        let svm = Self { labels, function: Function::load(a)?, vectors, begins, coefficients, rho, slopes, post: PostTransform::load(a)? };
        svm.check()?;
        Ok(svm)
    }

    fn vector_count(&self) -> usize {
        self.begins[self.begins.len() - 1]
    }

    fn pairs(&self) -> usize {
        self.labels.len() * (self.labels.len() - 1) / 2
    }

    fn check(&self) -> Result<()> {
        let (n, vectors, pairs) = (self.labels.len(), self.vector_count(), self.pairs());
        let (given, rho) = (self.coefficients.len(), self.rho.len());
        if vectors == 0 {
            let fits = given > 0 && given.is_multiple_of(n) && rho > 0;
            ensure!(fits, InvalidGraph, "{given} coefficients and {rho} elements of 'rho' for {n} classes");
            return Ok(());
        }
        ensure!(
            self.begins.len() == n + 1,
            InvalidGraph,
            "attribute 'vectors_per_class' has {} elements for {n} classes",
            self.begins.len() - 1
        );
        let fits = !self.vectors.is_empty() && self.vectors.len().is_multiple_of(vectors);
        ensure!(fits, InvalidGraph, "{} numbers do not make {vectors} support vectors", self.vectors.len());
        ensure!(given >= (n - 1) * vectors, InvalidGraph, "coefficients are {given}, not {}", (n - 1) * vectors);
        let slopes = self.slopes.len();
        let fits = rho >= pairs && (slopes == 0 || slopes >= pairs);
        ensure!(fits, InvalidGraph, "{rho} elements of 'rho' and {slopes} of 'prob_a' for {pairs} pairs of classes");
        Ok(())
    }

    /// How many scores a row has.
    fn scores(&self) -> usize {
        match self.labels.len() {
            n if self.vector_count() == 0 || !self.slopes.is_empty() => n,
            0..=2 => 2,
            _ => self.pairs(),
        }
    }
}

impl Op for SvmClassifier {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let rows = table_dims(cx.dims(0)?)?.map(|(rows, _)| [rows].into_iter().collect());
        let scores = scores_dims(cx.dims(0)?, self.scores())?;
        cx.tensor(0, self.labels.dtype(), rows);
        cx.tensor(1, DType::F32, scores);
        Ok(())
    }
}

impl CpuKernel for SvmClassifier {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let vectors = match self.vector_count() {
            0 => Vectors::new(Function::Linear, &self.coefficients, self.labels.len())?,
            n => Vectors::new(self.function, &self.vectors, n)?,
        };
        Ok(Box::new(Kernel { vectors, of: self.clone() }))
    }
}

struct Kernel {
    vectors: Vectors,
    of: SvmClassifier,
}

impl Prepared for Kernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (rows, features) = table(cx.input(0)?.shape())?;
        let known = self.vectors.features();
        ensure!(features == known, InvalidArgument, "rows have {features} features, but the model has {known}");
        let compared = self.vectors.compare(&floats(&cx.input(0)?)?, rows)?;
        let columns = self.of.scores();
        let mut scores = vec![0.0; rows * columns];
        let width = compared.len() / rows.max(1);
        let mut chosen = Vec::with_capacity(rows);
        for (row, out) in scores.chunks_exact_mut(columns).enumerate() {
            base::threads::checkpoint();
            let compared = &compared[row * width..(row + 1) * width];
            chosen.push(if self.of.vector_count() == 0 { self.of.linear(compared, out) } else { self.of.vote(compared, out) });
        }
        cx.allocate(1, DType::F32, [rows, columns])?;
        if cx.has_output(1) {
            cx.output(1)?.slice::<f32>()?.copy_from_slice(&scores);
        }
        self.of.labels.set(cx, 0, &chosen)
    }
}

impl SvmClassifier {
    /// The class of a row whose products with the coefficients of each class are `products`, and its scores.
    fn linear(&self, products: &[f32], out: &mut [f32]) -> u32 {
        out.iter_mut().zip(products).for_each(|(o, p)| *o = p + self.rho[0]);
        let class = match *out {
            // One row of coefficients: the sign tells whether it is the class.
            [score] => u32::from(score > 0.0),
            [..] => greatest(out),
        };
        let most = out[class as usize % out.len()];
        let positive = self.coefficients.iter().all(|&c| c >= 0.0);
        let class = match out.len() {
            2 if self.slopes.is_empty() && (if positive { most >= 0.5 } else { most > 0.0 }) => 1,
            _ => class,
        };
        self.post.apply(out);
        class
    }

    /// The class that wins most pairs, and the scores: of pairs, or probabilities of classes.
    fn vote(&self, compared: &[f32], out: &mut [f32]) -> u32 {
        let n = self.labels.len();
        let mut scores = Vec::with_capacity(self.pairs());
        let mut votes = vec![0u32; n];
        for i in 0..n {
            for j in i + 1..n {
                let score = self.duel(i, j, compared) + f64::from(self.rho[scores.len()]);
                votes[if score > 0.0 { i } else { j }] += 1;
                scores.push(score as f32);
            }
        }
        if !self.slopes.is_empty() {
            self.probabilities(&scores, out);
            self.post.apply(out);
        } else if let [score] = scores[..] {
            // The score is shown as one of two: with its opposite, or where a transform is asked for as a probability.
            let second = if self.post == PostTransform::None { Second::Opposite } else { Second::Complement };
            let mut two = [score, 0.0];
            self.post.spread(second, &mut two);
            out.copy_from_slice(&two);
        } else {
            out[..scores.len()].copy_from_slice(&scores);
            self.post.apply(out);
        }
        (0..n).fold(0, |best, i| if votes[i] > votes[best] { i } else { best }) as u32
    }

    /// What the support vectors of classes `i` and `j` say of the two.
    fn duel(&self, i: usize, j: usize, compared: &[f32]) -> f64 {
        let all = self.vector_count();
        let side = |class: usize, row: usize| -> f64 {
            let range = self.begins[class]..self.begins[class + 1];
            let weights = &self.coefficients[row * all..][range.clone()];
            weights.iter().zip(&compared[range]).map(|(w, k)| f64::from(w * k)).sum()
        };
        // Each class leaves out the row for itself.
        side(i, j - 1) + side(j, i)
    }

    fn probabilities(&self, scores: &[f32], out: &mut [f32]) {
        let n = self.labels.len();
        let mut pairs = vec![0.0; n * n];
        let mut each = scores.iter().zip(&self.slopes);
        for i in 0..n {
            for j in i + 1..n {
                let Some((score, (slope, offset))) = each.next() else { return };
                let p = (1.0 - logistic(score * slope + offset)).clamp(1e-7, 1.0 - 1e-7);
                (pairs[i * n + j], pairs[j * n + i]) = (p, 1.0 - p);
            }
        }
        classes(&pairs, out);
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{Single, assert_close, single};

    use super::*;

    fn list(values: &[f32]) -> Attribute {
        Attribute::Floats(values.to_vec())
    }

    fn ints(values: &[i64]) -> Attribute {
        Attribute::Ints(values.to_vec())
    }

    /// Three classes at 0, 1 and 3, one support vector each.
    fn three() -> Single {
        let s = single(&SVM_CLASSIFIER, 1).attr("kernel_type", "RBF").attr("kernel_params", list(&[1., 0., 3.]));
        let s = s.attr("vectors_per_class", ints(&[1, 1, 1])).attr("support_vectors", list(&[0., 1., 3.]));
        let s = s.attr("coefficients", list(&[1., -1., -1., 1., 1., -1.])).attr("rho", list(&[0., 0., 0.]));
        s.attr("classlabels_ints", ints(&[4, 5, 6]))
    }

    const X: [f32; 3] = [0.1, 1.2, 2.9];

    #[test]
    fn pairs_vote() {
        let out = three().input([3, 1], &X).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [4, 5, 6]);
        let k = |x: f32, v: f64| (-(f64::from(x) - v).powi(2)).exp();
        let want: Vec<f64> = X.iter().flat_map(|&x| [k(x, 0.) - k(x, 1.), k(x, 0.) - k(x, 3.), k(x, 1.) - k(x, 3.)]).collect();
        assert_close(out[1].tensor().unwrap(), &want, 1e-5, 1e-6);
    }

    #[test]
    fn probabilities_are_of_classes() {
        let s = three().attr("prob_a", list(&[-4.; 3])).attr("prob_b", list(&[0.; 3]));
        let out = s.input([3, 1], &X).run(2).unwrap();
        let p = out[1].tensor().unwrap();
        assert_eq!(&**p.shape(), [3, 3]);
        for (row, p) in p.slice::<f32>().unwrap().chunks(3).enumerate() {
            assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5 && greatest(p) as usize == row, "{p:?}");
        }
    }

    #[test]
    fn two_classes_have_two_scores() {
        let s = single(&SVM_CLASSIFIER, 1).attr("vectors_per_class", ints(&[1, 1])).attr("support_vectors", list(&[1., -1.]));
        let s = s.attr("coefficients", list(&[1., -1.])).attr("rho", list(&[0.5])).attr("classlabels_ints", ints(&[8, 9]));
        let out = s.input([2, 1], &[1f64, -1.]).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [8, 9]);
        assert_close(out[1].tensor().unwrap(), &[-2.5, 2.5, 1.5, -1.5], 0., 0.);
    }

    #[test]
    fn linear_models_have_a_row_for_each_class() {
        let s = single(&SVM_CLASSIFIER, 1).attr("coefficients", list(&[1., 0., 0., 1., -1., -1.])).attr("rho", list(&[0.5]));
        let out = s.attr("classlabels_ints", ints(&[1, 2, 3])).input([2, 2], &[0i64, 2, -1, -3]).run(2).unwrap();
        assert_eq!(out[0].tensor().unwrap().slice::<i64>().unwrap(), [2, 3]);
        assert_close(out[1].tensor().unwrap(), &[0.5, 2.5, -1.5, -0.5, -2.5, 4.5], 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.input([1, 1], &[0f32]).run(2).unwrap_err().detail().to_owned();
        assert!(fails(three().attr("rho", list(&[0.]))).contains("1 elements of 'rho'"));
        assert!(fails(three().attr("coefficients", list(&[0.]))).contains("coefficients are 1, not 6"));
        assert!(fails(three().attr("vectors_per_class", ints(&[1, 2]))).contains("has 2 elements for 3 classes"));
        assert!(fails(three().attr("vectors_per_class", ints(&[1, -2, 1]))).contains("-2"));
        assert!(fails(three().attr("prob_a", list(&[1.]))).contains("1 slopes and 0 offsets"));
    }
}
