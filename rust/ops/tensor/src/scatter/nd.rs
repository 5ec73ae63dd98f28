//! ScatterND: tuples of indices name the elements or sub-tensors of `data` that updates go to.

use base::threads::{Pace, SharedMut, try_parallel_for};
use base::{Result, Shape, ensure};
use ir::Dim;
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::reduction::Reduction;
use super::{Scatter, apply, finish, load_reduction, replaced, start};
use crate::facts;
use crate::gather_nd::Tuples;
use crate::indices::Indices;
use crate::movement::CHUNK;

const SIGNATURE: &str = "data:T, indices:int64, updates:T -> output:T";

/// ScatterND of `ai.onnx`. Where updates meet without a reduction, the last one stays.
pub static SCATTER_ND: OpDef = OpDef {
    name: "ScatterND",
    versions: &[
        since(11, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(16, SIGNATURE, &[("T", ANY_V13)]),
        since(18, SIGNATURE, &[("T", ANY_V13)]),
    ],
    load: |a| Ok(Box::new(ScatterNd { reduction: load_reduction(a)? })),
    kernels: Kernels::NONE.stateless::<ScatterNd>(),
    in_place: &[(0, 0)],
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ScatterNd {
    reduction: Reduction,
}

impl Op for ScatterNd {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let Some(data) = cx.dims(0)? else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        if let (Some(indices), Some(updates)) = (cx.dims(1)?, cx.dims(2)?) {
            check(data, indices, updates)?;
        }
        let value = replaced(cx, self.reduction);
        facts::state(cx, 0, dtype, data.into(), value);
        Ok(())
    }
}

fn check(data: &[Dim], indices: &[Dim], updates: &[Dim]) -> Result<()> {
    let shapes = || format!("data {data:?}, indices {indices:?} and updates {updates:?}");
    let Some((depth, outer)) = indices.split_last() else { base::bail!(InvalidGraph, "indices must have an axis: {}", shapes()) };
    let Some(depth) = depth.size() else { return Ok(()) };
    ensure!(depth <= data.len(), InvalidGraph, "tuples of {depth} are too long: {}", shapes());
    let expected: Vec<&Dim> = outer.iter().chain(&data[depth..]).collect();
    let same = |(a, b): (&&Dim, &Dim)| a.known().zip(b.known()).is_none_or(|(a, b)| a == b);
    let fits = expected.len() == updates.len() && expected.iter().zip(updates).all(same);
    ensure!(fits, InvalidGraph, "updates must have shape {expected:?}: {}", shapes());
    Ok(())
}

/// Where the updates go: each tuple names a row of `row` elements.
struct Targets<'a> {
    tuples: Tuples<'a>,
    count: usize,
    row: usize,
}

impl Scatter for Targets<'_> {
    fn scatter<T: Copy + Send + Sync>(&self, out: &mut [T], updates: &[T], combine: impl Fn(T, T) -> T + Sync) -> Result<()> {
        let row = self.row;
        ensure!(updates.len() == self.count * row, Fail, "{} updates for {} rows of {row}", updates.len(), self.count);
        if updates.is_empty() {
            return Ok(());
        }
        // Chunks take columns: rows may meet, columns do not. Columns of less than a few cache lines are not worth a chunk.
        let wanted = size_of_val(updates).div_ceil(CHUNK);
        let grain = row.div_ceil(wanted).max(1024 / size_of::<T>());
        let out = SharedMut::new(out);
        try_parallel_for(row.div_ceil(grain), &|chunk| {
            let columns = chunk * grain..((chunk + 1) * grain).min(row);
            let pace = Pace::default();
            for t in 0..self.count {
                pace.spend(8 + columns.len());
                let start = self.tuples.row(t)? * row;
                // SAFETY: chunks take different columns of every row.
                let target = unsafe { out.part(start + columns.start..start + columns.end) };
                let updates = &updates[t * row..][columns.clone()];
                target.iter_mut().zip(updates).for_each(|(o, &u)| *o = combine(*o, u));
            }
            Ok(())
        })
    }
}

impl Stateless for ScatterNd {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices, updates) = (cx.input(0)?.shape(), cx.input(1)?.shape(), cx.input(2)?.shape());
        let shapes = || format!("data {}, indices {}, updates {}", Shape::from(data), Shape::from(indices), Shape::from(updates));
        let Some((&depth, outer)) = indices.split_last() else { base::bail!(InvalidArgument, "indices must have an axis: {}", shapes()) };
        let fits = depth <= data.len() && outer.iter().chain(&data[depth..]).eq(updates);
        ensure!(fits, InvalidArgument, "the shapes do not fit: {}", shapes());
        let (count, row) = (outer.iter().product(), data[depth..].iter().product());
        let axes: Shape = data[..depth].iter().copied().collect();
        start(cx)?;
        let tuples = Tuples { indices: Indices::of(&cx.input(1)?)?, axes: &axes, batch: (usize::MAX, 0) };
        let strings = apply(cx, &Targets { tuples, count, row }, self.reduction)?;
        finish(cx, strings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Single, single};

    fn case(reduction: &str) -> Single {
        single(&SCATTER_ND, 18).attr("reduction", reduction).input([3, 2], &[1f64, 2., 3., 4., 5., 6.])
    }

    #[test]
    fn elements_and_rows() {
        let t = case("none").input([2, 2], &[0i64, 1, -1, 0]).input([2], &[7f64, 8.]).tensor().unwrap();
        assert_eq!(t.slice::<f64>().unwrap(), [1., 7., 3., 4., 8., 6.]);
        let t = case("add").input([2, 1], &[1i64, 1]).input([2, 2], &[1f64, 2., 3., 4.]).tensor().unwrap();
        assert_eq!(t.slice::<f64>().unwrap(), [1., 2., 7., 10., 5., 6.]);
        let t = case("mul").input([1, 0], &[0i64; 0]).input([1, 3, 2], &[2f64; 6]).tensor().unwrap();
        assert_eq!(t.slice::<f64>().unwrap(), [2., 4., 6., 8., 10., 12.]);
    }

    #[test]
    fn long_rows() {
        let row = 100_000usize;
        let data = vec![1u8; 2 * row];
        let updates: Vec<u8> = (0..2 * row).map(|i| i as u8).collect();
        let t = single(&SCATTER_ND, 11).input([2, row], &data).input([2, 1], &[1i64, 1]).input([2, row], &updates).tensor().unwrap();
        assert_eq!(t.slice::<u8>().unwrap(), [&data[..row], &updates[row..]].concat());
    }

    #[test]
    fn strings_and_impossible_indices() {
        let t = single(&SCATTER_ND, 11).strings([2], &["a", "b"]).input([1, 1], &[0i64]).strings([1], &["c"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "cb");
        assert!(case("none").input([1, 2], &[0i64, 2]).input([1], &[0f64]).tensor().unwrap_err().message().contains("idx=2"));
        assert!(case("none").input([1, 3], &[0i64; 3]).input([1], &[0f64]).tensor().is_err());
        assert!(case("none").input([], &[0i64]).input([], &[0f64]).tensor().is_err());
        assert!(case("none").input([1, 1], &[0i64]).input([2], &[0f64; 2]).tensor().is_err());
    }
}
