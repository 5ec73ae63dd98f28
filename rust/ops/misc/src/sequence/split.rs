//! SplitToSequence: the parts of a tensor along an axis, as a sequence.

use std::ops::Range;

use base::threads::paced;
use base::{Result, Sequence, Tensor, Type, Value, axis_index, ensure};
use ir::Fact;
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::of;
use crate::slices::{dense, part, slice};
use crate::types::SEQUENCES_V1;

const SIGNATURE: &str = "input:T, split:I? -> output_sequence:S";

/// SplitToSequence of `ai.onnx`.
pub static SPLIT_TO_SEQUENCE: OpDef = OpDef {
    name: "SplitToSequence",
    versions: &[
        since(11, SIGNATURE, &[("T", ANY_V1), ("I", INDEX), ("S", SEQUENCES_V1)]),
        since(24, SIGNATURE, &[("T", ANY_V13), ("I", INDEX), ("S", ANY_V13.sequences())]),
    ],
    load: |a| Ok(Box::new(SplitToSequence { axis: a.int("axis", 0)?, keepdims: a.flag("keepdims", true)? })),
    kernels: Kernels::NONE.stateless::<SplitToSequence>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SplitToSequence {
    axis: i64,
    /// Whether parts of one slice keep the axis; counts only where `split` is not given.
    keepdims: bool,
}

impl Op for SplitToSequence {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        if let Some(dims) = cx.dims(0)? {
            axis_index(self.axis, dims.len()).map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        }
        cx.set(0, Fact::of(of(Type::Tensor(dtype))));
        Ok(())
    }
}

/// The slices of each part of an axis of `len` slices; parts of one slice unless `split` says otherwise.
fn ranges(split: Option<(&[i64], bool)>, len: usize) -> Result<Vec<Range<usize>>> {
    let every = |size: usize| (0..len).step_by(size).map(|start| start..len.min(start + size)).collect();
    let Some((sizes, scalar)) = split else { return Ok(every(1)) };
    if scalar {
        let size = usize::try_from(sizes[0]).ok().filter(|n| *n > 0);
        ensure!(size.is_some(), InvalidArgument, "split is {}, but must be positive", sizes[0]);
        return Ok(every(size.unwrap_or(1)));
    }
    let mut start = 0usize;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        let end = usize::try_from(size).ok().and_then(|n| start.checked_add(n)).filter(|end| *end <= len);
        let Some(end) = end else { base::bail!(InvalidArgument, "split {sizes:?} does not add up to {len} slices") };
        parts.push(start..end);
        start = end;
    }
    ensure!(start == len, InvalidArgument, "split {sizes:?} does not add up to {len} slices");
    Ok(parts)
}

impl SplitToSequence {
    fn parts(&self, tensor: &Tensor, split: Option<(&[i64], bool)>) -> Result<Vec<Value>> {
        let axis = axis_index(self.axis, tensor.shape().len())?;
        let cut = |range: Range<usize>| {
            if split.is_none() && !self.keepdims {
                return slice(tensor, axis, range.start);
            }
            let mut shape = tensor.shape().clone();
            shape.dims_mut()[axis] = range.len();
            part(tensor, axis, range, shape)
        };
        let ranges = ranges(split, tensor.shape()[axis])?;
        paced(ranges.into_iter(), 256).map(|r| cut(r).map(Value::Tensor)).collect()
    }
}

impl Stateless for SplitToSequence {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = cx.value(0)?;
        let tensor = dense(value.tensor()?)?;
        let split = cx.optional(1)?.map(|t| Ok((t.ints()?, t.shape()))).transpose()?;
        if let Some((_, shape)) = &split {
            ensure!(shape.len() <= 1, InvalidArgument, "split has shape {shape:?}, but must be a scalar or a vector");
        }
        let values = self.parts(&tensor, split.as_ref().map(|(v, shape)| (&v[..], shape.is_empty())))?;
        cx.set(0, Sequence { element: value.ty(), values })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    const DATA: [f32; 6] = [1., 2., 3., 4., 5., 6.];

    #[test]
    fn by_ones_with_and_without_the_axis() {
        let out = single(&SPLIT_TO_SEQUENCE, 11).attr("axis", -1).input([2, 3], &DATA).run(1).unwrap();
        assert_equal(&out[0], &sequence(vec![floats(&[2, 1], &[1., 4.]), floats(&[2, 1], &[2., 5.]), floats(&[2, 1], &[3., 6.])]));
        let out = single(&SPLIT_TO_SEQUENCE, 24).attr("keepdims", 0).input([2, 3], &DATA).run(1).unwrap();
        assert_equal(&out[0], &sequence(vec![floats(&[3], &DATA[..3]), floats(&[3], &DATA[3..])]));
    }

    #[test]
    fn by_size_or_sizes() {
        let out = single(&SPLIT_TO_SEQUENCE, 11).attr("keepdims", 0).input([6], &DATA).input([], &[4i32]).run(1).unwrap();
        assert_equal(&out[0], &sequence(vec![floats(&[4], &DATA[..4]), floats(&[2], &DATA[4..])]));
        let out = single(&SPLIT_TO_SEQUENCE, 11).input([6], &DATA).input([3], &[1i64, 0, 5]).run(1).unwrap();
        assert_equal(&out[0], &sequence(vec![floats(&[1], &DATA[..1]), floats(&[0], &[]), floats(&[5], &DATA[1..])]));
        let out = single(&SPLIT_TO_SEQUENCE, 11).input([0, 2], &[0f32; 0]).run(1).unwrap();
        assert!(out[0].sequence().unwrap().values.is_empty());
    }

    #[test]
    fn sizes_that_do_not_fit_are_errors() {
        for split in [&[1i64, 4][..], &[7], &[-1, 7], &[i64::MAX, 1, i64::MAX]] {
            let e = single(&SPLIT_TO_SEQUENCE, 11).input([6], &DATA).input([split.len()], split).run(1).unwrap_err();
            assert!(e.detail().contains("does not add up to 6 slices"), "{e}");
        }
        assert!(single(&SPLIT_TO_SEQUENCE, 11).input([6], &DATA).input([], &[0i64]).run(1).is_err());
        assert!(single(&SPLIT_TO_SEQUENCE, 11).attr("axis", 1).input([6], &DATA).run(1).is_err());
    }
}
