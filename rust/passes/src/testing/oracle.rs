//! The operators as tests have them.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use base::Value;
use exec::Target;
use ir::{Fact, Node, OpKey, Oracle};
use op::{Registry, run_alone};

/// The opset of models in tests that name no other.
pub(crate) const OPSET: u32 = 20;

/// The operators of the workspace.
pub(crate) struct Operators {
    registry: Arc<Registry>,
    operators: exec::Operators,
}

impl Operators {
    /// The operators that a model of opset `opset` has.
    pub(crate) fn new(opset: u32) -> Self {
        let crates = [ops_math::OPS, ops_misc::OPS, ops_nn::OPS, ops_tensor::OPS];
        let registry = Arc::new(Registry::new(crates.into_iter().flatten().copied()).unwrap());
        let target = Arc::new(Target::new(registry.clone(), Vec::new(), ops_nn::channel_block()));
        let opsets = BTreeMap::from([(String::new(), opset)]);
        Self { operators: exec::Operators::new(target).with_opsets(opsets), registry }
    }

    /// The key of operator `name` of `domain` in this opset.
    pub(crate) fn key(&self, domain: &str, name: &str) -> OpKey {
        self.operator(domain, name).unwrap_or_else(|| panic!("no {domain} {name}"))
    }

    /// The outputs of `node` for `inputs`, then captures.
    pub(crate) fn run(&self, node: &Node, inputs: &[Option<Value>]) -> Vec<Value> {
        let facts: Vec<Option<Fact>> = inputs.iter().map(|v| v.clone().map(Fact::constant)).collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        run_alone(&self.registry, node, inputs, &facts, &self.operators, &base::threads::Cancel::new()).unwrap()
    }
}

impl Deref for Operators {
    type Target = exec::Operators;

    fn deref(&self) -> &exec::Operators {
        &self.operators
    }
}
