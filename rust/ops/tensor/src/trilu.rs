//! Trilu: the upper or lower triangle of each matrix, zeros elsewhere.

use base::threads::parallel_chunks_mut;
use base::{Result, Shape, ensure};
use op::types::ANY_V13;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::facts;
use crate::movement::{CHUNK, Output, Region, write};

/// Trilu of `ai.onnx`. What is not kept of strings is empty.
pub static TRILU: OpDef = OpDef {
    name: "Trilu",
    versions: &[since(14, "input:T, k:int64? -> output:T", &[("T", ANY_V13)])],
    load: |a| Ok(Box::new(Trilu { upper: a.flag("upper", true)? })),
    kernels: Kernels::NONE.stateless::<Trilu>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Trilu {
    upper: bool,
}

impl Op for Trilu {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims = cx.dims(0)?;
        ensure!(dims.is_none_or(|d| d.len() >= 2), InvalidGraph, "the input must be matrices, not of shape {dims:?}");
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims.into(), None),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

/// The triangle that is kept of matrices.
#[derive(Clone, Copy)]
struct Triangle {
    upper: bool,
    /// The diagonal it begins or ends with.
    k: i64,
    rows: usize,
    columns: usize,
}

impl Triangle {
    /// The columns that are kept of row `row`, counted through all matrices.
    fn kept(&self, row: usize) -> std::ops::Range<usize> {
        let diagonal = ((row % self.rows) as i64).saturating_add(self.k);
        let clamped = |n: i64| n.clamp(0, self.columns as i64) as usize;
        if self.upper { clamped(diagonal)..self.columns } else { 0..clamped(diagonal.saturating_add(1)) }
    }

    /// Copies rows as bytes.
    fn copy(self, from: &[u8], to: &mut [u8], size: usize) {
        let bytes = self.columns * size;
        let per_chunk = (CHUNK / bytes).max(1);
        parallel_chunks_mut(to, per_chunk * bytes, &|chunk, part| {
            for (i, to) in part.chunks_exact_mut(bytes).enumerate() {
                let row = chunk * per_chunk + i;
                let kept = self.kept(row);
                let (start, end) = (kept.start * size, kept.end * size);
                to[..start].fill(0);
                to[start..end].copy_from_slice(&from[row * bytes..][start..end]);
                to[end..].fill(0);
            }
        });
    }

    /// Copies rows of anything else.
    fn copy_any<'a>(self, input: &base::TensorRef<'a>, out: &mut Output<'a>) -> Result<()> {
        out.zero(&out.whole())?;
        let rows = Region::dense(&[input.len() / self.columns, self.columns]);
        for row in 0..input.len() / self.columns {
            let kept = self.kept(row);
            let part = rows.clone().slice(0, row, 1, 1)?.slice(1, kept.start, 1, kept.len())?;
            out.copy(input, &part, &part)?;
        }
        Ok(())
    }
}

impl Stateless for Trilu {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let k = cx.optional(1)?.map_or(Ok(0), |k| k.scalar::<i64>())?;
        let input = cx.input(0)?;
        let (dtype, shape) = (input.dtype(), Shape::from(input.shape()));
        let [.., rows, columns] = *shape else { base::bail!(InvalidArgument, "the input must be matrices, not of shape {shape}") };
        let triangle = Triangle { upper: self.upper, k, rows, columns };
        write(cx, 0, dtype, shape, |cx, out| {
            let input = cx.input(0)?;
            if input.is_empty() {
                return Ok(());
            }
            match out.bytes() {
                Some((to, size)) => triangle.copy(input.bytes()?, to, size),
                None => triangle.copy_any(&input, out)?,
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn case(upper: i64, k: i64) -> Vec<i32> {
        let data: Vec<i32> = (1..=12).collect();
        let t = single(&TRILU, 14).attr("upper", upper).input([2, 2, 3], &data).input([], &[k]).tensor().unwrap();
        t.slice::<i32>().unwrap().to_vec()
    }

    #[test]
    fn both_triangles() {
        assert_eq!(case(1, 0), [1, 2, 3, 0, 5, 6, 7, 8, 9, 0, 11, 12]);
        assert_eq!(case(0, -1), [0, 0, 0, 4, 0, 0, 0, 0, 0, 10, 0, 0]);
        assert_eq!(case(1, i64::MAX), [0; 12]);
        assert_eq!(case(0, i64::MAX), case(1, i64::MIN));
        assert_eq!(case(1, 2), [0, 0, 3, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn strings_empty_and_vectors() {
        let t = single(&TRILU, 14).strings([2, 2], &["a", "b", "c", "d"]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<Vec<_>>(), ["a", "b", "", "d"]);
        assert_eq!(&**single(&TRILU, 14).input([0, 2], &[0u8; 0]).tensor().unwrap().shape(), [0, 2]);
        assert!(single(&TRILU, 14).input([2], &[0u8; 2]).tensor().is_err());
    }
}
