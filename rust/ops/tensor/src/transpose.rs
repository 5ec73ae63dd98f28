//! Transpose: the axes in another order.

use base::{Result, Shape, bail};
use ir::Dims;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Part, Run, Sizes, Stateless, since};
use smallvec::SmallVec;

use crate::facts::{self, pick};
use crate::movement::{self, Region, write};
use crate::part::part_of;

const SIGNATURE: &str = "data:T -> transposed:T";

/// Transpose of `ai.onnx`.
pub static TRANSPOSE: OpDef = OpDef {
    name: "Transpose",
    versions: &[
        since(1, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| Ok(Box::new(Transpose { order: a.opt_ints("perm")?.map(<[i64]>::to_vec) })),
    kernels: Kernels::NONE.stateless::<Transpose>().cuda::<Transpose>(),
    alias: Alias::Parts,
    strided: Mask::ALL,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Transpose {
    /// The axes of the input in the order of the output; reversed if not given.
    order: Option<Vec<i64>>,
}

impl Transpose {
    /// Axis `i` of the output is axis `order[i]` of the input. Not yet known to be a permutation.
    fn order(&self, rank: usize) -> Result<SmallVec<[usize; 8]>> {
        let Some(order) = &self.order else { return Ok((0..rank).rev().collect()) };
        let axes = order.iter().map(|&i| usize::try_from(i).ok().filter(|&i| i < rank));
        match axes.collect::<Option<SmallVec<[usize; 8]>>>() {
            Some(axes) if axes.len() == rank => Ok(axes),
            _ => bail!(InvalidGraph, "perm: {order:?} does not name each of the {rank} axes of the input"),
        }
    }

    fn region(&self, input: Region) -> Result<Region> {
        let order = self.order(input.axes().len())?;
        input.permute(&order)
    }
}

impl Op for Transpose {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            let dims = self.order.as_ref().map(|order| cx.fresh_dims(order.len()));
            cx.tensor(0, dtype, dims);
            return Ok(());
        };
        let order = self.order(dims.len())?;
        // Whether it is a permutation does not depend on the sizes.
        Region::dense(&vec![1; dims.len()]).permute(&order).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let out: Dims = order.iter().map(|&i| dims[i].clone()).collect();
        let value = match facts::value(cx, 0) {
            Some((elements, shape)) => pick(elements, &self.region(Region::dense(&shape))?),
            None => None,
        };
        facts::state(cx, 0, dtype, out, value);
        Ok(())
    }

    fn part(&self, sizes: &Sizes<'_>, _output: usize) -> Result<Part> {
        part_of(&self.region(Region::dense(sizes.input(0)?))?)
    }
}

impl Stateless for Transpose {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, region) = {
            let data = cx.input(0)?;
            (data.dtype(), self.region(Region::of(&data)?)?)
        };
        let shape: Shape = region.dims();
        write(cx, 0, dtype, shape, |cx, out| out.copy(&cx.input(0)?, &region, &out.whole()))
    }
}

impl CudaKernel for Transpose {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let data = cx.input(0)?;
        let region = self.region(Region::of(&data)?)?;
        let output = cx.output(0)?;
        movement::cuda::copy(cx, &data, &region, &output, &Region::of_output(&output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{DType, Tensor};
    use testkit::single;

    #[test]
    fn reversed_and_ordered() {
        let case = || single(&TRANSPOSE, 13).input([2, 3, 1], &[1f32, 2., 3., 4., 5., 6.]);
        let t = case().tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[1, 3, 2][..], &[1f32, 4., 2., 5., 3., 6.][..]));
        let t = case().attr("perm", vec![1, 0, 2]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<f32>().unwrap()), (&[3, 2, 1][..], &[1f32, 4., 2., 5., 3., 6.][..]));
        for perm in [vec![0, 1], vec![0, 1, 1], vec![0, 1, 3], vec![0, 1, -1]] {
            assert!(case().attr("perm", perm).tensor().is_err());
        }
    }

    #[test]
    fn strings_packed_and_empty() {
        let t = single(&TRANSPOSE, 1).strings([2, 2], &["a", "b", "c", "d"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "acbd");
        let packed = Tensor::from_bytes(DType::U4, [2, 3], &[0x21, 0x43, 0x65]).unwrap();
        let t = single(&TRANSPOSE, 21).value(packed).tensor().unwrap();
        assert_eq!(t.as_ref().bytes().unwrap(), [0x41, 0x52, 0x63]);
        assert_eq!(&**single(&TRANSPOSE, 13).input([0, 3], &[0u8; 0]).tensor().unwrap().shape(), [3, 0]);
        assert_eq!(single(&TRANSPOSE, 13).input([], &[5i64]).tensor().unwrap().slice::<i64>().unwrap(), [5]);
    }

    #[test]
    fn a_part_has_the_strides() {
        let op = Transpose { order: Some(vec![2, 0, 1]) };
        let sizes = Sizes { inputs: &[Some(&[2, 3, 4])], outputs: &[], ints: &[] };
        assert_eq!(op.part(&sizes, 0).unwrap(), Part { offset: 0, strides: [1, 12, 4].into_iter().collect() });
    }
}
