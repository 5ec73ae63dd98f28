//! What an operator sees while its kernel is built.

use std::sync::Arc;

use base::{DType, Result, Tensor, error};
use ir::{Fact, Node};

use crate::{OpDef, Packed, SubPlan};

/// Plans the graphs that a node runs.
pub trait PlanSubgraph {
    /// A plan of subgraph `index` of `node`, whose captures are `captures`.
    ///
    /// # Errors
    /// What loading its nodes says.
    fn plan_subgraph(&self, node: &Node, index: usize, inputs: &[Fact], captures: &[Fact]) -> Result<Arc<dyn SubPlan>>;
}

/// What an operator sees while its kernel is built: what is known of inputs and outputs.
pub struct Prepare<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its operator.
    pub def: &'a OpDef,
    /// The facts of inputs, then of captures.
    pub inputs: &'a [Option<&'a Fact>],
    /// The facts of outputs.
    pub outputs: &'a [Option<&'a Fact>],
    /// Packed constants that sessions share.
    pub packed: &'a Packed,
    /// Who plans the node's graphs.
    pub subgraphs: &'a dyn PlanSubgraph,
}

impl<'a> Prepare<'a> {
    /// The fact of input `i`, unless it is left out.
    pub fn optional(&self, i: usize) -> Option<&'a Fact> {
        if i < self.node.inputs.len() { self.inputs.get(i).copied().flatten() } else { None }
    }

    /// The fact of input `i`.
    ///
    /// # Errors
    /// `InvalidGraph` when it is left out.
    pub fn input(&self, i: usize) -> Result<&'a Fact> {
        self.optional(i).ok_or_else(|| error!(InvalidGraph, "input {i} is missing"))
    }

    /// The element type of input `i`.
    ///
    /// # Errors
    /// `InvalidGraph` when it is left out or no tensor.
    pub fn dtype(&self, i: usize) -> Result<DType> {
        let fact = self.input(i)?;
        fact.dtype().ok_or_else(|| error!(InvalidGraph, "input {i} must be a tensor, not {}", fact.ty))
    }

    /// Input `i`, if it is a tensor that the model fixes.
    pub fn constant(&self, i: usize) -> Option<&'a Tensor> {
        self.optional(i)?.constant_tensor()
    }

    /// The fact of output `i`, if it is asked for.
    pub fn output(&self, i: usize) -> Option<&'a Fact> {
        self.outputs.get(i).copied().flatten()
    }

    /// A plan of the node's graph `index`, for inputs of which `inputs` is known.
    ///
    /// # Errors
    /// What loading its nodes says.
    pub fn subplan(&self, index: usize, inputs: &[Fact]) -> Result<Arc<dyn SubPlan>> {
        let start = self.node.inputs.len() + self.node.subgraphs.iter().take(index).map(|s| s.captures.len()).sum::<usize>();
        let count = self.node.subgraphs.get(index).map_or(0, |s| s.captures.len());
        let captures: Vec<Fact> = self.inputs.iter().skip(start).take(count).filter_map(|f| f.cloned()).collect();
        self.subgraphs.plan_subgraph(self.node, index, inputs, &captures)
    }

    /// The error for a type without a kernel.
    pub fn no_kernel(&self, dtype: DType) -> base::Error {
        error!(NotImplemented, "Could not find an implementation for {} with type tensor({dtype})", self.node.key)
    }
}
