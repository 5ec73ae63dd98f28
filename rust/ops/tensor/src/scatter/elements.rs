//! ScatterElements, and Scatter before it: each update goes to its own place, but for `axis`, where an index says.

use base::threads::{Pace, SharedMut, try_parallel_for};
use base::{Result, axis_index, ensure};
use op::types::{ANY_V1, ANY_V13, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, deprecated, since};

use super::reduction::Reduction;
use super::{Scatter, apply, finish, load_reduction, replaced, start};
use crate::facts;
use crate::gather_elements::places;
use crate::indices::Indices;
use crate::movement::{Axes, CHUNK, Region, Steps, Walk};

const SIGNATURE: &str = "data:T, indices:Tind, updates:T -> output:T";

/// ScatterElements of `ai.onnx`. Where updates meet without a reduction, the last one stays.
pub static SCATTER_ELEMENTS: OpDef = OpDef {
    name: "ScatterElements",
    versions: &[
        since(11, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)]),
        since(16, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)]),
        since(18, SIGNATURE, &[("T", ANY_V13), ("Tind", INDEX)]),
    ],
    load: |a| Ok(Box::new(ScatterElements { axis: a.int("axis", 0)?, reduction: load_reduction(a)? })),
    kernels: Kernels::NONE.stateless::<ScatterElements>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

/// Scatter of `ai.onnx`, which became ScatterElements.
pub static SCATTER: OpDef =
    OpDef { name: "Scatter", versions: &[since(9, SIGNATURE, &[("T", ANY_V1), ("Tind", INDEX)]), deprecated(11)], ..SCATTER_ELEMENTS };

#[derive(Clone, Debug)]
struct ScatterElements {
    axis: i64,
    reduction: Reduction,
}

impl Op for ScatterElements {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let (data, indices, updates) = (cx.dims(0)?, cx.dims(1)?, cx.dims(2)?);
        if let Some(data) = data {
            facts::axis(self.axis, data.len())?;
            ensure!(indices.is_none_or(|i| i.len() == data.len()), InvalidGraph, "indices {indices:?} and data {data:?} differ in rank");
        }
        if let (Some(indices), Some(updates)) = (indices, updates) {
            let same = |(a, b): (&ir::Dim, &ir::Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
            let fits = indices.len() == updates.len() && indices.iter().zip(updates).all(same);
            ensure!(fits, InvalidGraph, "Indices vs updates dimensions differs: {indices:?} and {updates:?}");
        }
        match data {
            Some(data) => {
                let value = replaced(cx, self.reduction);
                facts::state(cx, 0, dtype, data.into(), value);
            }
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

/// Where the updates go.
struct Targets<'a> {
    indices: Indices<'a>,
    /// The space of the indices, with the place in the data of each, but on `axis` the first.
    places: Region,
    axis: usize,
    /// The size of `axis` in the data, and its stride.
    len: usize,
    stride: usize,
}

impl Targets<'_> {
    /// The axis whose slices different chunks may take: updates of one never meet those of another.
    fn free_axis(&self) -> Option<usize> {
        (0..self.places.axes().len()).find(|&a| a != self.axis)
    }

    /// The part of the space whose free axis is in `range`: its axes, and where cursors to index and place begin.
    fn part(&self, free: Option<usize>, range: std::ops::Range<usize>) -> (Axes<2>, [isize; 2]) {
        let dense = Region::dense(&self.places.dims());
        let mut axes: Axes<2> =
            dense.axes().iter().zip(self.places.axes()).map(|(i, p)| Steps { len: i.len, by: [i.by[0], p.by[0]] }).collect();
        let mut origin = [0, self.places.offset()];
        if let Some(free) = free {
            axes[free].len = range.len();
            (0..2).for_each(|c| origin[c] += axes[free].by[c] * range.start as isize);
        }
        (axes, origin)
    }
}

impl Scatter for Targets<'_> {
    fn scatter<T: Copy + Send + Sync>(&self, out: &mut [T], updates: &[T], combine: impl Fn(T, T) -> T + Sync) -> Result<()> {
        let count = self.indices.len();
        ensure!(updates.len() == count && self.places.len() == count, Fail, "{} updates for {count} indices", updates.len());
        if count == 0 {
            return Ok(());
        }
        let free = self.free_axis();
        let size = free.map_or(1, |a| self.places.axes()[a].len);
        let chunks = (count * size_of::<T>()).div_ceil(CHUNK).min(size);
        let grain = size.div_ceil(chunks);
        let out = SharedMut::new(out);
        try_parallel_for(size.div_ceil(grain), &|chunk| {
            let range = chunk * grain..((chunk + 1) * grain).min(size);
            let (axes, origin) = self.part(free, range);
            let mut walk = Walk::new(&axes, origin, 0);
            let pace = Pace::default();
            for _ in 0..axes.iter().map(|a| a.len).product() {
                pace.spend(8);
                let [i, place] = walk.at.map(|c| c as usize);
                let at = place + self.indices.at(i, self.len)? * self.stride;
                ensure!(at < out.len(), Fail, "place {at} lies outside of {} elements", out.len());
                // SAFETY: the place is one of the slice; chunks take different parts of the free axis, so that none names an
                // element of another.
                unsafe {
                    let element = out.as_ptr().add(at);
                    element.write(combine(element.read(), updates[i]));
                }
                walk.step();
            }
            Ok(())
        })
    }
}

