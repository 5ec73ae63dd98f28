//! NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: how unlikely the right classes are held to be.

use base::threads::paced;
use base::{DType, Result, Shape, TensorRef, bail, ensure};
use ir::{Dim, Dims};
use op::types::{FLOATS, FLOATS_V1, INDEX};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::floats::{Floats, FloatsMut};

const LIKELIHOOD: &str = "input:T, target:Tind, weight:T? -> loss:T";
const ENTROPY: &str = "scores:T, labels:Tind, weights:T? -> output:T, log_prob:T?";

/// NegativeLogLikelihoodLoss of `ai.onnx`.
pub static NEGATIVE_LOG_LIKELIHOOD_LOSS: OpDef = OpDef {
    name: "NegativeLogLikelihoodLoss",
    versions: &[
        since(12, LIKELIHOOD, &[("T", FLOATS_V1), ("Tind", INDEX)]),
        since(13, LIKELIHOOD, &[("T", FLOATS_V1), ("Tind", INDEX)]),
        since(22, LIKELIHOOD, &[("T", FLOATS), ("Tind", INDEX)]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Loss>(),
    ..OpDef::ONNX
};

/// SoftmaxCrossEntropyLoss of `ai.onnx`.
pub static SOFTMAX_CROSS_ENTROPY_LOSS: OpDef = OpDef {
    name: "SoftmaxCrossEntropyLoss",
    versions: &[since(12, ENTROPY, &[("T", FLOATS_V1), ("Tind", INDEX)]), since(13, ENTROPY, &[("T", FLOATS), ("Tind", INDEX)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Loss>(),
    ..OpDef::ONNX
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reduction {
    None,
    Mean,
    Sum,
}

#[derive(Clone, Debug)]
struct Loss {
    reduction: Reduction,
    ignored: Option<i64>,
    /// Whether the input are scores, not logarithms of probabilities.
    scores: bool,
}

fn load(a: &Attrs<'_>) -> Result<Loss> {
    let reduction = match a.string("reduction", "mean")? {
        "none" => Reduction::None,
        "mean" => Reduction::Mean,
        "sum" => Reduction::Sum,
        other => bail!(InvalidGraph, "attribute 'reduction' is '{other}'"),
    };
    Ok(Loss { reduction, ignored: a.opt_int("ignore_index")?, scores: a.op() == "SoftmaxCrossEntropyLoss" })
}

impl Op for Loss {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (x, target) = (cx.dims(0)?, cx.dims(1)?);
        if let (Some(x), Some(target)) = (x, target) {
            let known = |(a, b): (&Dim, &Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
            let fits = x.len() >= 2 && target.len() + 1 == x.len() && known((&x[0], &target[0]));
            ensure!(fits && x[2..].iter().zip(&target[1..]).all(known), InvalidGraph, "targets of shape {target:?} for an input of {x:?}");
        }
        let dims: Option<Dims> = match self.reduction {
            Reduction::None => target.map(Into::into),
            _ => Some(Dims::new()),
        };
        cx.tensor(0, dtype, dims);
        cx.tensor(1, dtype, x.map(Into::into));
        Ok(())
    }
}

impl CpuKernel for Loss {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(Kernel(self.clone())))
    }
}

struct Kernel(Loss);

/// Class `i` of the targets.
fn class(t: TensorRef<'_>, i: usize) -> Result<i64> {
    match t.dtype() {
        DType::I32 => Ok(t.slice::<i32>()?[i].into()),
        _ => Ok(t.slice::<i64>()?[i]),
    }
}

impl Kernel {
    /// The logarithms of the probabilities of one position, into `row`.
    fn logarithms(&self, x: Floats<'_>, [image, classes, plane, at]: [usize; 4], row: &mut [f64]) {
        for (c, v) in paced(row.iter_mut().enumerate(), 4) {
            *v = x.get((image * classes + c) * plane + at);
        }
        if self.0.scores {
            let max = paced(row.iter(), 1).fold(f64::NEG_INFINITY, |a, b| a.max(*b));
            let total = paced(row.iter(), 8).map(|v| (v - max).exp()).sum::<f64>().ln();
            paced(row.iter_mut(), 1).for_each(|v| *v = *v - max - total);
        }
    }

    fn compute(&self, cx: &Run<'_>, shape: &[usize]) -> Result<()> {
        let (x, target) = (Floats::of(cx.input(0)?)?, cx.input(1)?);
        let weights = cx.optional(2)?.map(Floats::of).transpose()?;
        let (images, classes, plane): (usize, usize, usize) = (shape[0], shape[1], shape[2..].iter().product());
        ensure!(target.len() == images * plane, InvalidArgument, "{} targets for an input of {}", target.len(), Shape::from(shape));
        ensure!(
            weights.is_none_or(|w| w.len() == classes),
            InvalidArgument,
            "{:?} weights for {classes} classes",
            weights.map(|w| w.len())
        );
        let loss = FloatsMut::of(cx.output(0)?)?;
        let logarithms = if cx.has_output(1) { Some(FloatsMut::of(cx.output(1)?)?) } else { None };
        let room = cx.scratch::<f64>()?;
        ensure!(room.len() >= classes, Fail, "no room for {classes} classes");
        let row = &mut room[..classes];
        let (mut sum, mut total) = (0.0, 0.0);
        let positions = (0..images).flat_map(|n| (0..plane).map(move |p| (n, p)));
        for (i, (image, at)) in paced(positions.enumerate(), 16 * classes.min(1 << 12)) {
            let class = class(target, i)?;
            let ignored = self.0.ignored == Some(class);
            if !ignored || logarithms.is_some() {
                self.logarithms(x, [image, classes, plane, at], row);
            }
            if let Some(y) = &logarithms {
                // SAFETY: one thread writes the outputs.
                paced(row.iter().enumerate(), 4).for_each(|(c, v)| unsafe { y.write((image * classes + c) * plane + at, &[*v]) });
            }
            let mut one = 0.0;
            if !ignored {
                let Some(c) = usize::try_from(class).ok().filter(|c| *c < classes) else {
                    bail!(InvalidArgument, "target {i} is class {class} of {classes}");
                };
                let weight = weights.map_or(1.0, |w| w.get::<f64>(c));
                one = -row[c] * weight;
                sum += one;
                total += weight;
            }
            if self.0.reduction == Reduction::None {
                // SAFETY: as above.
                unsafe { loss.write(i, &[one]) }
            }
        }
        match self.0.reduction {
            Reduction::None => {}
            // SAFETY: as above.
            Reduction::Sum => unsafe { loss.write(0, &[sum]) },
            // SAFETY: as above.
            Reduction::Mean => unsafe { loss.write(0, &[sum / total]) },
        }
        Ok(())
    }
}

impl Prepared for Kernel {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        sizes.input(0).map_or(0, |s| s.get(1).copied().unwrap_or(0) * size_of::<f64>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        ensure!(shape.len() >= 2, InvalidArgument, "an input of images and classes is needed, not shape {shape}");
        let target = Shape::from(cx.input(1)?.shape());
        let loss = if self.0.reduction == Reduction::None { target } else { Shape::scalar() };
        cx.allocate(0, dtype, loss)?;
        cx.allocate(1, dtype, shape.clone())?;
        self.compute(cx, &shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{assert_close, single};

    #[test]
    fn every_reduction() {
        let x = [1f32, 2.0, 2.0, 2.0, 3.0, 2.0, 0.0, 1.0, 2.0, 2.0, 1.0, 2.0];
        let op = |reduction: &str| {
            let op = single(&NEGATIVE_LOG_LIKELIHOOD_LOSS, 13).attr("reduction", reduction).input([2, 3, 2], &x);
            op.input([2, 2], &[2i64, 1, 0, 2]).input([3], &[0.2f32, 0.3, 0.1]).tensor().unwrap()
        };
        assert_close(&op("none"), &[-0.3, -0.6, -0.0, -0.2], 1e-6, 1e-7);
        assert_close(&op("sum"), &[-1.1], 1e-6, 0.0);
        assert_close(&op("mean"), &[-1.1 / 0.7], 1e-6, 0.0);
    }

    #[test]
    fn some_targets_do_not_count() {
        let op = single(&SOFTMAX_CROSS_ENTROPY_LOSS, 13).attr("ignore_index", -1i64).input([2, 2], &[0f32, 0.0, 9.0, 1.0]);
        let out = op.input([2], &[1i32, -1]).run(2).unwrap();
        assert_close(out[0].tensor().unwrap(), &[2f64.ln()], 1e-6, 0.0);
        assert_eq!(&**out[1].tensor().unwrap().shape(), [2, 2]);
    }

    #[test]
    fn a_class_that_is_none_is_refused() {
        let op = single(&NEGATIVE_LOG_LIKELIHOOD_LOSS, 13).input([1, 2], &[0f32, 0.0]).input([1], &[2i64]);
        assert!(op.tensor().unwrap_err().detail().contains("class 2 of 2"));
    }
}
