//! TreeEnsembleRegressor: sums (or averages, or extremes) of what the leaves of trees give.

use base::threads::SharedMut;
use base::{DType, Result, ensure};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::attributes::{numbers, trees};
use super::build::{Written, build};
use super::evaluate::{AGGREGATES, Aggregate, Rows, Scores, evaluate};
use super::node::Forest;
use super::number::Number;
use crate::features::{FEATURES, ML, count, scores_dims, table};
use crate::post::PostTransform;

const SIGNATURE: &str = "X:T -> Y:float";

/// TreeEnsembleRegressor of `ai.onnx.ml`.
pub static TREE_ENSEMBLE_REGRESSOR: OpDef = OpDef {
    name: "TreeEnsembleRegressor",
    versions: &[since(1, SIGNATURE, &[("T", FEATURES)]), since(3, SIGNATURE, &[("T", FEATURES)]), since(5, SIGNATURE, &[("T", FEATURES)])],
    load: |a| {
        let targets = count("n_targets", a.required_int("n_targets")?)?;
        let base = base_values(a, targets)?;
        let aggregate = Aggregate::of(a.choice("aggregate_function", &AGGREGATES, "SUM")?)?;
        Ok(Box::new(TreeEnsembleRegressor { written: trees(a, "target", targets)?, aggregate, post: PostTransform::load(a)?, base }))
    },
    kernels: Kernels::NONE.cpu::<TreeEnsembleRegressor>(),
    ..ML
};

#[derive(Clone, Debug)]
struct TreeEnsembleRegressor {
    written: Written,
    aggregate: Aggregate,
    post: PostTransform,
    base: Vec<f64>,
}

/// Trees that give numbers.
#[derive(Debug)]
pub(super) struct Regressor<T> {
    pub(super) forest: Forest<T>,
    pub(super) aggregate: Aggregate,
    pub(super) post: PostTransform,
    /// What is added to each target; may be empty.
    pub(super) base: Vec<T>,
}

fn base_values(a: &Attrs<'_>, targets: usize) -> Result<Vec<f64>> {
    ensure!(targets > 0, InvalidGraph, "attribute 'n_targets' is 0");
    let base = numbers(a, "base_values")?;
    ensure!(base.is_empty() || base.len() == targets, InvalidGraph, "{} base values are given for {targets} targets", base.len());
    Ok(base)
}

impl Op for TreeEnsembleRegressor {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dims = scores_dims(cx.dims(0)?, self.written.targets)?;
        cx.tensor(0, DType::F32, dims);
        Ok(())
    }
}

impl CpuKernel for TreeEnsembleRegressor {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        // Doubles are compared as doubles; for other features thresholds are rounded once.
        Ok(if cx.dtype(0)? == DType::F64 { Box::new(self.build::<f64>()?) } else { Box::new(self.build::<f32>()?) })
    }
}

impl TreeEnsembleRegressor {
    fn build<T: Number>(&self) -> Result<Regressor<T>> {
        let base = self.base.iter().map(|&b| T::near(b)).collect();
        Ok(Regressor { forest: build(&self.written)?, aggregate: self.aggregate, post: self.post, base })
    }
}

impl<T: Number> Regressor<T> {
    /// Turns the scores of one row into what the model gives.
    pub(super) fn finish(&self, scores: &Scores<T>, row: usize, out: &mut [T]) {
        let targets = self.forest.targets;
        for (t, out) in out.iter_mut().enumerate() {
            let i = row * targets + t;
            let mut score = if scores.given[i] { scores.values[i] } else { T::zero() };
            if self.aggregate == Aggregate::Average {
                score = score / T::near(self.forest.trees.len() as f64);
            }
            *out = score + self.base.get(t).copied().unwrap_or_else(T::zero);
        }
        self.post.apply(out);
    }
}

