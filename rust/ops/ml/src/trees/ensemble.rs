//! TreeEnsemble: trees in the short form of version 5, where branches are places in arrays.

use base::threads::SharedMut;
use base::{DType, Result, bail, ensure};
use half::f16;
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, TypeSet, since};

use super::attributes::wide;
use super::build::{Branch, Split, Test, Written, build};
use super::evaluate::{Aggregate, Rows, evaluate};
use super::number::Number;
use super::regressor::Regressor;
use crate::features::{ML, count, scores_dims, table};
use crate::post::PostTransform;

/// TreeEnsemble of `ai.onnx.ml`.
pub static TREE_ENSEMBLE: OpDef = OpDef {
    name: "TreeEnsemble",
    versions: &[since(5, "X:T -> Y:T", &[("T", TypeSet::tensors(&[DType::F32, DType::F64, DType::F16]))])],
    load: |a| {
        let post = PostTransform::from_number(a.int("post_transform", 0)?)?;
        let aggregate = Aggregate::of(count("aggregate_function", a.int("aggregate_function", 1)?)?)?;
        Ok(Box::new(TreeEnsemble { written: written(a)?, aggregate, post }))
    },
    kernels: Kernels::NONE.cpu::<TreeEnsemble>(),
    ..ML
};

#[derive(Clone, Debug)]
struct TreeEnsemble {
    written: Written,
    aggregate: Aggregate,
    post: PostTransform,
}

fn ints<'a>(a: &Attrs<'a>, name: &str, len: usize) -> Result<&'a [i64]> {
    let list = a.opt_ints(name)?.unwrap_or_default();
    ensure!(list.len() == len, InvalidGraph, "attribute '{name}' has {} elements, not {len}", list.len());
    Ok(list)
}

fn place(name: &str, value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| base::error!(InvalidGraph, "attribute '{name}' holds {value}"))
}

fn numbers(a: &Attrs<'_>, name: &str) -> Result<Vec<f64>> {
    a.opt_tensor(name)?.map_or_else(|| Ok(Vec::new()), |t| wide(name, t))
}

fn written(a: &Attrs<'_>) -> Result<Written> {
    a.ignore("nodes_hitrates");
    let targets = count("n_targets", a.required_int("n_targets")?)?;
    let roots = a.opt_ints("tree_roots")?.unwrap_or_default();
    let roots = roots.iter().map(|&r| place("tree_roots", r).map(Branch::Split)).collect::<Result<Vec<_>>>()?;
    ensure!(targets > 0 && !roots.is_empty(), InvalidGraph, "a forest of {} trees with {targets} targets", roots.len());
    let weights = numbers(a, "leaf_weights")?;
    let targets_of = ints(a, "leaf_targetids", weights.len())?.iter().map(|&t| place("leaf_targetids", t)).collect::<Result<Vec<_>>>()?;
    let leaves = targets_of.into_iter().zip(weights).map(|w| vec![w]).collect();
    Ok(Written { splits: splits(a)?, leaves, roots, targets })
}

fn splits(a: &Attrs<'_>) -> Result<Vec<Split>> {
    let modes = match a.opt_tensor("nodes_modes")? {
        Some(t) if t.dtype() == DType::U8 => t.slice::<u8>()?,
        _ => bail!(InvalidGraph, "attribute 'nodes_modes' must be a tensor of uint8"),
    };
    let len = modes.len();
    let thresholds = numbers(a, "nodes_splits")?;
    ensure!(thresholds.len() == len, InvalidGraph, "attribute 'nodes_splits' has {} elements, not {len}", thresholds.len());
    let members = numbers(a, "membership_values")?;
    // Sets of members come one after another, each up to a NaN.
    let mut sets = members.split(|m| m.is_nan());
    let missing = a.opt_ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    ensure!(
        missing.is_empty() || missing.len() == len,
        InvalidGraph,
        "attribute 'nodes_missing_value_tracks_true' has {} elements, not {len}",
        missing.len()
    );
    let features = ints(a, "nodes_featureids", len)?;
    let yes = (ints(a, "nodes_truenodeids", len)?, ints(a, "nodes_trueleafs", len)?);
    let no = (ints(a, "nodes_falsenodeids", len)?, ints(a, "nodes_falseleafs", len)?);
    let branch =
        |name, (ids, leaf): (&[i64], &[i64]), i: usize| place(name, ids[i]).map(if leaf[i] != 0 { Branch::Leaf } else { Branch::Split });
    let split = |(i, &mode): (usize, &u8)| {
        let t = thresholds[i];
        let test = match mode {
            0 => Test::AtMost(t),
            1 => Test::Less(t),
            2 => Test::AtLeast(t),
            3 => Test::Greater(t),
            4 => Test::Equal(t),
            5 => Test::NotEqual(t),
            6 => match sets.next() {
                Some(set) => Test::Member(set.to_vec()),
                None => bail!(InvalidGraph, "attribute 'membership_values' has no set for node {i}"),
            },
            other => bail!(InvalidGraph, "attribute 'nodes_modes' holds {other}"),
        };
        Ok(Split {
            feature: place("nodes_featureids", features[i])?,
            test,
            missing: missing.get(i).is_some_and(|&m| m != 0),
            yes: branch("nodes_truenodeids", yes, i)?,
            no: branch("nodes_falsenodeids", no, i)?,
        })
    };
    modes.iter().enumerate().map(split).collect()
}

