//! Compress: the slices along `axis`, or the elements, that a condition keeps.

use base::threads::{paced, pieces};
use base::{Result, Shape, axis_index};
use ir::{Dim, Dims};
use op::types::{ANY_V1, ANY_V13, BOOL};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use crate::facts;
use crate::movement::write;
use crate::scratch::words;

const SIGNATURE: &str = "input:T, condition:T1 -> output:T";

/// Compress of `ai.onnx`. What lies beyond the condition is dropped, and so is what the condition has beyond the axis.
pub static COMPRESS: OpDef = OpDef {
    name: "Compress",
    versions: &[
        since(9, SIGNATURE, &[("T", ANY_V1), ("T1", BOOL)]),
        since(11, SIGNATURE, &[("T", ANY_V1), ("T1", BOOL)]),
        since(28, SIGNATURE, &[("T", ANY_V13), ("T1", BOOL)]),
    ],
    load: |a| Ok(Box::new(Compress { axis: a.opt_int("axis")? })),
    kernels: Kernels::NONE.cpu::<Compress>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Compress {
    /// The axis of the slices; single elements of the flat input if not given.
    axis: Option<i64>,
}

impl Op for Compress {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Option<Dims> = match (self.axis, cx.dims(0)?) {
            (None, Some(dims)) => Some([facts::product(dims)].into_iter().collect()),
            (None, None) => Some(cx.fresh_dims(1)),
            (Some(_), dims) => dims.map(Into::into),
        };
        let Some(mut dims) = dims else {
            cx.tensor(0, dtype, None);
            return Ok(());
        };
        let axis = facts::axis(self.axis.unwrap_or(0), dims.len())?;
        dims[axis] = match (cx.known_ints(1), dims[axis].size()) {
            (Some(kept), Some(len)) => Dim::from(kept.iter().take(len).filter(|&&k| k != 0).count()),
            _ => cx.fresh(),
        };
        cx.tensor(0, dtype, Some(dims));
        Ok(())
    }
}

/// Elements between checkpoints.
const PIECE: usize = 1 << 16;

impl CpuKernel for Compress {
    fn prepare(&self, _: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        Ok(Box::new(self.clone()))
    }
}

impl Prepared for Compress {
    /// Room for the number of each slice that is kept.
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        sizes.input(1).map_or(0, |condition| condition.iter().product::<usize>() * size_of::<i64>())
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let input = cx.input(0)?;
        let flat = [input.len()];
        let dims = if self.axis.is_some() { input.shape() } else { &flat };
        let axis = axis_index(self.axis.unwrap_or(0), dims.len())?;
        let (len, row, dtype) = (dims[axis], dims[axis + 1..].iter().product(), input.dtype());
        let condition = cx.input(1)?.slice::<bool>()?;
        let condition = &condition[..len.min(condition.len())];
        let count = pieces(condition.len(), PIECE).map(|piece| condition[piece].iter().filter(|k| **k).count()).sum();
        let mut shape = Shape::from(dims);
        shape.dims_mut()[axis] = count;
        write(cx, 0, dtype, shape, |cx, out| {
            let mut heap = Vec::new();
            let kept = words(cx, count, &mut heap)?;
            let chosen = paced(cx.input(1)?.slice::<bool>()?.iter().take(len).zip(0i64..), 2).filter(|(k, _)| **k);
            kept.iter_mut().zip(chosen).for_each(|(slot, (_, i))| *slot = i);
            let kept: &[i64] = kept;
            let each = count.max(1);
            out.rows(&cx.input(0)?, row, |range| range.map(|i| Ok(i / each * len + kept[i % each] as usize)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn slices_and_elements() {
        let data: Vec<u16> = (1..=6).collect();
        let case = |keep: &[bool]| single(&COMPRESS, 11).input([3, 2], &data).input([keep.len()], keep);
        let t = case(&[false, true, true]).attr("axis", 0).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<u16>().unwrap()), (&[2, 2][..], &[3, 4, 5, 6][..]));
        let t = case(&[false, true]).attr("axis", -1).tensor().unwrap();
        assert_eq!((&**t.shape(), t.slice::<u16>().unwrap()), (&[3, 1][..], &[2, 4, 6][..]));
        assert_eq!(case(&[true, false, false, false, true]).tensor().unwrap().slice::<u16>().unwrap(), [1, 5]);
        assert_eq!(case(&[false]).tensor().unwrap().slice::<u16>().unwrap(), []);
        assert_eq!(case(&[true; 9]).tensor().unwrap().slice::<u16>().unwrap(), data);
        assert!(case(&[true]).attr("axis", 2).tensor().is_err());
    }

    #[test]
    fn strings() {
        let t = single(&COMPRESS, 9).strings([3], &["a", "b", "c"]).input([3], &[true, false, true]).tensor().unwrap();
        assert_eq!(t.as_ref().strings().unwrap().iter().collect::<String>(), "ac");
    }
}
