//! A model as nodes and values.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base::{Result, SparseTensor, Tensor, Type, Value, error};

use crate::{Dims, ValueList};

/// The number of a value in its [`Graph`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(u32);

/// The number of a node in its [`Graph`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(u32);

impl ValueId {
    /// The number, for tables by value.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl NodeId {
    /// The number, for tables by node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Which operator a node is: its domain, its name, and the opset version that last changed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpKey {
    /// The domain; empty for `ai.onnx`.
    pub domain: Arc<str>,
    /// The operator's name.
    pub name: Arc<str>,
    /// The opset version since which the operator is as it is here.
    pub since: u32,
}

impl OpKey {
    /// The operator `name` of `domain` as it is since opset `since`.
    pub fn new(domain: &str, name: &str, since: u32) -> Self {
        Self { domain: domain.into(), name: name.into(), since }
    }
}

impl fmt::Display for OpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.domain.is_empty() {
            write!(f, "{}.", self.domain)?;
        }
        write!(f, "{}-{}", self.name, self.since)
    }
}

/// An attribute of a node.
#[allow(missing_docs)] // The variants are those of `AttributeProto`.
#[derive(Clone, Debug)]
pub enum Attribute {
    Int(i64),
    Float(f32),
    String(Arc<[u8]>),
    Tensor(Tensor),
    Sparse(Arc<SparseTensor>),
    Type(Type, Option<Dims>),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Strings(Vec<Arc<[u8]>>),
    Tensors(Vec<Tensor>),
    Types(Vec<Type>),
}

impl Attribute {
    /// What kind of attribute it is, as ONNX calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Int(_) => "INT",
            Self::Float(_) => "FLOAT",
            Self::String(_) => "STRING",
            Self::Tensor(_) => "TENSOR",
            Self::Sparse(_) => "SPARSE_TENSOR",
            Self::Type(..) => "TYPE_PROTO",
            Self::Ints(_) => "INTS",
            Self::Floats(_) => "FLOATS",
            Self::Strings(_) => "STRINGS",
            Self::Tensors(_) => "TENSORS",
            Self::Types(_) => "TYPE_PROTOS",
        }
    }
}

impl From<&str> for Attribute {
    fn from(s: &str) -> Self {
        Self::String(s.as_bytes().into())
    }
}

impl From<i64> for Attribute {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<f32> for Attribute {
    fn from(x: f32) -> Self {
        Self::Float(x)
    }
}

impl From<Vec<i64>> for Attribute {
    fn from(v: Vec<i64>) -> Self {
        Self::Ints(v)
    }
}

/// Attributes by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// A graph that a node runs, such as a branch of `If`.
#[derive(Clone, Debug)]
pub struct Subgraph {
    /// The attribute that holds it.
    pub attribute: String,
    /// The graph itself; it has its own values.
    pub graph: Arc<Graph>,
    /// The values of the outer graph that `graph.captures` stand for, in the same order.
    pub captures: Vec<ValueId>,
}

/// A function of the model: a graph with attribute parameters.
#[derive(Clone, Debug)]
pub struct Function {
    /// Its domain, name and overload.
    pub id: (Arc<str>, Arc<str>, Arc<str>),
    /// The body; its inputs and outputs are the function's.
    pub body: Graph,
}

/// One application of an operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Which operator.
    pub key: OpKey,
    /// The node's name in the model; may be empty.
    pub name: String,
    /// What it reads; `None` for an optional input left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What it writes; `None` for an optional output left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Its attributes, but for graphs.
    pub attributes: Attributes,
    /// The graphs it runs.
    pub subgraphs: Vec<Subgraph>,
    /// The function of the model it calls, when it is no operator.
    pub function: Option<Arc<Function>>,
    /// The model's own nodes that this node stands for: `(operator, name)`.
    pub origins: Vec<(Arc<str>, Arc<str>)>,
    /// The name of the provider that runs it, once placed.
    pub provider: Option<Arc<str>>,
    /// What the registry made of key and attributes; filled when first asked for.
    pub loaded: Loaded,
}

