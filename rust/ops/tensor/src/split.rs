//! Split: cuts a tensor along `axis` into one part for each output.

use base::{DType, Result, Shape, axis_index, ensure, error};
use ir::{Dim, Dims};
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, FLOATS_V1};
use op::{Alias, Attrs, Infer, Kernels, Mask, Op, OpDef, Part, Run, Sizes, Stateless, since};
use smallvec::SmallVec;

use crate::facts::{self, pick};
use crate::ints::{Ints, List};
use crate::movement::{self, Region, write};
use crate::part::part_of;

const SIGNATURE: &str = "input:T, split:int64? -> outputs:T*";

/// Split of `ai.onnx`.
pub static SPLIT: OpDef = OpDef {
    name: "Split",
    versions: &[
        since(1, "input:T, split:T? -> outputs...:T*", &[("T", FLOATS_V1)]),
        since(2, "input:T -> outputs:T*", &[("T", ANY_V1)]),
        since(11, "input:T -> outputs:T*", &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(18, SIGNATURE, &[("T", ANY_V13)]),
    ],
    load: |a| Ok(Box::new(Split::load(a)?)),
    kernels: Kernels::NONE.stateless::<Split>().cuda::<Split>(),
    alias: Alias::Parts,
    strided: Mask::of(1, u64::MAX),
    host: Mask::of(0b10, 0),
    ..OpDef::ONNX
};

/// Where the parts begin, and where the last one ends.
type Bounds = SmallVec<[usize; 16]>;

#[derive(Clone, Debug)]
struct Split {
    axis: i64,
    /// The size of each part; equal parts if absent.
    sizes: Ints,
    outputs: usize,
    /// Whether the last of equal parts may be smaller.
    uneven: bool,
}

impl Split {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let axis = a.int("axis", 0)?;
        let outputs = a.output_count();
        let sizes = match a.since() {
            1 => match Ints::attribute(a, "split")? {
                Ints::Absent => Ints::input(a, 1),
                sizes => sizes,
            },
            2..13 => Ints::attribute(a, "split")?,
            _ => Ints::input(a, 1),
        };
        let uneven = a.since() >= 18 && a.has("num_outputs");
        if uneven {
            let count = a.required_int("num_outputs")?;
            ensure!(sizes.is_absent(), InvalidGraph, "both 'num_outputs' and the input 'split' are given");
            ensure!(count == outputs as i64, InvalidGraph, "'num_outputs' is {count}, but the node has {outputs} outputs");
        }
        ensure!(outputs > 0, InvalidGraph, "Split needs at least one output");
        Ok(Self { axis, sizes, outputs, uneven })
    }

    /// Where each part begins and ends on an axis of size `dim`.
    fn bounds(&self, dim: usize, given: Option<List>) -> Result<Bounds> {
        let Some(given) = given else {
            let each = dim.div_ceil(self.outputs);
            let fits = if self.uneven { each * (self.outputs - 1) <= dim } else { each * self.outputs == dim };
            ensure!(fits, InvalidArgument, "an axis of size {dim} cannot be split into {} equal parts", self.outputs);
            return Ok((0..=self.outputs).map(|i| (i * each).min(dim)).collect());
        };
        let mut bounds = Bounds::from_elem(0, 1);
        for &size in &given {
            let end = usize::try_from(size).ok().and_then(|n| bounds[bounds.len() - 1].checked_add(n));
            bounds.push(end.ok_or_else(|| error!(InvalidArgument, "Invalid value in 'split': {size} among {given:?}"))?);
        }
        let fits = given.len() == self.outputs && bounds[given.len()] == dim;
        ensure!(fits, InvalidArgument, "'split' {given:?} does not cut an axis of size {dim} into {} parts", self.outputs);
        Ok(bounds)
    }

    /// The sizes of the parts, as far as they are known.
    fn inferred(&self, cx: &mut Infer<'_>, dim: &Dim) -> Result<Vec<Dim>> {
        let given = match self.sizes.inferred(cx) {
            Some(given) => given,
            None if !self.sizes.is_absent() => return Ok(cx.fresh_dims(self.outputs).into_vec()),
            None => {
                let parts = Dim::from(self.outputs);
                let each = if self.uneven { dim.ceil_div(&parts) } else { dim.floor_div(&parts) };
                let mut sizes = vec![each.clone(); self.outputs];
                sizes[self.outputs - 1] = dim.sub(&each.mul(&Dim::from(self.outputs - 1)));
                // With equal parts, what is left for the last has to be one more of them.
                let last = &mut sizes[self.outputs - 1];
                match last.known().zip(each.known()) {
                    Some((last, each)) => {
                        let fits = if self.uneven { last >= 0 } else { last == each };
                        ensure!(fits, InvalidGraph, "an axis of size {dim} cannot be split into {} equal parts", self.outputs);
                    }
                    None if !self.uneven => *last = each,
                    None => {}
                }
                return Ok(sizes);
            }
        };
        let negative = given.iter().any(|n| n.known().is_some_and(|n| n < 0));
        ensure!(!negative && given.len() == self.outputs, InvalidGraph, "'split' is {given:?} for {} outputs", self.outputs);
        let total = given.iter().fold(Dim::Known(0), |n, d| n.add(d));
        let fits = total.known().zip(dim.known()).is_none_or(|(a, b)| a == b);
        ensure!(fits, InvalidGraph, "'split' {given:?} does not add up to the size {dim} of axis {}", self.axis);
        Ok(given)
    }
}

