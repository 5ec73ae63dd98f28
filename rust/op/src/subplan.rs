//! Running the graphs of a node, as its kernel sees it.

use base::threads::Cancel;
use base::{Result, Value};

/// A planned graph that a kernel runs: a branch, or the body of a loop.
pub trait SubPlan: Send + Sync {
    /// Runs the graph once and gives its outputs. It takes `inputs` and leaves them empty: what nobody else holds, it may change in place.
    ///
    /// # Errors
    /// What the nodes inside say; `Fail` when `cancel` fires.
    fn run(&self, inputs: &mut Vec<Value>, captures: &[Value], cancel: &Cancel) -> Result<Vec<Value>>;
}
