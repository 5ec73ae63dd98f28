//! What passes ask of the operators, without knowing them.

use base::{Result, Value};

use crate::{Fact, Graph, Node, Symbols};

/// Answers about operators for whoever rewrites graphs.
pub trait Oracle {
    /// What is known of the outputs of `node`, given what is known of its inputs (`None` for one left out).
    ///
    /// # Errors
    /// `InvalidGraph` and others when the operator refuses its inputs or attributes.
    fn infer(&self, node: &Node, inputs: &[Option<&Fact>], symbols: &mut Symbols) -> Result<Vec<Fact>>;

    /// The outputs of `node` for constant `inputs`; `None` when it cannot be run ahead (random numbers, no kernel, too large).
    ///
    /// # Errors
    /// What the kernel says.
    fn eval(&self, node: &Node, inputs: &[Option<Value>]) -> Result<Option<Vec<Value>>>;

    /// `node` in terms of standard operators, for whoever saves or runs a graph elsewhere; `None` when it has no body.
    /// The inputs and outputs of the graph are those of the node, in order.
    ///
    /// # Errors
    /// What the operator says of its attributes.
    fn body(&self, node: &Node, inputs: &[Option<&Fact>]) -> Result<Option<Graph>>;

    /// Whether `node` gives the same outputs for the same inputs.
    fn is_pure(&self, node: &Node) -> bool;
}
