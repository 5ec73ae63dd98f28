//! SequenceAt: one tensor of a sequence.

use base::Result;
use ir::Fact;
use op::types::{ANY_V1, INDEX};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::{element, position};
use crate::types::SEQUENCES_V1;

/// SequenceAt of `ai.onnx`.
pub static SEQUENCE_AT: OpDef = OpDef {
    name: "SequenceAt",
    versions: &[since(11, "input_sequence:S, position:I -> tensor:T", &[("S", SEQUENCES_V1), ("T", ANY_V1), ("I", INDEX)])],
    load: |_| Ok(Box::new(SequenceAt)),
    kernels: Kernels::NONE.stateless::<SequenceAt>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceAt;

impl Op for SequenceAt {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = Fact::of(element(cx, 0)?);
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for SequenceAt {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = cx.value(0)?;
        let values = &value.sequence()?.values;
        let position = position(cx, 1, values.len(), values.len() as i64 - 1, 0)?;
        cx.set(0, values[position].clone())
    }
}

#[cfg(test)]
mod tests {
    use base::Value;
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    fn list() -> Value {
        sequence(vec![floats(&[1], &[1.]), floats(&[2], &[2., 3.])])
    }

    #[test]
    fn counts_from_both_ends() {
        for (position, expected) in [(1, floats(&[2], &[2., 3.])), (-2, floats(&[1], &[1.]))] {
            let out = single(&SEQUENCE_AT, 11).value(list()).input([], &[position]).run(1).unwrap();
            assert_equal(&out[0], &expected);
        }
        let out = single(&SEQUENCE_AT, 28).value(list()).input([1], &[0i32]).run(1).unwrap();
        assert_equal(&out[0], &floats(&[1], &[1.]));
    }

    #[test]
    fn positions_outside_are_errors() {
        for position in [2i64, -3, i64::MIN] {
            let e = single(&SEQUENCE_AT, 11).value(list()).input([], &[position]).run(1).unwrap_err();
            assert!(e.detail().contains(&format!("position {position} is outside [-2, 1] of 2 elements")), "{e}");
        }
        assert!(single(&SEQUENCE_AT, 11).value(sequence(vec![])).input([], &[0i64]).run(1).is_err());
        assert!(single(&SEQUENCE_AT, 11).value(floats(&[], &[1.])).input([], &[0i64]).run(1).is_err());
    }
}