impl<T: Number> Prepared for Regressor<T> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (count, columns) = table(cx.input(0)?.shape())?;
        let targets = self.forest.targets;
        cx.allocate(0, DType::F32, [count, targets])?;
        let (x, out) = (cx.input(0)?, SharedMut::new(cx.output(0)?.slice::<f32>()?));
        let data = T::features(&x)?;
        evaluate(&self.forest, self.aggregate, Rows { data: &data, count, columns }, &|first, scores| {
            let rows = scores.values.len() / targets;
            // SAFETY: each block of rows is finished once, and has its part of the output for itself.
            let out = unsafe { out.part(first * targets..(first + rows) * targets) };
            let mut buffer = vec![T::zero(); targets];
            for (row, out) in out.chunks_exact_mut(targets).enumerate() {
                self.finish(scores, row, &mut buffer);
                out.iter_mut().zip(&buffer).for_each(|(o, x)| *o = x.f32());
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use ir::Attribute;
    use testkit::{assert_close, single};

    use super::super::testing::{Stumps, stumps};
    use super::*;

    fn run(s: Stumps, x: &[f32]) -> base::Tensor {
        s.single(&TREE_ENSEMBLE_REGRESSOR, "target").input([x.len() / 2, 2], x).tensor().unwrap()
    }

    const X: [f32; 8] = [0., 0., 0., 1., 1., 0., 1., f32::NAN];

    #[test]
    fn aggregates_and_base_values() {
        // Tree 0 gives 1 or 2 by feature 0, tree 1 gives -4 or 8 by feature 1.
        let s = || stumps(&[&[(0, 1.)], &[(0, 2.)], &[(0, -4.)], &[(0, 8.)]]).attr("n_targets", 1);
        let with = |name: &str| s().attr("aggregate_function", name).attr("base_values", Attribute::Floats(vec![0.5]));
        assert_close(&run(s(), &X), &[-3., 9., -2., 10.], 0., 0.);
        assert_close(&run(with("SUM"), &X), &[-2.5, 9.5, -1.5, 10.5], 0., 0.);
        assert_close(&run(with("AVERAGE"), &X), &[-1., 5., -0.5, 5.5], 0., 0.);
        assert_close(&run(with("MIN"), &X), &[-3.5, 1.5, -3.5, 2.5], 0., 0.);
        assert_close(&run(with("MAX"), &X), &[1.5, 8.5, 2.5, 8.5], 0., 0.);
        assert_close(&run(s().attr("post_transform", "LOGISTIC"), &X), &[-3., 9., -2., 10.], 0., 0.);
    }

    #[test]
    fn targets_that_some_leaves_give_to() {
        let s =
            stumps(&[&[(0, 1.), (2, 3.)], &[(0, 2.)], &[(0, -4.), (1, 1.), (2, 1.)], &[(0, 8.), (1, 0.), (2, 0.)]]).attr("n_targets", 3);
        assert_close(&run(s, &X), &[-3., 1., 4., 9., 0., 3., -2., 1., 1., 10., 0., 0.], 0., 0.);
    }

    #[test]
    fn missing_values_take_their_track() {
        let s = stumps(&[&[(0, 1.)], &[(0, 2.)], &[(0, -4.)], &[(0, 8.)]]).attr("n_targets", 1);
        let s = s.attr("nodes_missing_value_tracks_true", Attribute::Ints(vec![0, 0, 0, 1, 0, 0]));
        assert_close(&run(s, &[f32::NAN, f32::NAN]), &[-2.], 0., 0.);
    }

    #[test]
    fn every_number_of_rows_and_trees_and_every_type() {
        for trees in [1usize, 2, 7, 8, 9, 600] {
            let s = || Stumps::many(trees).attr("n_targets", 1);
            for rows in [0usize, 1, 3, 7, 8, 9, 65, 130] {
                let x: Vec<i64> = (0..rows * 2).map(|i| (i * 7 % 5) as i64 - 2).collect();
                let want: Vec<f64> = x.chunks_exact(2).map(|row| s().plain(&[row[0] as f64, row[1] as f64])).collect();
                let f32s: Vec<f32> = x.iter().map(|&v| v as f32).collect();
                let f64s: Vec<f64> = x.iter().map(|&v| v as f64).collect();
                let op = || s().single(&TREE_ENSEMBLE_REGRESSOR, "target");
                assert_close(&op().input([rows, 2], &f32s).tensor().unwrap(), &want, 1e-5, 1e-4);
                assert_close(&op().input([rows, 2], &f64s).tensor().unwrap(), &want, 1e-6, 1e-6);
                assert_close(&op().input([rows, 2], &x).tensor().unwrap(), &want, 1e-5, 1e-4);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let s = || stumps(&[&[(0, 1.)], &[(0, 2.)], &[(0, -4.)], &[(0, 8.)]]);
        let fails =
            |s: Stumps| s.single(&TREE_ENSEMBLE_REGRESSOR, "target").input([1, 2], &[0f32; 2]).tensor().unwrap_err().detail().to_owned();
        assert!(fails(s()).contains("'n_targets' is missing"));
        assert!(fails(s().attr("n_targets", 1).attr("base_values", Attribute::Floats(vec![1., 2.]))).contains("2 base values"));
        assert!(fails(s().attr("n_targets", 1).attr("nodes_nodeids", Attribute::Ints(vec![0; 6]))).contains("is already there"));
        assert!(fails(s().attr("n_targets", 1).attr("nodes_truenodeids", Attribute::Ints(vec![9; 6]))).contains("Unable to find node 9"));
        assert!(fails(s().attr("n_targets", 1).attr("nodes_truenodeids", Attribute::Ints(vec![0; 6]))).contains("leads back to itself"));
        let few = s().attr("n_targets", 1).single(&TREE_ENSEMBLE_REGRESSOR, "target").input([1, 1], &[0f32]).tensor().unwrap_err();
        assert!(few.detail().contains("ask for 2 features"), "{few}");
        assert!(single(&TREE_ENSEMBLE_REGRESSOR, 1).attr("n_targets", 1).input([1], &[0f32]).tensor().is_err());
    }
}
