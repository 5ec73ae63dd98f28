//! SequenceConstruct: a sequence of the inputs.

use base::{Result, Sequence, Type, Value};
use ir::Fact;
use op::types::ANY_V1;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::of;
use crate::types::SEQUENCES_V1;

/// SequenceConstruct of `ai.onnx`.
pub static SEQUENCE_CONSTRUCT: OpDef = OpDef {
    name: "SequenceConstruct",
    versions: &[since(11, "inputs:T* -> output_sequence:S", &[("T", ANY_V1), ("S", SEQUENCES_V1)])],
    load: |_| Ok(Box::new(SequenceConstruct)),
    kernels: Kernels::NONE.stateless::<SequenceConstruct>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceConstruct;

impl Op for SequenceConstruct {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        cx.set(0, Fact::of(of(Type::Tensor(dtype))));
        Ok(())
    }
}

impl Stateless for SequenceConstruct {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let values = (0..cx.input_count()).map(|i| cx.value(i)).collect::<Result<Vec<Value>>>()?;
        let element = cx.value(0)?.ty();
        cx.set(0, Sequence { element, values })
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    #[test]
    fn shapes_may_differ_and_types_may_not() {
        let (a, b) = (floats(&[2, 1], &[1., 2.]), floats(&[], &[3.]));
        let out = single(&SEQUENCE_CONSTRUCT, 11).value(a.clone()).value(b.clone()).run(1).unwrap();
        assert_equal(&out[0], &sequence(vec![a, b]));
        assert!(single(&SEQUENCE_CONSTRUCT, 11).input([1], &[1f32]).input([1], &[1f64]).run(1).is_err());
        assert!(single(&SEQUENCE_CONSTRUCT, 11).run(1).is_err());
    }
}
