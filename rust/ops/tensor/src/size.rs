//! Size: the number of elements of a tensor.

use base::{DType, Result, Shape};
use ir::Fact;
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Infer, Kernels, Mask, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::facts::product;

const SIGNATURE: &str = "data:T -> size:T1";
const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);

/// Size of `ai.onnx`.
pub static SIZE: OpDef = OpDef {
    name: "Size",
    versions: &[
        since(1, SIGNATURE, &[("T", ANY_V1), ("T1", INT64)]),
        since(13, SIGNATURE, &[("T", ANY_V13), ("T1", INT64)]),
        since(19, SIGNATURE, &[("T", ANY_V19), ("T1", INT64)]),
        since(21, SIGNATURE, &[("T", ANY_V21), ("T1", INT64)]),
        since(23, SIGNATURE, &[("T", ANY_V23), ("T1", INT64)]),
        since(24, SIGNATURE, &[("T", ANY_V24), ("T1", INT64)]),
        since(25, SIGNATURE, &[("T", ANY_V25), ("T1", INT64)]),
    ],
    load: |_| Ok(Box::new(Size)),
    kernels: Kernels::NONE.stateless::<Size>(),
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Size;

impl Op for Size {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = match &cx.input(0)?.shape {
            Some(dims) => Fact::ints(DType::I64, [product(dims)], true),
            None => Fact::tensor(DType::I64, []),
        };
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for Size {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        cx.allocate(0, DType::I64, Shape::scalar())?;
        let size = cx.input(0)?.len() as i64;
        cx.output(0)?.slice::<i64>()?.fill(size);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::single;

    #[test]
    fn counts() {
        for (dims, size) in [(&[2usize, 3][..], 6i64), (&[], 1), (&[4, 0], 0)] {
            let t = single(&SIZE, 13).input(dims, &vec![0u32; size as usize]).tensor().unwrap();
            assert_eq!((t.shape().len(), t.slice::<i64>().unwrap()), (0, &[size][..]));
        }
    }
}
