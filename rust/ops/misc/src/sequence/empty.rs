//! SequenceEmpty: a sequence without elements.

use base::{DType, Result, Sequence, Type, ensure};
use ir::Fact;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::of;
use crate::types::SEQUENCES_V1;

/// SequenceEmpty of `ai.onnx`.
pub static SEQUENCE_EMPTY: OpDef = OpDef {
    name: "SequenceEmpty",
    versions: &[since(11, "-> output:S", &[("S", SEQUENCES_V1)])],
    load: |a| {
        let element = Type::Tensor(a.opt_dtype("dtype")?.unwrap_or(DType::F32));
        ensure!(SEQUENCES_V1.contains(&of(element.clone())), InvalidGraph, "there are no sequences of {element}");
        Ok(Box::new(SequenceEmpty { element }))
    },
    kernels: Kernels::NONE.stateless::<SequenceEmpty>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceEmpty {
    element: Type,
}

impl Op for SequenceEmpty {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        cx.set(0, Fact::of(of(self.element.clone())));
        Ok(())
    }
}

impl Stateless for SequenceEmpty {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        cx.set(0, Sequence { element: self.element.clone(), values: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use testkit::single;

    use super::*;

    #[test]
    fn has_the_type_it_was_given() {
        let ty = |s: testkit::Single| s.run(1).unwrap().remove(0).ty().to_string();
        assert_eq!(ty(single(&SEQUENCE_EMPTY, 11)), "seq(tensor(float))");
        assert_eq!(ty(single(&SEQUENCE_EMPTY, 11).attr("dtype", 8)), "seq(tensor(string))");
        assert!(single(&SEQUENCE_EMPTY, 11).attr("dtype", 16).run(1).is_err());
    }
}
