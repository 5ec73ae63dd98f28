//! The graph of a node as a program of its own.

use std::sync::Arc;

use base::threads::Cancel;
use base::{Result, Value};
use ir::{Facts, Graph};
use op::SubPlan;

use crate::{Program, Runner, Target};

/// The graph of a node, planned for all its outputs.
pub struct SubProgram {
    runner: Runner,
}

impl SubProgram {
    /// Builds the kernels of `graph`, whose values have `facts`, and plans it.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn new(target: Arc<Target>, graph: Graph, facts: Facts) -> Result<Self> {
        let outputs = graph.outputs.clone();
        Ok(Self { runner: Runner::of_subgraph(Arc::new(Program::new(target, graph, facts)?), &outputs)? })
    }
}

impl SubPlan for SubProgram {
    fn run(&self, inputs: &mut Vec<Value>, captures: &[Value], cancel: &Cancel) -> Result<Vec<Value>> {
        self.runner.run(inputs.drain(..).chain(captures.iter().cloned()), cancel)
    }
}
