//! Slice: from `starts` to `ends` by `steps`, on some axes.

mod extent;
mod window;

use base::{Result, axis_index, ensure};
use ir::Dims;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Alias, Attrs, Infer, Kernels, Mask, Op, OpDef, Part, Run, Sizes, Stateless, since};
use smallvec::SmallVec;

use crate::facts::{self, pick};
use crate::ints::{Ints, List};
use crate::movement::{self, Region, write};
use crate::part::part_of;
use window::window;

const SIGNATURE: &str = "data:T, starts:Tind, ends:Tind, axes:Tind?, steps:Tind? -> output:T";

/// Slice of `ai.onnx`.
pub static SLICE: OpDef = OpDef {
    name: "Slice",
    versions: &[
        since(1, "data:T -> output:T", &[("T", ANY_V1)]),
        since(10, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]),
        since(11, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)]),
    ],
    load: |a| Ok(Box::new(Slice::load(a)?)),
    kernels: Kernels::NONE.stateless::<Slice>().cuda::<Slice>(),
    alias: Alias::Parts,
    strided: Mask::of(1, 1),
    host: Mask::of(0b11110, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Slice {
    starts: Ints,
    ends: Ints,
    /// The axes that are cut; the first ones if absent.
    axes: Ints,
    /// All 1 if absent.
    steps: Ints,
}

impl Slice {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        if a.since() >= 10 {
            return Ok(Self { starts: Ints::Input(1), ends: Ints::Input(2), axes: Ints::input(a, 3), steps: Ints::input(a, 4) });
        }
        let (starts, ends) = (Ints::attribute(a, "starts")?, Ints::attribute(a, "ends")?);
        ensure!(!starts.is_absent() && !ends.is_absent(), InvalidGraph, "Required attribute 'starts' or 'ends' is missing");
        Ok(Self { starts, ends, axes: Ints::attribute(a, "axes")?, steps: Ints::Absent })
    }

    /// The part of `data` that is meant.
    fn region(data: Region, [starts, ends, axes, steps]: [Option<List>; 4]) -> Result<Region> {
        let (starts, ends) = (starts.unwrap_or_default(), ends.unwrap_or_default());
        let rank = data.axes().len();
        let axes = axes_of(axes.as_deref(), starts.len(), rank)?;
        let steps = steps.unwrap_or_else(|| SmallVec::from_elem(1, starts.len()));
        let agree = starts.len() == ends.len() && starts.len() == axes.len() && starts.len() == steps.len();
        ensure!(agree, InvalidArgument, "starts {starts:?}, ends {ends:?}, axes {axes:?} and steps {steps:?} are not of one length");
        let mut data = data;
        for (i, &axis) in axes.iter().enumerate() {
            ensure!(steps[i] != 0, InvalidArgument, "'step' value cannot be 0, but steps are {steps:?}");
            let (start, count) = window(data.axes()[axis].len, starts[i], ends[i], steps[i]);
            data = data.slice(axis, start, steps[i] as isize, count)?;
        }
        Ok(data)
    }

    fn lists<E>(&self, read: impl Fn(&Ints) -> Result<Option<List>, E>) -> Result<[Option<List>; 4], E> {
        Ok([read(&self.starts)?, read(&self.ends)?, read(&self.axes)?, read(&self.steps)?])
    }

    /// The lists as numbers, if inference knows all of them.
    fn known(&self, cx: &Infer<'_>) -> Option<[Option<List>; 4]> {
        let read = |i: &Ints| if i.is_absent() { Ok(None) } else { i.known(cx).map(|l| Some(l.into())).ok_or(()) };
        self.lists(read).ok()
    }

    /// Cuts the axes of `dims`, as far as inference knows how.
    fn cut(&self, cx: &mut Infer<'_>, dims: &mut Dims) -> Result<()> {
        let count = self.starts.count(cx).or_else(|| self.axes.count(cx));
        let axes = match (self.axes.is_absent(), self.axes.known(cx), count) {
            (true, _, Some(n)) => axes_of(None, n, dims.len()),
            (false, Some(axes), _) => axes_of(Some(&axes), axes.len(), dims.len()),
            _ => {
                *dims = cx.fresh_dims(dims.len());
                return Ok(());
            }
        };
        let axes = axes.map_err(|e| e.with_kind(base::ErrorKind::InvalidGraph))?;
        let lists = [&self.starts, &self.ends, &self.steps].map(|l| l.inferred(cx));
        for list in lists.iter().flatten() {
            ensure!(list.len() == axes.len(), InvalidGraph, "{list:?} and axes {axes:?} are not of one length");
        }
        let [starts, ends, steps] = lists;
        for (i, &axis) in axes.iter().enumerate() {
            let step = match &steps {
                Some(steps) => steps[i].known(),
                None if self.steps.is_absent() => Some(1),
                None => None,
            };
            ensure!(step != Some(0), InvalidGraph, "'step' value cannot be 0");
            let exact = match (&starts, &ends, step) {
                (Some(s), Some(e), Some(step)) => extent::extent(&dims[axis], &s[i], &e[i], step),
                _ => None,
            };
            dims[axis] = exact.unwrap_or_else(|| cx.fresh());
        }
        Ok(())
    }
}