impl Stateless for ScatterElements {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices, updates) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let axis = axis_index(self.axis, data.rank())?;
        let shapes = [indices.shape(), updates.shape()].map(base::Shape::from);
        ensure!(shapes[0] == shapes[1], InvalidArgument, "Indices vs updates dimensions differs: {} and {}", shapes[0], shapes[1]);
        let (places, stride) = places(data.shape(), indices.shape(), axis)?;
        let len = data.shape()[axis];
        start(cx)?;
        let targets = Targets { indices: Indices::of(&cx.input(1)?)?, places, axis, len, stride };
        let strings = apply(cx, &targets, self.reduction)?;
        finish(cx, strings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, single};

    fn case(reduction: &str) -> Single {
        single(&SCATTER_ELEMENTS, 18).attr("axis", 1).attr("reduction", reduction).input([1, 5], &[1f32, 2., 3., 4., 5.])
    }

    #[test]
    fn every_reduction() {
        let run = |reduction: &str| {
            let t = case(reduction).input([1, 3], &[1i64, -4, 3]).input([1, 3], &[10f32, 0.5, 4.]).tensor().unwrap();
            t.slice::<f32>().unwrap().to_vec()
        };
        assert_eq!(run("none"), [1., 0.5, 3., 4., 5.]);
        assert_eq!(run("add"), [1., 12.5, 3., 8., 5.]);
        assert_eq!(run("mul"), [1., 10., 3., 16., 5.]);
        assert_eq!(run("max"), [1., 10., 3., 4., 5.]);
        assert_eq!(run("min"), [1., 0.5, 3., 4., 5.]);
    }

    #[test]
    fn strings_and_older_forms() {
        let t = single(&SCATTER, 9).strings([2], &["a", "b"]).input([1], &[1i32]).strings([1], &["c"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "ac");
        let max = single(&SCATTER_ELEMENTS, 16).attr("reduction", "max").input([1], &[1f32]).input([1], &[0i64]).input([1], &[2f32]);
        assert!(max.tensor().is_err(), "max came with opset 18");
    }

    #[test]
    fn many_updates_on_each_axis() {
        let (rows, columns) = (300usize, 170usize);
        let data = vec![0i32; rows * columns];
        let updates: Vec<i32> = (0..(rows * columns) as i32).collect();
        for axis in [0, 1] {
            let len = if axis == 0 { rows } else { columns };
            let indices: Vec<i64> = (0..rows * columns).map(|i| ((i * 13 + i / columns) % len) as i64).collect();
            let mut expected = data.clone();
            for (i, &x) in indices.iter().enumerate() {
                let (row, column) = (i / columns, i % columns);
                let at = if axis == 0 { x as usize * columns + column } else { row * columns + x as usize };
                expected[at] = expected[at].wrapping_add(updates[i]);
            }
            let case = single(&SCATTER_ELEMENTS, 18).attr("axis", axis).attr("reduction", "add").input([rows, columns], &data);
            let t = case.input([rows, columns], &indices).input([rows, columns], &updates).tensor().unwrap();
            assert_eq!(t.slice::<i32>().unwrap(), expected);
        }
    }

    #[test]
    fn impossible_indices() {
        assert!(case("none").input([1, 1], &[5i64]).input([1, 1], &[0f32]).tensor().unwrap_err().message().contains("idx=5"));
        assert!(case("none").input([1, 1], &[0i64]).input([1, 2], &[0f32; 2]).tensor().is_err());
        assert!(case("none").input([2, 1], &[0i64; 2]).input([2, 1], &[0f32; 2]).tensor().is_err());
        assert!(case("none").input([1], &[0i64]).input([1], &[0f32]).tensor().is_err());
        assert_eq!(case("add").input([0, 5], &[0i64; 0]).input([0, 5], &[0f32; 0]).tensor().unwrap().slice::<f32>().unwrap()[4], 5.0);
    }
}
