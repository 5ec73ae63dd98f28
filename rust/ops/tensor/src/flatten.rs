//! Flatten: a matrix of the axes before `axis` by those from it on.

use base::{Result, Shape, ensure};
use ir::Dims;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V21, ANY_V23, ANY_V24, ANY_V25, FLOATS_V1};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, since};

use crate::facts::{self, product};
use crate::movement;
use crate::relabel::relabel;

const SIGNATURE: &str = "input:T -> output:T";

/// Flatten of `ai.onnx`.
pub static FLATTEN: OpDef = OpDef {
    name: "Flatten",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(9, SIGNATURE, &[("T", ANY_V1)]),
        since(11, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| Ok(Box::new(Flatten { axis: a.int("axis", 1)? })),
    kernels: Kernels::NONE.stateless::<Flatten>().cuda::<Flatten>(),
    alias: Alias::Same,
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Flatten {
    axis: i64,
}

impl Flatten {
    /// How many axes become rows: unlike elsewhere, `axis` may be the rank itself.
    fn rows(&self, rank: usize) -> Result<usize> {
        let r = rank as i64;
        ensure!(
            -r <= self.axis && self.axis <= r,
            InvalidGraph,
            "axis {} is outside [-{rank}, {rank}] of a tensor of rank {rank}",
            self.axis
        );
        Ok(if self.axis < 0 { (self.axis + r) as usize } else { self.axis as usize })
    }
}

impl Op for Flatten {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let dims: Dims = match cx.dims(0)? {
            Some(dims) => {
                let (rows, columns) = dims.split_at(self.rows(dims.len())?);
                [product(rows), product(columns)].into_iter().collect()
            }
            None => cx.fresh_dims(2),
        };
        facts::state(cx, 0, dtype, dims, cx.input(0)?.value.clone());
        Ok(())
    }
}

impl Stateless for Flatten {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let dims = cx.input(0)?.shape();
        let (rows, columns) = dims.split_at(self.rows(dims.len())?);
        let shape = Shape::from([rows.iter().product(), columns.iter().product()]);
        relabel(cx, shape)
    }
}

impl CudaKernel for Flatten {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        movement::cuda::movable(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        cx.relabel()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    fn flattened(dims: &[usize], axis: i64) -> Result<Vec<usize>> {
        let data = vec![0i8; dims.iter().product()];
        single(&FLATTEN, 13).attr("axis", axis).input(dims, &data).tensor().map(|t| t.shape().to_vec())
    }

    #[test]
    fn every_axis() {
        assert_eq!(flattened(&[2, 3, 4], 0).unwrap(), [1, 24]);
        assert_eq!(flattened(&[2, 3, 4], 2).unwrap(), [6, 4]);
        assert_eq!(flattened(&[2, 3, 4], 3).unwrap(), [24, 1]);
        assert_eq!(flattened(&[2, 3, 4], -1).unwrap(), [6, 4]);
        assert_eq!(flattened(&[], 0).unwrap(), [1, 1]);
        assert_eq!(flattened(&[0, 3], 1).unwrap(), [0, 3]);
        assert!(flattened(&[2], 2).is_err() && flattened(&[2], -2).is_err());
    }
}