/// A cache for what the registry makes of a node. Cloning a node keeps it.
#[derive(Clone, Default)]
pub struct Loaded(pub OnceLock<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "loaded" } else { "not loaded" })
    }
}

impl Node {
    /// A node of operator `key` without inputs, outputs and attributes.
    pub fn new(key: OpKey) -> Self {
        Self {
            key,
            name: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            attributes: Attributes::new(),
            subgraphs: Vec::new(),
            function: None,
            origins: Vec::new(),
            provider: None,
            loaded: Loaded::default(),
        }
    }

    /// Every value the node depends on: its inputs, then what its graphs capture.
    pub fn reads(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs.iter().flatten().chain(self.subgraphs.iter().flat_map(|s| &s.captures)).copied()
    }

    /// Input `i`, if it is given.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Output `i`, if it is given.
    pub fn output(&self, i: usize) -> Option<ValueId> {
        self.outputs.get(i).copied().flatten()
    }

    /// Whether the node is operator `name` of domain `ai.onnx`.
    pub fn is(&self, name: &str) -> bool {
        self.key.domain.is_empty() && *self.key.name == *name
    }
}

/// A value: what a node writes, an input, or a constant.
#[derive(Clone, Debug)]
pub struct ValueInfo {
    /// Its name; empty if it has none in the model.
    pub name: Arc<str>,
    /// The node that writes it, and as which output.
    pub producer: Option<(NodeId, usize)>,
    /// The value itself, if the model fixes it. For an input of the graph, its default.
    pub constant: Option<Value>,
    uses: Vec<NodeId>,
}

/// Nodes and the values between them.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The graph's name.
    pub name: String,
    /// What a caller gives.
    pub inputs: ValueList,
    /// What a caller gets.
    pub outputs: ValueList,
    /// The values that stand for values of the graph around.
    pub captures: ValueList,
    nodes: Vec<Option<Node>>,
    values: Vec<ValueInfo>,
}

