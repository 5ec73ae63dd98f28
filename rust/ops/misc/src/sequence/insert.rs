//! SequenceInsert: a sequence with a tensor put in, by default at the end.

use std::sync::Arc;

use base::{Result, Value, ensure};
use op::types::{ANY_V1, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{element, position, take};
use crate::types::SEQUENCES_V1;

const SIGNATURE: &str = "input_sequence:S, tensor:T, position:I? -> output_sequence:S";

/// SequenceInsert of `ai.onnx`.
pub static SEQUENCE_INSERT: OpDef = OpDef {
    name: "SequenceInsert",
    versions: &[since(11, SIGNATURE, &[("T", ANY_V1), ("S", SEQUENCES_V1), ("I", INDEX)])],
    load: |_| Ok(Box::new(SequenceInsert)),
    kernels: Kernels::NONE.stateless::<SequenceInsert>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceInsert;

impl Op for SequenceInsert {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (element, tensor) = (element(cx, 0)?, &cx.input(1)?.ty);
        ensure!(element == *tensor, InvalidGraph, "a {tensor} cannot be put into a sequence of {element}");
        let fact = ir::Fact::of(cx.input(0)?.ty.clone());
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for SequenceInsert {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let len = cx.sequence(0)?.values.len();
        let position = position(cx, 2, len, len as i64, len)?;
        let (mut sequence, tensor) = (take(cx, 0)?, cx.value(1)?);
        // A sequence that somebody else holds too is copied here.
        Arc::make_mut(&mut sequence).values.insert(position, tensor);
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
    fn inserts_at_the_end_or_before_the_one_named() {
        let given = list(&[1., 2.]);
        let insert = || single(&SEQUENCE_INSERT, 11).value(given.clone()).value(floats(&[], &[9.]));
        assert_equal(&insert().run(1).unwrap()[0], &list(&[1., 2., 9.]));
        for (position, expected) in [(0i64, [9., 1., 2.]), (2, [1., 2., 9.]), (-1, [1., 9., 2.]), (-2, [9., 1., 2.])] {
            assert_equal(&insert().input([], &[position]).run(1).unwrap()[0], &list(&expected));
        }
        assert!(insert().input([], &[3i32]).run(1).is_err());
        assert!(insert().input([], &[-3i32]).run(1).is_err());
        assert_equal(&given, &list(&[1., 2.]));
    }

    #[test]
    fn types_must_agree() {
        let e = single(&SEQUENCE_INSERT, 11).value(list(&[1.])).input([], &[1f64]).run(1).unwrap_err();
        assert!(e.detail().contains("a tensor(double) cannot be put into a sequence of tensor(float)"), "{e}");
    }
}