impl Op for Split {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            (0..self.outputs).for_each(|i| cx.tensor(i, dtype, None));
            return Ok(());
        };
        let axis = facts::axis(self.axis, dims.len())?;
        let sizes = self.inferred(cx, &dims[axis])?;
        let value = facts::value(cx, 0);
        let mut start = Some(0);
        for (i, size) in sizes.iter().enumerate() {
            let mut out: Dims = dims.into();
            out[axis] = size.clone();
            let part = match (&value, start, size.size()) {
                (Some((elements, shape)), Some(start), Some(n)) => pick(elements, &Region::dense(shape).slice(axis, start, 1, n)?),
                _ => None,
            };
            start = start.zip(size.size()).map(|(start, n)| start + n);
            facts::state(cx, i, dtype, out, part);
        }
        Ok(())
    }

    fn part(&self, sizes: &Sizes<'_>, output: usize) -> Result<Part> {
        let dims = sizes.input(0)?;
        let axis = axis_index(self.axis, dims.len())?;
        let bounds = self.bounds(dims[axis], self.sizes.bound(sizes)?)?;
        let (Some(&start), Some(&end)) = (bounds.get(output), bounds.get(output + 1)) else {
            return Err(error!(Fail, "there is no output {output}"));
        };
        part_of(&Region::dense(dims).slice(axis, start, 1, end - start)?)
    }
}

impl Split {
    /// Writes output `i` from element `start` of the axis on; gives where it ends.
    fn write_part(&self, cx: &mut Run<'_>, i: usize, dtype: DType, axis: usize, range: std::ops::Range<usize>) -> Result<()> {
        let mut shape = Shape::from(cx.input(0)?.shape());
        shape.dims_mut()[axis] = range.len();
        write(cx, i, dtype, shape, |cx, out| {
            let input = cx.input(0)?;
            out.copy(&input, &Region::of(&input)?.slice(axis, range.start, 1, range.len())?, &out.whole())
        })
    }
}

impl Stateless for Split {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        let axis = axis_index(self.axis, input.rank())?;
        let dtype = input.dtype();
        let bounds = self.bounds(input.shape()[axis], self.sizes.run(cx)?)?;
        (0..self.outputs).try_for_each(|i| self.write_part(cx, i, dtype, axis, bounds[i]..bounds[i + 1]))
    }
}

impl CudaKernel for Split {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let given = self.sizes.run(cx.host())?;
        let data = cx.input(0)?;
        let axis = axis_index(self.axis, data.rank())?;
        let bounds = self.bounds(data.shape()[axis], given)?;
        for (i, ends) in bounds.windows(2).enumerate().filter(|(i, _)| cx.has_output(*i)) {
            let part = Region::of(&data)?.slice(axis, ends[0], 1, ends[1] - ends[0])?;
            let output = cx.output(i)?;
            movement::cuda::copy(cx, &data, &part, &output, &Region::of_output(&output)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, single};

    fn parts(case: Single, outputs: usize) -> Result<Vec<Vec<i32>>> {
        Ok(case.run(outputs)?.iter().map(|v| v.tensor().unwrap().slice::<i32>().unwrap().to_vec()).collect())
    }

    fn case(opset: u32) -> Single {
        single(&SPLIT, opset).input([2, 3], &[1i32, 2, 3, 4, 5, 6])
    }

    #[test]
    fn equal_parts() {
        assert_eq!(parts(case(13).attr("axis", 1), 3).unwrap(), [[1, 4], [2, 5], [3, 6]]);
        assert_eq!(parts(case(2), 2).unwrap(), [[1, 2, 3], [4, 5, 6]]);
        assert!(parts(case(13).attr("axis", 1), 2).is_err());
        assert!(parts(case(13).attr("axis", 2), 2).is_err());
    }

    #[test]
    fn given_sizes() {
        let expected = vec![vec![1, 4], vec![], vec![2, 3, 5, 6]];
        assert_eq!(parts(case(13).attr("axis", -1).input([3], &[1i64, 0, 2]), 3).unwrap(), expected);
        assert_eq!(parts(case(11).attr("axis", -1).attr("split", vec![1, 0, 2]), 3).unwrap(), expected);
        for bad in [[1i64, 1], [4, -1], [i64::MAX, i64::MAX]] {
            assert!(parts(case(13).attr("axis", 1).input([2], &bad), 2).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_part_may_be_smaller() {
        let got = parts(case(18).attr("axis", 1).attr("num_outputs", 2), 2).unwrap();
        assert_eq!(got, [vec![1, 2, 4, 5], vec![3, 6]]);
        assert!(parts(case(18).attr("num_outputs", 3), 2).is_err());
        let five = single(&SPLIT, 18).attr("num_outputs", 4).input([5], &[1i32, 2, 3, 4, 5]);
        assert!(parts(five, 4).is_err(), "nothing is left for the last part");
    }

    #[test]
    fn outputs_are_parts() {
        let op = Split { axis: 1, sizes: Ints::Fixed(vec![1, 2]), outputs: 2, uneven: false };
        let sizes = Sizes { inputs: &[Some(&[2, 3])], outputs: &[], ints: &[] };
        assert_eq!(op.part(&sizes, 1).unwrap(), Part { offset: 1, strides: [3, 1].into_iter().collect() });
    }
}
