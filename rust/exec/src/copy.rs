//! The private operator that copies a value to another memory.

use base::{Memory, Result, bail};
use ir::{Attribute, Fact, Node, OpKey, ValueId};
use op::types::ANY;
use op::{Infer, Mask, Op, OpDef, Prepared, Run, since};

use crate::Target;

/// The domain of operators that only this runtime has.
pub const PRIVATE: &str = "ai.ort_rs";

/// `Copy` of the private domain: the input, in the memory with the number that attribute `memory` says.
pub static COPY: OpDef = OpDef {
    domain: PRIVATE,
    name: "Copy",
    versions: &[since(1, "input:T -> output:T", &[("T", ANY)])],
    load: |a| a.required_int("memory").map(|_| Box::new(Copy) as Box<dyn Op>),
    ..OpDef::ONNX
};

#[derive(Debug)]
struct Copy;

impl Op for Copy {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = Fact { constant: None, ..cx.input(0)?.clone() };
        cx.set(0, fact);
        Ok(())
    }
}

/// A node that copies `from` to `to`, which lies in `memory`.
pub fn copy_node(from: ValueId, to: ValueId, memory: Memory) -> Node {
    let mut node = Node::new(OpKey::new(PRIVATE, COPY.name, 1));
    node.attributes.insert("memory".to_owned(), Attribute::Int(memory.0.into()));
    (node.inputs, node.outputs) = (vec![Some(from)], vec![Some(to)]);
    node
}

/// Whether `node` is such a copy.
pub fn is_copy(node: &Node) -> bool {
    *node.key.domain == *PRIVATE && *node.key.name == *COPY.name
}

/// The memory that `node` copies to, if it is such a copy.
pub(crate) fn copies_to(node: &Node) -> Option<Memory> {
    match node.attributes.get("memory") {
        Some(Attribute::Int(memory)) if is_copy(node) => u16::try_from(*memory).ok().map(Memory),
        _ => None,
    }
}

/// Which side of a copy the host is on.
pub(crate) fn host_side(node: &Node) -> Mask {
    match node.attributes.get("memory") {
        Some(Attribute::Int(0)) => Mask::of(0, u64::MAX),
        _ => Mask::of(u64::MAX, 0),
    }
}

/// Copies by the provider of the device.
pub(crate) struct CopyKernel {
    pub(crate) target: std::sync::Weak<Target>,
}

impl Prepared for CopyKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let Some(target) = self.target.upgrade() else { bail!(Fail, "the session is gone") };
        target.copy(cx.input(0)?, cx.output(0)?)
    }
}
