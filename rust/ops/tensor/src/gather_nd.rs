//! GatherND: rows of `indices` name elements or sub-tensors of `data`, after `batch_dims` axes that both share.

use std::ops::Range;

use base::{Result, Shape, ensure};
use ir::{Dim, Dims};
use op::types::{ANY_V1, ANY_V13};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::indices::Indices;
use crate::movement::write;

const SIGNATURE: &str = "data:T, indices:int64 -> output:T";

/// GatherND of `ai.onnx`.
pub static GATHER_ND: OpDef = OpDef {
    name: "GatherND",
    versions: &[since(11, SIGNATURE, &[("T", ANY_V1)]), since(12, SIGNATURE, &[("T", ANY_V1)]), since(13, SIGNATURE, &[("T", ANY_V13)])],
    load: |a| {
        let batch = if a.since() >= 12 { a.int("batch_dims", 0)? } else { 0 };
        let batch_dims = usize::try_from(batch);
        Ok(Box::new(GatherNd { batch_dims: batch_dims.map_err(|_| base::error!(InvalidGraph, "batch_dims is {batch}"))? }))
    },
    kernels: Kernels::NONE.stateless::<GatherNd>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct GatherNd {
    batch_dims: usize,
}

impl Op for GatherNd {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = match (cx.dims(0)?, cx.dims(1)?) {
            (Some(data), Some(indices)) => self.dims(data, indices)?,
            _ => None,
        };
        cx.tensor(0, dtype, dims);
        Ok(())
    }
}

impl GatherNd {
    fn dims(&self, data: &[Dim], indices: &[Dim]) -> Result<Option<Dims>> {
        let b = self.batch_dims;
        let fits = !data.is_empty() && b < data.len().min(indices.len());
        ensure!(fits, InvalidGraph, "batch_dims {b} is not less than the ranks of data {data:?} and indices {indices:?}");
        for (d, i) in data[..b].iter().zip(&indices[..b]) {
            let same = d.known().zip(i.known()).is_none_or(|(d, i)| d == i);
            ensure!(same, InvalidGraph, "the first {b} axes of data {data:?} and indices {indices:?} differ");
        }
        let (last, outer) = (&indices[indices.len() - 1], &indices[..indices.len() - 1]);
        let Some(depth) = last.known() else { return Ok(None) };
        let named = usize::try_from(depth).ok().map(|k| b + k).filter(|&n| depth > 0 && n <= data.len());
        let Some(named) = named else {
            base::bail!(InvalidGraph, "indices {indices:?} name {depth} axes of data {data:?}, of which {b} are batches")
        };
        Ok(Some(outer.iter().chain(&data[named..]).cloned().collect()))
    }
}

/// How tuples of indices name rows of `data`.
#[derive(Clone, Copy)]
pub(crate) struct Tuples<'a> {
    pub(crate) indices: Indices<'a>,
    /// The axes that a tuple names.
    pub(crate) axes: &'a [usize],
    /// Tuples that one batch has, and rows of `data` that it has.
    pub(crate) batch: (usize, usize),
}

impl Tuples<'_> {
    /// The row that tuple `t` names.
    ///
    /// # Errors
    /// `InvalidArgument` when an index is out of range.
    #[inline]
    pub(crate) fn row(&self, t: usize) -> Result<usize> {
        let mut row = 0;
        for (j, &len) in self.axes.iter().enumerate() {
            row = row * len + self.indices.at(t * self.axes.len() + j, len)?;
        }
        Ok(t / self.batch.0 * self.batch.1 + row)
    }

    fn rows(self, range: Range<usize>) -> impl Iterator<Item = Result<usize>> {
        range.map(move |t| self.row(t))
    }
}

impl Stateless for GatherNd {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (data, indices) = (cx.input(0)?, cx.input(1)?);
        let (dims, index_dims, b) = (data.shape(), indices.shape(), self.batch_dims);
        let fits = b < dims.len().min(index_dims.len()) && dims[..b] == index_dims[..b];
        let shapes = || format!("data {} and indices {}", Shape::from(dims), Shape::from(index_dims));
        ensure!(fits, InvalidArgument, "batch_dims {b} does not suit {}", shapes());
        let (outer, depth) = index_dims.split_at(index_dims.len() - 1);
        let named = b + depth[0];
        ensure!(depth[0] > 0 && named <= dims.len(), InvalidArgument, "tuples of {} are too long for {}", depth[0], shapes());
        let shape: Shape = outer.iter().chain(&dims[named..]).copied().collect();
        let row = dims[named..].iter().product();
        let batch = (outer[b..].iter().product::<usize>().max(1), dims[b..named].iter().product());
        let dtype = data.dtype();
        write(cx, 0, dtype, shape, |cx, out| {
            let data = cx.input(0)?;
            let tuples = Tuples { indices: Indices::of(&cx.input(1)?)?, axes: &data.shape()[b..named], batch };
            out.rows(&data, row, |range| tuples.rows(range))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn elements_rows_and_batches() {
        let data: Vec<i32> = (0..8).collect();
        let case = || single(&GATHER_ND, 13).input([2, 2, 2], &data);
        let t = case().input([2, 3], &[0i64, 0, 1, 1, -1, 0]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[2][..], &[1, 6][..]));
        let t = case().input([1, 2, 1], &[1i64, 0]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[1, 2, 2, 2][..], &[4, 5, 6, 7, 0, 1, 2, 3][..]));
        let t = case().attr("batch_dims", 1).input([2, 1], &[1i64, 0]).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<i32>().unwrap()), (&[2, 2][..], &[2, 3, 4, 5][..]));
    }

    #[test]
    fn impossible_indices() {
        let case = || single(&GATHER_ND, 13).input([2, 2], &[1f32, 2., 3., 4.]);
        assert!(case().input([1, 2], &[0i64, 2]).tensor().unwrap_err().message().contains("idx=2"));
        assert!(case().input([1, 3], &[0i64; 3]).tensor().is_err());
        assert!(case().input([1, 0], &[0i64; 0]).tensor().is_err());
        assert!(case().attr("batch_dims", 2).input([2, 2, 1], &[0i64; 4]).tensor().is_err());
        assert!(case().attr("batch_dims", 1).input([3, 1], &[0i64; 3]).tensor().is_err());
        assert!(single(&GATHER_ND, 12).attr("batch_dims", -1).input([1], &[1u8]).input([1, 1], &[0i64]).tensor().is_err());
    }
}