/// The axes that are cut, each once.
fn axes_of(axes: Option<&[i64]>, count: usize, rank: usize) -> Result<SmallVec<[usize; 8]>> {
    let axes: SmallVec<[usize; 8]> = match axes {
        Some(axes) => axes.iter().map(|&a| axis_index(a, rank)).collect::<Result<_>>()?,
        None => (0..count).collect(),
    };
    ensure!(axes.len() <= rank, InvalidArgument, "{} axes are cut of a tensor of rank {rank}", axes.len());
    let twice = axes.iter().enumerate().any(|(i, a)| axes[..i].contains(a));
    ensure!(!twice, InvalidArgument, "'axes' has duplicates: {axes:?}");
    Ok(axes)
}

impl Op for Slice {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(dims) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let mut out: Dims = dims.into();
        self.cut(cx, &mut out)?;
        let value = match (facts::value(cx, 0), self.known(cx)) {
            (Some((elements, shape)), Some(lists)) => pick(elements, &Self::region(Region::dense(&shape), lists)?),
            _ => None,
        };
        facts::state(cx, 0, dtype, out, value);
        Ok(())
    }

    fn part(&self, sizes: &Sizes<'_>, _output: usize) -> Result<Part> {
        part_of(&Self::region(Region::dense(sizes.input(0)?), self.lists(|l| l.bound(sizes))?)?)
    }
}

impl Stateless for Slice {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, region) = {
            let data = cx.input(0)?;
            (data.dtype(), Self::region(Region::of(&data)?, self.lists(|l| l.run(cx))?)?)
        };
        let shape = region.dims();
        write(cx, 0, dtype, shape, |cx, out| out.copy(&cx.input(0)?, &region, &out.whole()))
    }
}

impl CudaKernel for Slice {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        let host = cx.host();
        let lists = self.lists(|l| l.run(host))?;
        let data = cx.input(0)?;
        let region = Self::region(Region::of(&data)?, lists)?;
        let output = cx.output(0)?;
        movement::cuda::copy(cx, &data, &region, &output, &Region::of_output(&output)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn sliced(starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) -> Result<Vec<i16>> {
        let data: Vec<i16> = (0..12).collect();
        let case = single(&SLICE, 13).input([3, 4], &data);
        let case = [starts, ends, axes, steps].into_iter().fold(case, |c, l| c.input([l.len()], l));
        case.tensor().map(|t| t.slice::<i16>().unwrap().to_vec())
    }

    #[test]
    fn bounds_are_clamped() {
        assert_eq!(sliced(&[1, 0], &[100, -2], &[0, 1], &[1, 1]).unwrap(), [4, 5, 8, 9]);
        assert_eq!(sliced(&[-100], &[1], &[0], &[1]).unwrap(), [0, 1, 2, 3]);
        assert_eq!(sliced(&[2], &[1], &[1], &[1]).unwrap(), [0i16; 0]);
        assert_eq!(sliced(&[i64::MIN], &[i64::MAX], &[-1], &[3]).unwrap(), [0, 3, 4, 7, 8, 11]);
    }

    #[test]
    fn backwards() {
        assert_eq!(sliced(&[-1], &[i64::MIN], &[1], &[-2]).unwrap(), [3, 1, 7, 5, 11, 9]);
        assert_eq!(sliced(&[i64::MAX], &[0], &[0], &[-1]).unwrap(), [8, 9, 10, 11, 4, 5, 6, 7]);
        assert_eq!(sliced(&[0], &[2], &[0], &[i64::MIN]).unwrap(), [0i16; 0]);
    }

    #[test]
    fn impossible_lists() {
        for (starts, axes, steps) in
            [(&[0][..], &[2][..], &[1][..]), (&[0, 0], &[0, 0], &[1, 1]), (&[0], &[0], &[0]), (&[0, 0], &[0], &[1])]
        {
            assert!(sliced(starts, &[1], axes, steps).is_err());
        }
    }

    #[test]
    fn older_forms() {
        let t = single(&SLICE, 1).attr("starts", vec![1]).attr("ends", vec![3]).input([4], &[1u8, 2, 3, 4]).tensor().unwrap();
        assert_eq!(t.slice::<u8>().unwrap(), [2, 3]);
        let t = single(&SLICE, 10).strings([3], &["a", "b", "c"]).input([1], &[-2i32]).input([1], &[9i32]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "bc");
    }

    #[test]
    fn a_part_has_offset_and_strides() {
        let lists = |n: &[i64]| Ints::Fixed(n.to_vec());
        let op = Slice { starts: lists(&[-1]), ends: lists(&[-9]), axes: lists(&[1]), steps: lists(&[-2]) };
        let sizes = Sizes { inputs: &[Some(&[3, 4])], outputs: &[], ints: &[] };
        assert_eq!(op.part(&sizes, 0).unwrap(), Part { offset: 3, strides: [4, -2].into_iter().collect() });
    }
}
