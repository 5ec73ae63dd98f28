//! Expand: broadcasts to a shape, both ways: an axis of size 1 in the shape keeps the size of the input.

use base::{ErrorKind, Result, Shape, broadcast};
use ir::Dims;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, broadcast_dims, since};

use crate::facts::{self, known, pick};
use crate::movement::{self, Region, write};

const SIGNATURE: &str = "input:T, shape:int64 -> output:T";

/// Expand of `ai.onnx`.
pub static EXPAND: OpDef = OpDef {
    name: "Expand",
    versions: &[since(8, SIGNATURE, &[("T", ANY_V1)]), since(13, SIGNATURE, &[("T", ANY_V13)])],
    load: |_| Ok(Box::new(Expand)),
    kernels: Kernels::NONE.stateless::<Expand>().cuda::<Expand>(),
    strided: Mask::of(1, 1),
    host: Mask::of(0b10, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Expand;

impl Op for Expand {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (data, shape) = (cx.dims(0)?, cx.ints(1));
        let rank = cx.dims(1)?.and_then(|d| d.first()?.size());
        let dims: Option<Dims> = match (data, shape, rank) {
            (Some(data), Some(shape), _) => broadcast_dims(&[Some(data), Some(shape)])?,
            (Some(data), None, Some(rank)) => Some(cx.ranked(rank.max(data.len()))?),
            _ => None,
        };
        let region = match (facts::value(cx, 0), dims.as_deref().and_then(known)) {
            (Some((elements, from)), Some(to)) => pick(elements, &Region::dense(&from).broadcast(&to)?),
            _ => None,
        };
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims, region),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

impl Stateless for Expand {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let data = cx.input(0)?;
        let wanted = cx.input(1)?.ints()?;
        let sizes = wanted.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Shape>>();
        let sizes = sizes.ok_or_else(|| base::error!(InvalidArgument, "the shape {wanted:?} has a negative size"))?;
        let shape = broadcast(data.shape(), &sizes).map_err(|e| e.with_kind(ErrorKind::InvalidArgument))?;
        let dtype = data.dtype();
        write(cx, 0, dtype, shape, |cx, out| {
            let (data, whole) = (cx.input(0)?, out.whole());
            out.copy(&data, &Region::of(&data)?.broadcast(&whole.dims())?, &whole)
        })
    }
}

impl CudaKernel for Expand {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let data = cx.input(0)?;
        let output = cx.output(0)?;
        let whole = Region::of_output(&output)?;
        movement::cuda::copy(cx, &data, &Region::of(&data)?.broadcast(&whole.dims())?, &output, &whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn both_ways() {
        let case = |shape: &[i64]| single(&EXPAND, 13).input([2, 1], &[1u32, 2]).input([shape.len()], shape).tensor();
        let t = case(&[2, 1, 3]).unwrap();
        assert_eq!((&**t.shape(), t.slice::<u32>().unwrap()), (&[2, 2, 3][..], &[1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2][..]));
        assert_eq!(&**case(&[1]).unwrap().shape(), [2, 1]);
        assert_eq!(&**case(&[2, 0]).unwrap().shape(), [2, 0]);
        assert!(case(&[3, 1]).is_err() && case(&[-1, 1]).is_err());
        let t = single(&EXPAND, 8).strings([], &["s"]).input([1], &[2i64]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "ss");
    }
}
