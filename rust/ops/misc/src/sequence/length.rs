//! SequenceLength: how many elements a sequence has.

use base::{DType, Result, Tensor};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use crate::types::{INT64, SEQUENCES_V1};

/// SequenceLength of `ai.onnx`.
pub static SEQUENCE_LENGTH: OpDef = OpDef {
    name: "SequenceLength",
    versions: &[since(11, "input_sequence:S -> length:I", &[("S", SEQUENCES_V1), ("I", INT64)])],
    load: |_| Ok(Box::new(SequenceLength)),
    kernels: Kernels::NONE.stateless::<SequenceLength>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceLength;

impl Op for SequenceLength {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        // Symbols are sizes, and the length of a sequence is one.
        let len = match &cx.input(0)?.constant {
            Some(value) => value.sequence()?.values.len().into(),
            None => cx.fresh(),
        };
        cx.set(0, Fact::ints(DType::I64, [len], true));
        Ok(())
    }
}

impl Stateless for SequenceLength {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let len = cx.value(0)?.sequence()?.values.len();
        cx.set(0, Tensor::scalar(len as i64)?)
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;
    use crate::control::mock::{floats, sequence};

    #[test]
    fn counts() {
        for n in [0, 3] {
            let list = sequence(vec![floats(&[], &[1.]); n]);
            let out = single(&SEQUENCE_LENGTH, 11).value(list).tensor().unwrap();
            assert_eq!(out.as_ref().scalar::<i64>().unwrap(), n as i64);
        }
    }
}
