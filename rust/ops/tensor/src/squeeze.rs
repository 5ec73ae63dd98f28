//! Squeeze: drops axes of size 1.

use base::{Result, Shape, axis_index, ensure};
use ir::{Dim, Dims};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::ints::Ints;
use crate::movement;
use crate::relabel::relabel;

const WITH_ATTRIBUTE: &str = "data:T -> squeezed:T";
const SIGNATURE: &str = "data:T, axes:int64? -> squeezed:T";

/// Squeeze of `ai.onnx`.
pub static SQUEEZE: OpDef = OpDef {
    name: "Squeeze",
    versions: &[
        since(1, WITH_ATTRIBUTE, &[("T", ANY_V1)]),
        since(11, WITH_ATTRIBUTE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| Ok(Box::new(Squeeze { axes: if a.since() < 13 { Ints::attribute(a, "axes")? } else { Ints::input(a, 1) } })),
    kernels: Kernels::NONE.stateless::<Squeeze>().cuda::<Squeeze>(),
    alias: Alias::Same,
    host: Mask::of(0b10, 0),
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Squeeze {
    /// The axes to drop; none given, or an empty list, means all of size 1.
    axes: Ints,
}

impl Op for Squeeze {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = match (cx.dims(0)?, self.axes.is_absent(), self.axes.known(cx)) {
            (Some(dims), true, _) => every_one(dims),
            (Some(dims), false, Some(axes)) if axes.is_empty() => every_one(dims),
            (Some(dims), false, Some(axes)) => Some(without(dims, &axes)?),
            (Some(dims), false, None) => {
                let rank = self.axes.count(cx).filter(|&n| n > 0).and_then(|n| dims.len().checked_sub(n));
                rank.map(|rank| cx.fresh_dims(rank))
            }
            _ => None,
        };
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims, cx.input(0)?.value.clone()),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

/// The sizes that are not 1; `None` while one of them might be.
fn every_one(dims: &[Dim]) -> Option<Dims> {
    let certain = dims.iter().all(|d| d.known().is_some() || d.range().0 > 1);
    certain.then(|| dims.iter().filter(|d| !d.is(1)).cloned().collect())
}

fn without(dims: &[Dim], axes: &[i64]) -> Result<Dims> {
    let mut kept: Vec<Option<&Dim>> = dims.iter().map(Some).collect();
    for &a in axes {
        let axis = facts::axis(a, dims.len())?;
        ensure!(
            dims[axis].known().is_none_or(|d| d == 1),
            Fail,
            "Dimension of input {axis} must be 1 instead of {}. shape={dims:?}",
            dims[axis]
        );
        kept[axis] = None;
    }
    Ok(kept.into_iter().flatten().cloned().collect())
}

impl Stateless for Squeeze {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let dims = cx.input(0)?.shape();
        let axes = self.axes.run(cx)?.unwrap_or_default();
        let mut dropped: smallvec::SmallVec<[bool; 8]> = dims.iter().map(|&d| axes.is_empty() && d == 1).collect();
        for &a in &axes {
            let axis = axis_index(a, dims.len())?;
            let shape = Shape::from(dims);
            ensure!(dims[axis] == 1, Fail, "Dimension of input {axis} must be 1 instead of {}. shape={shape}", dims[axis]);
            dropped[axis] = true;
        }
        let shape: Shape = dims.iter().zip(dropped).filter(|(_, dropped)| !dropped).map(|(&d, _)| d).collect();
        relabel(cx, shape)
    }
}

impl CudaKernel for Squeeze {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        cx.relabel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn named_axes_and_all() {
        let case = || single(&SQUEEZE, 13).input([1, 3, 1], &[1u16, 2, 3]);
        assert_eq!(&**case().input([1], &[-1i64]).tensor().unwrap().shape(), [1, 3]);
        assert_eq!(&**case().tensor().unwrap().shape(), [3]);
        assert_eq!(&**case().input([0], &[0i64; 0]).tensor().unwrap().shape(), [3]);
        let e = case().input([1], &[1i64]).tensor().unwrap_err();
        assert!(e.message().contains("must be 1 instead of 3"), "{e}");
        assert!(case().input([1], &[3i64]).tensor().is_err());
    }

    #[test]
    fn opset_1_has_an_attribute() {
        let t = single(&SQUEEZE, 1).attr("axes", vec![0]).input([1, 1], &[true]).tensor().unwrap();
        assert_eq!(&**t.shape(), [1]);
    }
}
