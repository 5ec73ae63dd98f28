//! SequenceErase: a sequence without one of its elements, by default the last.

use std::sync::Arc;

use base::{Result, Value, ensure};
use op::types::INDEX;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{position, take};
use crate::types::SEQUENCES_V1;

/// SequenceErase of `ai.onnx`.
pub static SEQUENCE_ERASE: OpDef = OpDef {
    name: "SequenceErase",
    versions: &[since(11, "input_sequence:S, position:I? -> output_sequence:S", &[("S", SEQUENCES_V1), ("I", INDEX)])],
    load: |_| Ok(Box::new(SequenceErase)),
    kernels: Kernels::NONE.stateless::<SequenceErase>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceErase;

impl Op for SequenceErase {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = ir::Fact::of(cx.input(0)?.ty.clone());
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for SequenceErase {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let len = cx.sequence(0)?.values.len();
        ensure!(len > 0, InvalidArgument, "an empty sequence has nothing to erase");
        let position = position(cx, 1, len, len as i64 - 1, len - 1)?;
        let mut sequence = take(cx, 0)?;
        // A sequence that somebody else holds too is copied here.
        Arc::make_mut(&mut sequence).values.remove(position);
        cx.set(0, Value::Sequence(sequence))
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    fn list(v: &[f32]) -> Value {
        sequence(v.iter().map(|x| floats(&[], &[*x])).collect())
    }

    #[test]
    fn erases_the_last_or_the_one_named() {
        let out = single(&SEQUENCE_ERASE, 11).value(list(&[1., 2., 3.])).run(1).unwrap();
        assert_equal(&out[0], &list(&[1., 2.]));
        let out = single(&SEQUENCE_ERASE, 11).value(list(&[1., 2., 3.])).input([], &[-3i64]).run(1).unwrap();
        assert_equal(&out[0], &list(&[2., 3.]));
        assert!(single(&SEQUENCE_ERASE, 11).value(list(&[1.])).input([], &[1i64]).run(1).is_err());
        assert!(single(&SEQUENCE_ERASE, 11).value(list(&[])).run(1).is_err());
    }
}
