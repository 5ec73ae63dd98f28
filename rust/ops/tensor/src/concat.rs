//! Concat: tensors one after another along `axis`.

use std::sync::Arc;

use base::{DType, Result, Shape, axis_index, ensure};
use ir::{Dim, Dims, SMALL};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, FLOATS_V1};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Part, Run, Sizes, Stateless, since};

use crate::facts;
use crate::movement::{self, Region, write};
use crate::part::part_of;

const SIGNATURE: &str = "inputs:T* -> concat_result:T";

/// Concat of `ai.onnx`.
pub static CONCAT: OpDef = OpDef {
    name: "Concat",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(4, SIGNATURE, &[("T", ANY_V1)]),
        since(11, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
    ],
    load: |a| {
        ensure!(a.input_count() > 0, InvalidGraph, "Concat needs at least one input");
        let axis = if a.since() < 4 { a.int("axis", 1)? } else { a.required_int("axis")? };
        Ok(Box::new(Concat { axis }))
    },
    kernels: Kernels::NONE.stateless::<Concat>().cuda::<Concat>(),
    alias: Alias::Whole,
    strided: Mask::ALL,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Concat {
    axis: i64,
}

impl Op for Concat {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let inputs = (0..cx.input_count()).map(|i| cx.dims(i)).collect::<Result<Vec<_>>>()?;
        let Some(rank) = inputs.iter().flatten().map(|d| d.len()).next() else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axis = facts::axis(self.axis, rank)?;
        let mut out: Dims = cx.fresh_dims(rank);
        out[axis] = Dim::Known(0);
        let mut seen = false;
        for dims in &inputs {
            let Some(dims) = dims else {
                out[axis] = cx.fresh();
                continue;
            };
            ensure!(dims.len() == rank, Fail, "Ranks of input data are different, cannot concatenate them: {inputs:?}");
            for i in (0..rank).filter(|&i| i != axis) {
                let agree = !seen || out[i].known().zip(dims[i].known()).is_none_or(|(a, b)| a == b);
                ensure!(agree, Fail, "axis {i} of the inputs differs, which is not the axis {axis} to concatenate: {inputs:?}");
                if !seen || dims[i].known().is_some() {
                    out[i] = dims[i].clone();
                }
            }
            out[axis] = out[axis].add(&dims[axis]);
            seen = true;
        }
        if inputs.iter().any(Option::is_none) {
            out[axis] = cx.fresh();
        }
        let value = if rank == 1 { joined(cx) } else { None };
        facts::state(cx, 0, dtype, out, value);
        Ok(())
    }

    fn part(&self, sizes: &Sizes<'_>, input: usize) -> Result<Part> {
        let whole = sizes.output(0)?;
        let axis = axis_index(self.axis, whole.len())?;
        let mut start = 0;
        for i in 0..input {
            start += axis_size(sizes.input(i)?, axis)?;
        }
        part_of(&Region::dense(whole).slice(axis, start, 1, axis_size(sizes.input(input)?, axis)?)?)
    }
}

/// The elements of all inputs, which are vectors: shapes are put together this way.
fn joined(cx: &Infer<'_>) -> Option<Arc<[Dim]>> {
    let mut all = Vec::new();
    for i in 0..cx.input_count() {
        all.extend_from_slice(cx.ints(i)?);
        if all.len() > SMALL {
            return None;
        }
    }
    Some(all.into())
}

fn axis_size(dims: &[usize], axis: usize) -> Result<usize> {
    dims.get(axis).copied().ok_or_else(|| base::error!(InvalidArgument, "shape {} has no axis {axis}", Shape::from(dims)))
}

