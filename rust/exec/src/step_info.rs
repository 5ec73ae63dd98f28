//! What a plan does with each node.

use base::Result;
use ir::NodeId;

use crate::Runner;
use crate::plan::Action;
use crate::storage::Storage;

/// What a plan does with one node.
#[derive(Clone, Debug)]
pub struct StepInfo {
    /// The node.
    pub node: NodeId,
    /// How it is done.
    pub action: Action,
    /// The kernel that was built for it: the path of its type.
    pub kernel: &'static str,
    /// The input over whose memory output 0 is written, if any.
    pub over: Option<usize>,
}

impl Runner {
    /// What the plan does, in its order.
    ///
    /// # Errors
    /// `Fail` when a node has no kernel.
    pub fn steps(&self) -> Result<Vec<StepInfo>> {
        let info = |step: &crate::plan::Step| {
            let storage = step.wires.outputs.first().copied().flatten().map(|s| &self.plan.slots[s as usize].storage);
            let over = match storage {
                Some(Storage::Over(slot)) => step.wires.inputs.iter().position(|s| *s == Some(*slot)),
                _ => None,
            };
            Ok(StepInfo { node: step.node, action: step.action, kernel: self.program.unit(step.node)?.kernel.name(), over })
        };
        self.plan.steps.iter().map(info).collect()
    }
}
