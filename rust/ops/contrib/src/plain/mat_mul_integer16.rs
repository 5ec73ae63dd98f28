//! MatMulInteger16: the product of matrices of 16-bit integers, in 32 bits.

use base::{DType, Result};
use ir::{Dims, Fact, Graph, Node};
use op::body::{Body, dtype_of};
use op::{Infer, Op, OpDef, TypeSet, since};

const SHORTS: TypeSet = TypeSet::tensors(&[DType::I16, DType::U16]);

/// MatMulInteger16 of `com.microsoft`.
pub static MAT_MUL_INTEGER16: OpDef = OpDef {
    name: "MatMulInteger16",
    versions: &[since(1, "A:T1, B:T2 -> Y:T3", &[("T1", SHORTS), ("T2", SHORTS), ("T3", TypeSet::tensors(&[DType::I32, DType::U32]))])],
    load: |_| Ok(Box::new(MatMulInteger16)),
    body: Some(body),
    ..OpDef::MICROSOFT
};

#[derive(Debug)]
struct MatMulInteger16;

/// Unsigned where both operands are.
fn result(a: DType, b: DType) -> DType {
    if a == DType::U16 && b == DType::U16 { DType::U32 } else { DType::I32 }
}

impl Op for MatMulInteger16 {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = result(cx.dtype(0)?, cx.dtype(1)?);
        cx.tensor(0, dtype, None::<Dims>);
        Ok(())
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let dtype = result(dtype_of(facts, 0)?, dtype_of(facts, 1)?);
    let operands = [b.required(0)?, b.required(1)?].map(|v| b.cast(v, dtype));
    let y = b.node(("MatMul", 13), &operands, &[]);
    Ok(b.finish(&[y]))
}