impl Concat {
    /// The element type and shape of the output, the inputs checked against each other; and which axis grows.
    fn checked(&self, cx: &Run<'_>) -> Result<(DType, Shape, usize)> {
        let first = cx.input(0)?;
        let mut shape = Shape::from(first.shape());
        let axis = axis_index(self.axis, shape.len())?;
        for i in 1..cx.input_count() {
            let dims = cx.input(i)?.shape();
            let fits = dims.len() == shape.len() && (0..dims.len()).all(|j| j == axis || dims[j] == shape[j]);
            ensure!(fits, Fail, "input {i} of shape {} does not fit {shape} on axis {axis}", Shape::from(dims));
            let sum = shape[axis].checked_add(dims[axis]);
            shape.dims_mut()[axis] = sum.ok_or_else(|| base::error!(InvalidArgument, "axis {axis} becomes too large"))?;
        }
        Ok((first.dtype(), shape, axis))
    }
}

impl Stateless for Concat {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape, axis) = self.checked(cx)?;
        write(cx, 0, dtype, shape, |cx, out| {
            let mut start = 0;
            for i in 0..cx.input_count() {
                let input = cx.input(i)?;
                let count = input.shape()[axis];
                out.copy(&input, &Region::of(&input)?, &out.whole().slice(axis, start, 1, count)?)?;
                start += count;
            }
            Ok(())
        })
    }
}

impl CudaKernel for Concat {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let (_, _, axis) = self.checked(cx.host())?;
        let output = cx.output(0)?;
        let mut start = 0;
        for i in 0..cx.input_count() {
            let input = cx.input(i)?;
            let count = input.shape()[axis];
            let part = Region::of_output(&output)?.slice(axis, start, 1, count)?;
            movement::cuda::copy(cx, &input, &Region::of(&input)?, &output, &part)?;
            start += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn along_each_axis() {
        let case = |axis: i64| single(&CONCAT, 13).attr("axis", axis).input([1, 2], &[1i32, 2]).input([1, 2], &[3i32, 4]).tensor().unwrap();
        assert_eq!((&**case(0).shape(), case(0).slice::<i32>().unwrap()), (&[2, 2][..], &[1, 2, 3, 4][..]));
        assert_eq!((&**case(-1).shape(), case(-1).slice::<i32>().unwrap()), (&[1, 4][..], &[1, 2, 3, 4][..]));
        let t = single(&CONCAT, 4).attr("axis", 1).input([2, 1], &[1f64, 2.]).input([2, 0], &[0f64; 0]).input([2, 2], &[3f64, 4., 5., 6.]);
        assert_eq!(t.tensor().unwrap().slice::<f64>().unwrap(), [1., 3., 4., 2., 5., 6.]);
    }

    #[test]
    fn strings_and_defaults() {
        let t = single(&CONCAT, 13).attr("axis", 0).strings([1], &["x"]).strings([2], &["y", "z"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "xyz");
        assert_eq!(&**single(&CONCAT, 1).input([1, 2], &[1f32, 2.]).tensor().unwrap().shape(), [1, 2]);
        assert!(single(&CONCAT, 13).input([1], &[1f32]).tensor().is_err(), "axis is required");
    }

    #[test]
    fn shapes_that_disagree() {
        let e = single(&CONCAT, 13).attr("axis", 0).input([1, 2], &[1u8, 2]).input([1, 3], &[1u8, 2, 3]).tensor().unwrap_err();
        assert!(e.message().contains("axis 1 of the inputs differs"), "{e}");
        assert!(single(&CONCAT, 13).attr("axis", 0).input([1], &[1u8]).input([1, 1], &[1u8]).tensor().is_err());
        assert!(single(&CONCAT, 13).attr("axis", 0).input([], &[1u8]).tensor().is_err());
    }

    #[test]
    fn inputs_are_parts() {
        let op = Concat { axis: 1 };
        let sizes = Sizes { inputs: &[Some(&[2, 3]), Some(&[2, 4])], outputs: &[Some(&[2, 7])], ints: &[] };
        assert_eq!(op.part(&sizes, 1).unwrap(), Part { offset: 3, strides: [7, 1].into_iter().collect() });
    }
}
