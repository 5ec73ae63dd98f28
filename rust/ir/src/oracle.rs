//! What passes ask of the operators, without knowing them.

use base::{Result, Value};

use crate::{Fact, Facts, Graph, Layouts, Node, OpKey, Symbols};

/// Answers about operators for whoever rewrites graphs.
///
/// With the default answers passes add no operators that the graph did not have.
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

    /// Operator `name` of `domain` in the version that the opsets of the model have; `None` when they have none, or nobody knows it.
    /// A domain that the model does not import counts as imported in its newest version, but for `ai.onnx`.
    fn operator(&self, _domain: &str, _name: &str) -> Option<OpKey> {
        None
    }

    /// Whether some kernel runs `node`, whose inputs have the facts `inputs`: passes make no others.
    fn runs(&self, _node: &Node, _inputs: &[Option<&Fact>]) -> bool {
        true
    }

    /// How `node`, whose inputs have the facts `inputs`, treats blocked channels.
    fn layouts(&self, _node: &Node, _inputs: &[Option<&Fact>]) -> Layouts {
        Layouts::Plain
    }

    /// The number of channels that kernels of this machine like in a block; 0 when they do not work on blocks.
    fn block(&self) -> u8 {
        0
    }

    /// For each graph that `node` runs, what is known of its values whatever `node` runs it with: in every turn of a loop, for every
    /// element of a sequence. `inputs` holds the facts of the inputs, then of the captures. `None` when that cannot be said.
    ///
    /// # Errors
    /// What inference inside says.
    fn inside(&self, _node: &Node, _inputs: &[Option<&Fact>]) -> Result<Option<Vec<Facts>>> {
        Ok(None)
    }
}
