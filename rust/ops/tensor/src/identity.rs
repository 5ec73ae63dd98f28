//! Identity: the input, of whatever kind.

use base::{Layout, Result, Type};
use ir::Fact;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Alias, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::movement;
use crate::relabel::relabel;

const SIGNATURE: &str = "input:V -> output:V";
const SEQUENCES: TypeSet = ANY_V1.sequences();
const LISTS: TypeSet = SEQUENCES.or(ANY_V1.or(SEQUENCES).optionals());

/// Identity of `ai.onnx`.
pub static IDENTITY: OpDef = OpDef {
    name: "Identity",
    versions: &[
        since(1, "input:T -> output:T", &[("T", ANY_V1)]),
        since(13, "input:T -> output:T", &[("T", ANY_V13)]),
        since(14, SIGNATURE, &[("V", ANY_V13.or(SEQUENCES))]),
        since(16, SIGNATURE, &[("V", ANY_V13.or(LISTS))]),
        since(19, SIGNATURE, &[("V", ANY_V19.or(LISTS))]),
        since(21, SIGNATURE, &[("V", ANY_V21.or(LISTS))]),
        since(23, SIGNATURE, &[("V", ANY_V23.or(LISTS))]),
        since(24, SIGNATURE, &[("V", ANY_V24.or(LISTS))]),
        since(25, SIGNATURE, &[("V", ANY_V25.or(LISTS))]),
    ],
    load: |_| Ok(Box::new(Identity)),
    kernels: Kernels::NONE.stateless::<Identity>().cuda::<Identity>(),
    alias: Alias::Same,
    strided: Mask::of(1, 0),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Identity;

impl Op for Identity {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        cx.set(0, Fact { layout: Layout::Dense, ..cx.input(0)?.clone() });
        Ok(())
    }
}

impl Stateless for Identity {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        match cx.input(0) {
            Ok(tensor) => {
                let shape = tensor.shape().into();
                relabel(cx, shape)
            }
            Err(_) => {
                let value = cx.take(0)?;
                debug_assert!(!matches!(value.ty(), Type::Tensor(_)));
                cx.set(0, value)
            }
        }
    }
}

impl CudaKernel for Identity {
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
    use base::{DType, Optional, Sequence, Tensor, Value};
    use std::sync::Arc;
    use testkit::{assert_equal, single};

    #[test]
    fn every_kind_of_value() {
        let tensor = Tensor::from_slice([2], &[1f32, f32::NAN]).unwrap();
        let sequence = Value::from(Sequence { element: Type::Tensor(DType::F32), values: vec![tensor.clone().into()] });
        let optional = Value::Optional(Arc::new(Optional { element: Type::Tensor(DType::F32), value: None }));
        for value in [tensor.into(), sequence, optional] {
            let out = single(&IDENTITY, 16).value(value.clone()).run(1).unwrap();
            assert_equal(&out[0], &value);
        }
        let packed = Value::from(Tensor::from_bytes(DType::I4, [3], &[0x21, 0x03]).unwrap());
        assert_equal(&single(&IDENTITY, 25).value(packed.clone()).run(1).unwrap()[0], &packed);
        assert!(single(&IDENTITY, 13).value(packed).run(1).is_err());
    }
}