impl Op for TreeEnsemble {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (dtype, dims) = (cx.dtype(0)?, scores_dims(cx.dims(0)?, self.written.targets)?);
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl CpuKernel for TreeEnsemble {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(match cx.dtype(0)? {
            DType::F64 => Box::new(Kernel::<f64, f64> { trees: self.build()?, round: |x| x }),
            DType::F32 => Box::new(Kernel::<f32, f32> { trees: self.build()?, round: |x| x }),
            _ => Box::new(Kernel::<f32, f16> { trees: self.build()?, round: f16::from_f32 }),
        })
    }
}

impl TreeEnsemble {
    fn build<T: Number>(&self) -> Result<Regressor<T>> {
        Ok(Regressor { forest: build(&self.written)?, aggregate: self.aggregate, post: self.post, base: Vec::new() })
    }
}

/// Trees that compute in `T` and give `O`.
struct Kernel<T, O> {
    trees: Regressor<T>,
    round: fn(T) -> O,
}

impl<T: Number, O: base::Element> Prepared for Kernel<T, O> {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (count, columns) = table(cx.input(0)?.shape())?;
        let (targets, dtype) = (self.trees.forest.targets, cx.input(0)?.dtype());
        cx.allocate(0, dtype, [count, targets])?;
        let (x, out) = (cx.input(0)?, SharedMut::new(cx.output(0)?.slice::<O>()?));
        let data = T::features(&x)?;
        evaluate(&self.trees.forest, self.trees.aggregate, Rows { data: &data, count, columns }, &|first, scores| {
            let rows = scores.values.len() / targets;
            // SAFETY: each block of rows is finished once, and has its part of the output for itself.
            let out = unsafe { out.part(first * targets..(first + rows) * targets) };
            let mut buffer = vec![T::zero(); targets];
            for (row, out) in out.chunks_exact_mut(targets).enumerate() {
                self.trees.finish(scores, row, &mut buffer);
                out.iter_mut().zip(&buffer).for_each(|(o, &x)| *o = (self.round)(x));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use base::{Element, Tensor};
    use ir::Attribute;
    use testkit::{Single, assert_close, single};

    use super::*;

    fn floats<T: Element>(data: &[T]) -> Attribute {
        Attribute::Tensor(Tensor::from_slice([data.len()], data).unwrap())
    }

    /// Node 0 asks whether feature 0 is a member of {1, 3}; node 1, whether feature 1 is less than 2.
    fn forest<T: Element>(of: fn(f32) -> T) -> Single {
        let ints = |v: &[i64]| Attribute::Ints(v.to_vec());
        let list = |v: &[f32]| floats(&v.iter().map(|&x| of(x)).collect::<Vec<_>>());
        single(&TREE_ENSEMBLE, 5)
            .attr("n_targets", 2)
            .attr("tree_roots", ints(&[0]))
            .attr("nodes_modes", floats(&[6u8, 1]))
            .attr("nodes_splits", list(&[0., 2.]))
            .attr("membership_values", list(&[1., 3., f32::NAN]))
            .attr("nodes_featureids", ints(&[0, 1]))
            .attr("nodes_truenodeids", ints(&[1, 0]))
            .attr("nodes_trueleafs", ints(&[0, 1]))
            .attr("nodes_falsenodeids", ints(&[2, 1]))
            .attr("nodes_falseleafs", ints(&[1, 1]))
            .attr("leaf_targetids", ints(&[0, 1, 0]))
            .attr("leaf_weights", list(&[10., 20., 30.]))
    }

    #[test]
    fn members_in_every_type() {
        let x = [1f32, 1., 3., 2., 2., 0., f32::NAN, 0.];
        let want = [10., 0., 0., 20., 30., 0., 30., 0.];
        assert_close(&forest(|x| x).input([4, 2], &x).tensor().unwrap(), &want, 0., 0.);
        assert_close(&forest(f64::from).input([4, 2], &x.map(f64::from)).tensor().unwrap(), &want, 0., 0.);
        let halves = forest(f16::from_f32).input([4, 2], &x.map(f16::from_f32)).tensor().unwrap();
        assert_eq!(halves.dtype(), DType::F16);
        assert_close(&halves, &want, 0., 0.);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.input([1, 2], &[0f32; 2]).tensor().unwrap_err().detail().to_owned();
        let s = || forest(|x| x);
        assert!(fails(s().attr("nodes_modes", floats(&[9u8, 1]))).contains("holds 9"));
        assert!(fails(s().attr("nodes_modes", floats(&[6u8, 6, 6]))).contains("'nodes_splits' has 2 elements, not 3"));
        assert!(fails(s().attr("nodes_truenodeids", Attribute::Ints(vec![0, 0]))).contains("leads back to itself"));
        assert!(fails(s().attr("tree_roots", Attribute::Ints(vec![5]))).contains("no root"));
        assert!(fails(s().attr("post_transform", 9)).contains("'post_transform' is 9"));
        assert!(fails(s().attr("leaf_targetids", Attribute::Ints(vec![0, 1, 7]))).contains("target 7"));
        assert!(fails(s().attr("aggregate_function", 4)).contains("'aggregate_function' is 4"));
    }
}