impl Graph {
    /// Adds a value called `name`.
    pub fn add_value(&mut self, name: &str) -> ValueId {
        self.values.push(ValueInfo { name: name.into(), producer: None, constant: None, uses: Vec::new() });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Adds a value that the model fixes.
    pub fn add_constant(&mut self, name: &str, value: Value) -> ValueId {
        let id = self.add_value(name);
        self.values[id.index()].constant = Some(value);
        id
    }

    /// Adds `node`, whose inputs and outputs are values of this graph.
    pub fn add_node(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        for (i, output) in node.outputs.iter().enumerate() {
            if let Some(v) = output {
                self.values[v.index()].producer = Some((id, i));
            }
        }
        for v in node.reads() {
            self.values[v.index()].uses.push(id);
        }
        self.nodes.push(Some(node));
        id
    }

    /// Removes node `id`; its outputs lose their producer.
    pub fn remove_node(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.get_mut(id.index())?.take()?;
        for v in node.reads() {
            let uses = &mut self.values[v.index()].uses;
            if let Some(i) = uses.iter().position(|&n| n == id) {
                uses.swap_remove(i);
            }
        }
        for v in node.outputs.iter().flatten() {
            self.values[v.index()].producer = None;
        }
        Some(node)
    }

    /// Makes everything that reads `old` read `new`: nodes, what graphs capture, and the outputs of this graph.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        for id in std::mem::take(&mut self.values[old.index()].uses) {
            self.values[new.index()].uses.push(id);
            let Some(node) = self.nodes[id.index()].as_mut() else { continue };
            let inputs = node.inputs.iter_mut().flatten();
            // `uses` holds a node once for each of its reads, so one read is moved at a time.
            let mut reads = inputs.chain(node.subgraphs.iter_mut().flat_map(|s| &mut s.captures));
            if let Some(read) = reads.find(|v| **v == old) {
                *read = new;
            }
        }
        self.outputs.replace(old, new);
    }

    /// Makes input `i` of node `id`, which is given, be `new`.
    pub fn set_input(&mut self, id: NodeId, i: usize, new: ValueId) {
        let Some(node) = self.nodes[id.index()].as_mut() else { return };
        if let Some(old) = node.inputs[i].replace(new) {
            self.move_use(id, old, new);
        }
    }

    /// Makes the graphs of node `id` capture `new` wherever they capture `old`.
    pub fn set_capture(&mut self, id: NodeId, old: ValueId, new: ValueId) {
        let Some(node) = self.nodes[id.index()].as_mut() else { return };
        let captures = node.subgraphs.iter_mut().flat_map(|s| &mut s.captures).filter(|v| **v == old);
        let moved = captures.map(|v| *v = new).count();
        (0..moved).for_each(|_| self.move_use(id, old, new));
    }

    fn move_use(&mut self, id: NodeId, old: ValueId, new: ValueId) {
        let uses = &mut self.values[old.index()].uses;
        if let Some(place) = uses.iter().position(|n| *n == id) {
            uses.swap_remove(place);
        }
        self.values[new.index()].uses.push(id);
    }

    /// Node `id`.
    ///
    /// # Panics
    /// If it was removed.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes[id.index()].as_ref().expect("the node was removed")
    }

    /// Node `id`, if it was not removed.
    pub fn get_node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())?.as_ref()
    }

    /// Node `id`, to change anything but its inputs and outputs.
    ///
    /// # Panics
    /// If it was removed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id.index()].as_mut().expect("the node was removed")
    }

    /// The nodes, in the order they were added.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(i, n)| Some((NodeId(i as u32), n.as_ref()?)))
    }

    /// One more than the largest node number, for tables by node.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The values, in the order they were added.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &ValueInfo)> {
        self.values.iter().enumerate().map(|(i, v)| (ValueId(i as u32), v))
    }

    /// How many values there are, for tables by value.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Value `id`.
    pub fn value(&self, id: ValueId) -> &ValueInfo {
        &self.values[id.index()]
    }

    /// Value `id`, to change it.
    pub fn value_mut(&mut self, id: ValueId) -> &mut ValueInfo {
        &mut self.values[id.index()]
    }

    /// The value called `name`, if there is one.
    pub fn value_named(&self, name: &str) -> Option<ValueId> {
        self.values().find(|(_, v)| *v.name == *name).map(|(id, _)| id)
    }

    /// The nodes that read `value`, once for each read.
    pub fn uses(&self, value: ValueId) -> &[NodeId] {
        &self.values[value.index()].uses
    }

    /// Whether a caller gets `value`.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.outputs.contains(&value)
    }

    /// The node that writes `value`, if one does.
    pub fn producer(&self, value: ValueId) -> Option<(NodeId, &Node)> {
        let (id, _) = self.value(value).producer?;
        Some((id, self.get_node(id)?))
    }

    /// The nodes so that each comes after those it reads from; otherwise in the order they were added.
    ///
    /// # Errors
    /// `Fail` that names a node on a cycle.
    pub fn order(&self) -> Result<Vec<NodeId>> {
        let mut waiting: Vec<usize> = vec![0; self.nodes.len()];
        let mut ready = std::collections::BinaryHeap::new();
        for (id, node) in self.nodes() {
            waiting[id.index()] = node.reads().filter(|v| self.value(*v).producer.is_some()).count();
            if waiting[id.index()] == 0 {
                ready.push(std::cmp::Reverse(id));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(std::cmp::Reverse(id)) = ready.pop() {
            order.push(id);
            for user in self.node(id).outputs.iter().flatten().flat_map(|v| self.uses(*v)) {
                waiting[user.index()] -= 1;
                if waiting[user.index()] == 0 {
                    ready.push(std::cmp::Reverse(*user));
                }
            }
        }
        match self.nodes().find(|(id, _)| waiting[id.index()] > 0) {
            Some((_, node)) => Err(error!(Fail, "the graph is not acyclic: the node depends on itself").at(&node.key.name, &node.name)),
            None => Ok(order),
        }
    }
}

impl ValueId {
    pub(crate) fn from_index(index: usize) -> Self {
        Self(index as u32)
    }
}
