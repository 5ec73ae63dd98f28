//! SampleOp: by which ONNX Runtime shows how an operator is written. It gives back its input.

use base::DType;
use op::body::{Body, Composed};
use op::{OpDef, TypeSet, since};

const NUMBERS: TypeSet = TypeSet::tensors(&[DType::U32, DType::U64, DType::I32, DType::I64, DType::F16, DType::F32, DType::F64]);

/// SampleOp of `com.microsoft`.
pub static SAMPLE_OP: OpDef = OpDef {
    name: "SampleOp",
    versions: &[since(1, "X:T -> Y:T", &[("T", NUMBERS)])],
    load: |_| Ok(Box::new(Composed)),
    body: Some(|node, _| {
        let mut b = Body::of(node);
        let x = b.input(0);
        let y = b.node_like(node, ("", "Identity", 14), &[x], &[], &[]);
        Ok(b.finish(&[y]))
    }),
    ..OpDef::MICROSOFT
};
