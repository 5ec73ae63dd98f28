//! Unsqueeze: inserts axes of size 1, at their places in the output.

use base::{Result, Shape, axis_index, ensure};
use ir::{Dim, Dims};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};
use smallvec::SmallVec;

use crate::facts;
use crate::ints::Ints;
use crate::movement;
use crate::relabel::relabel;

const WITH_ATTRIBUTE: &str = "data:T -> expanded:T";
const SIGNATURE: &str = "data:T, axes:int64 -> expanded:T";

/// Unsqueeze of `ai.onnx`.
pub static UNSQUEEZE: OpDef = OpDef {
    name: "Unsqueeze",
    versions: &[
        since(1, WITH_ATTRIBUTE, &[("T", ANY_V1)]),
        since(11, WITH_ATTRIBUTE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| {
        if a.since() >= 13 {
            return Ok(Box::new(Unsqueeze { axes: Ints::Input(1) }));
        }
        let axes = Ints::attribute(a, "axes")?;
        ensure!(!axes.is_absent(), InvalidGraph, "Required attribute 'axes' is missing");
        Ok(Box::new(Unsqueeze { axes }))
    },
    kernels: Kernels::NONE.stateless::<Unsqueeze>().cuda::<Unsqueeze>(),
    alias: Alias::Same,
    host: Mask::of(0b10, 0),
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Unsqueeze {
    axes: Ints,
}

/// Which axes of the output are new.
fn new_axes(axes: &[i64], rank: usize) -> Result<SmallVec<[bool; 8]>> {
    let rank = rank + axes.len();
    let mut new: SmallVec<[bool; 8]> = SmallVec::from_elem(false, rank);
    for &a in axes {
        let axis = axis_index(a, rank)?;
        ensure!(!std::mem::replace(&mut new[axis], true), InvalidArgument, "'axes' has a duplicate axis {a}");
    }
    Ok(new)
}

impl Op for Unsqueeze {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (cx.dims(0)?, self.axes.known(cx)) {
            (Some(dims), Some(axes)) => {
                let new = new_axes(&axes, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
                let mut old = dims.iter();
                Some(new.iter().filter_map(|&new| if new { Some(Dim::Known(1)) } else { old.next().cloned() }).collect())
            }
            (Some(dims), None) => self.axes.count(cx).map(|n| cx.ranked(dims.len() + n)).transpose()?,
            _ => None,
        };
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims, cx.input(0)?.value.clone()),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

impl Stateless for Unsqueeze {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let dims = cx.input(0)?.shape();
        let axes = self.axes.run(cx)?.unwrap_or_default();
        let new = new_axes(&axes, dims.len())?;
        let mut old = dims.iter();
        let shape: Shape = new.iter().filter_map(|&new| if new { Some(1) } else { old.next().copied() }).collect();
        relabel(cx, shape)
    }
}

impl CudaKernel for Unsqueeze {
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
    fn places_are_those_of_the_output() {
        let case = || single(&UNSQUEEZE, 13).input([2, 3], &[0f32; 6]);
        assert_eq!(&**case().input([2], &[-1i64, 0]).tensor().unwrap().shape(), [1, 2, 3, 1]);
        assert_eq!(&**case().input([], &[1i64]).tensor().unwrap().shape(), [2, 1, 3]);
        assert!(case().input([2], &[1i64, 1]).tensor().is_err());
        assert!(case().input([1], &[3i64]).tensor().is_err());
        let t = single(&UNSQUEEZE, 11).attr("axes", vec![0]).input([], &[7i64]).tensor().unwrap();
        assert_eq!(&**t.shape(), [1]);
    }
}
