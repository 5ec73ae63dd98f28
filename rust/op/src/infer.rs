//! What an operator sees while facts are inferred.

use base::{DType, Result, Type, bail, ensure, error};
use ir::{Dim, Dims, Fact, Node, Symbols};

use crate::Since;

/// How many axes a tensor may have whose shape is computed.
pub const MAX_RANK: usize = 1 << 10;

/// Infers the outputs of the graphs that a node runs.
pub trait InferSubgraph {
    /// The facts of the outputs of subgraph `index` of `node`, when its inputs are `inputs` and its captures `captures`.
    ///
    /// # Errors
    /// What inference inside says.
    fn infer_subgraph(&self, node: &Node, index: usize, inputs: &[Fact], captures: &[&Fact], symbols: &mut Symbols) -> Result<Vec<Fact>>;
}

/// What an operator sees while facts are inferred: the facts of its inputs. It states those of its outputs.
pub struct Infer<'a> {
    node: &'a Node,
    inputs: &'a [Option<&'a Fact>],
    symbols: &'a mut Symbols,
    subgraphs: &'a dyn InferSubgraph,
    outputs: Vec<Option<Fact>>,
    since: Option<&'a Since>,
}

impl<'a> Infer<'a> {
    /// The inference of `node`, whose inputs, then captures, are `inputs`.
    pub fn new(node: &'a Node, inputs: &'a [Option<&'a Fact>], symbols: &'a mut Symbols, subgraphs: &'a dyn InferSubgraph) -> Self {
        let outputs = vec![None; node.outputs.len()];
        Self { node, inputs, symbols, subgraphs, outputs, since: None }
    }

    /// The same for a node whose operator has the signature `since`.
    pub fn with_signature(self, since: Option<&'a Since>) -> Self {
        Self { since, ..self }
    }

    /// States the types of all outputs as the signature has them; their sizes are unknown.
    ///
    /// # Errors
    /// `InvalidGraph` when a type does not follow from the inputs.
    pub fn by_signature(&mut self) -> Result<()> {
        let Some(since) = self.since else { bail!(Fail, "{} has no signature", self.node.key) };
        let types: Vec<Option<&Type>> = self.inputs.iter().take(self.node.inputs.len()).map(|f| f.map(|f| &f.ty)).collect();
        for (i, ty) in since.output_types(&types, self.node.outputs.len()).into_iter().enumerate() {
            match ty {
                Some(ty) => self.set(i, Fact::of(ty)),
                None => ensure!(!self.has_output(i), InvalidGraph, "the type of output {i} does not follow from the inputs"),
            }
        }
        Ok(())
    }

    /// The node, for operators that look into their graphs.
    pub fn node(&self) -> &'a Node {
        self.node
    }

    /// How many inputs the node lists.
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// How many outputs the node lists.
    pub fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether output `i` is asked for.
    pub fn has_output(&self, i: usize) -> bool {
        self.node.output(i).is_some()
    }

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

    /// The element type of input `i`, which is a tensor.
    ///
    /// # Errors
    /// `InvalidGraph` when it is left out or no tensor.
    pub fn dtype(&self, i: usize) -> Result<DType> {
        let fact = self.input(i)?;
        fact.dtype().ok_or_else(|| error!(InvalidGraph, "input {i} must be a tensor, not {}", fact.ty))
    }

    /// The sizes of input `i`, if their number is known.
    ///
    /// # Errors
    /// `InvalidGraph` when it is left out.
    pub fn dims(&self, i: usize) -> Result<Option<&'a [Dim]>> {
        Ok(self.input(i)?.shape.as_deref())
    }

    /// The elements of input `i`, if it is a small integer tensor that is known; numbers or expressions.
    pub fn ints(&self, i: usize) -> Option<&'a [Dim]> {
        self.optional(i)?.value.as_deref()
    }

    /// The elements of input `i`, if it is a small integer tensor and each is a known number.
    pub fn known_ints(&self, i: usize) -> Option<Vec<i64>> {
        self.ints(i)?.iter().map(Dim::known).collect()
    }

    /// A size that only running the node will tell.
    pub fn fresh(&mut self) -> Dim {
        self.symbols.fresh()
    }

    /// Sizes that only running the node will tell, as many as a tensor at hand has.
    pub fn fresh_dims(&mut self, rank: usize) -> Dims {
        (0..rank).map(|_| self.symbols.fresh()).collect()
    }

    /// Sizes that only running the node will tell, as many as the elements of an input: a model may state any number.
    ///
    /// # Errors
    /// `InvalidGraph` when there are more than [`MAX_RANK`].
    pub fn ranked(&mut self, rank: usize) -> Result<Dims> {
        ensure!(rank <= MAX_RANK, InvalidGraph, "a tensor cannot have {rank} axes");
        Ok(self.fresh_dims(rank))
    }

    /// The table of symbols, for [`Fact::join`].
    pub fn symbols(&mut self) -> &mut Symbols {
        self.symbols
    }

    /// States the fact of output `i`.
    pub fn set(&mut self, i: usize, fact: Fact) {
        if let Some(output) = self.outputs.get_mut(i) {
            *output = Some(fact);
        }
    }

    /// States that output `i` is a dense tensor; `dims` is `None` when even its rank is unknown.
    pub fn tensor(&mut self, i: usize, dtype: DType, dims: Option<Dims>) {
        self.set(i, Fact { shape: dims, ..Fact::of(Type::Tensor(dtype)) });
    }

    /// The facts of the outputs of the node's graph `index`, when its inputs are `inputs`.
    ///
    /// # Errors
    /// What inference inside says.
    pub fn subgraph(&mut self, index: usize, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let mut start = self.node.inputs.len();
        start += self.node.subgraphs.iter().take(index).map(|s| s.captures.len()).sum::<usize>();
        let Some(sub) = self.node.subgraphs.get(index) else { bail!(InvalidGraph, "the node has no graph {index}") };
        let captures: Vec<&Fact> = self.inputs.iter().skip(start).take(sub.captures.len()).copied().flatten().collect();
        ensure!(captures.len() == sub.captures.len(), Fail, "captured values without facts");
        self.subgraphs.infer_subgraph(self.node, index, inputs, &captures, self.symbols)
    }

    /// The facts of all outputs.
    ///
    /// # Errors
    /// `Fail` when an output that is asked for was not stated.
    pub fn finish(self) -> Result<Vec<Fact>> {
        let asked = self.node.outputs.iter().zip(self.outputs).enumerate();
        asked
            .map(|(i, (v, fact))| match (fact, v) {
                (Some(fact), _) => Ok(fact),
                (None, None) => Ok(Fact::of(Type::Tensor(DType::F32))),
                (None, Some(_)) => Err(error!(InvalidGraph, "the operator has no output {i}")),
            })
            .collect()
    }
}

/// The sizes that several inputs broadcast to; `None` when a rank is unknown.
///
/// # Errors
/// `Fail` that names the shapes when two sizes disagree.
pub fn broadcast_dims(shapes: &[Option<&[Dim]>]) -> Result<Option<Dims>> {
    let Some(shapes) = shapes.iter().copied().collect::<Option<Vec<&[Dim]>>>() else { return Ok(None) };
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out: Dims = (0..rank).map(|_| Dim::Known(1)).collect();
    for shape in &shapes {
        for (o, d) in out[rank - shape.len()..].iter_mut().zip(*shape) {
            *o = o.broadcast(d).map_err(|_| error!(Fail, "Incompatible dimensions: shapes {shapes:?} do not broadcast"))?;
        }
    }
    Ok(Some(out))
}
