//! Building the graph of a model file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base::{DType, Error, Result, Type, Value, bail, ensure, error};
use ir::{Attribute, Function, Graph, Node, OpKey, Subgraph, ValueId, ValueInfo};
use op::Registry;
use proto::{
    AttributeProto, AttributeType, DimensionValue, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TypeProto,
    TypeValue, ValueInfoProto,
};

use crate::weights::Weights;
use crate::{Port, PortDim};

/// How deep graphs and functions may nest.
const MAX_DEPTH: usize = 64;
/// How many nodes a model may have once its functions are taken apart.
const MAX_NODES: usize = 500_000;

/// How many elements the lists in attributes may have together, those of a function counted at each call.
const MAX_LISTS: usize = 1 << 28;

/// Versions of operator sets by domain.
pub(crate) type Opsets = BTreeMap<String, u32>;

/// A model file as a graph.
pub(crate) struct Imported {
    pub(crate) graph: Graph,
    pub(crate) inputs: Vec<Port>,
    /// What the model says of its outputs; `None` where it states no type.
    pub(crate) outputs: Vec<Option<Port>>,
    /// Inputs that have a default.
    pub(crate) overridable: Vec<Port>,
    pub(crate) opsets: Opsets,
}

/// Builds the graph of `model`.
///
/// # Errors
/// `InvalidGraph` and others, each naming the node or value at fault.
pub(crate) fn import<'m>(model: &'m ModelProto<'m>, registry: &Registry, weights: &mut Weights) -> Result<Imported> {
    import_with(model, registry, weights, false)
}

/// Builds the graph of `model` where operators that are not known are nodes like others, to look at but not to run.
///
/// # Errors
/// As [`import`].
pub(crate) fn import_known<'m>(model: &'m ModelProto<'m>, registry: &Registry, weights: &mut Weights) -> Result<Imported> {
    import_with(model, registry, weights, true)
}

fn import_with<'m>(model: &'m ModelProto<'m>, registry: &Registry, weights: &mut Weights, lenient: bool) -> Result<Imported> {
    let Some(proto) = &model.graph else { bail!(InvalidGraph, "the model has no graph") };
    let opsets = opsets(&model.opset_import)?;
    let functions = model.functions.iter().map(|f| (function_id(f), f)).collect();
    let mut importer = Importer { registry, lenient, weights, functions, stack: Vec::new(), depth: 0, nodes: 0, lists: 0 };
    importer.stack.push(Scope::new(opsets.clone(), Arguments::new()));
    importer.graph(proto)?;
    let mut graph = importer.pop()?.graph;
    // Before IR 4 every initializer had to be listed as an input, and none of them was meant to be fed.
    if model.ir_version.unwrap_or(0) < 4 {
        let fed = graph.inputs.iter().filter(|v| graph.value(**v).constant.is_none());
        graph.inputs = fed.copied().collect();
    }
    let given: HashMap<&str, &ValueInfo> = graph.inputs.iter().map(|v| graph.value(*v)).map(|info| (&*info.name, info)).collect();
    let ports = proto.input.iter().filter(|p| given.contains_key(p.name.as_str())).map(port).collect::<Result<Vec<Port>>>()?;
    let (overridable, inputs) = ports.into_iter().partition(|p| given.get(&*p.name).is_some_and(|info| info.constant.is_some()));
    weights.check_taken()?;
    let outputs = proto.output.iter().map(declared).collect::<Result<_>>()?;
    Ok(Imported { graph, inputs, outputs, overridable, opsets })
}

fn function_id(f: &FunctionProto<'_>) -> (String, String, String) {
    (domain(&f.domain).to_owned(), f.name.to_string(), f.overload.to_string())
}

/// The two names of the standard domain are one.
pub(crate) fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

pub(crate) fn opsets(imports: &[OperatorSetIdProto<'_>]) -> Result<Opsets> {
    let version = |v: i64| u32::try_from(v).map_err(|_| error!(InvalidGraph, "an operator set cannot have version {v}"));
    imports.iter().map(|i| Ok((domain(&i.domain).to_owned(), version(i.version.unwrap_or(1))?))).collect()
}

/// The arguments of a function call, by name.
type Arguments<'m> = BTreeMap<String, &'m AttributeProto<'m>>;

/// One graph being built.
struct Scope<'m> {
    graph: Graph,
    names: HashMap<String, ValueId>,
    /// For each of `graph.captures`, the value of the graph around.
    captured: Vec<ValueId>,
    opsets: Opsets,
    arguments: Arguments<'m>,
}

impl<'m> Scope<'m> {
    fn new(opsets: Opsets, arguments: Arguments<'m>) -> Self {
        Self { graph: Graph::default(), names: HashMap::new(), captured: Vec::new(), opsets, arguments }
    }

    /// A new value called `name`.
    fn define(&mut self, name: &str) -> Result<ValueId> {
        let id = self.graph.add_value(name);
        ensure!(self.names.insert(name.to_owned(), id).is_none(), Fail, "Duplicate definition of name ({name}).");
        Ok(id)
    }
}

struct Importer<'m, 'w> {
    registry: &'w Registry,
    /// Whether operators that are not known are taken for what they call themselves.
    lenient: bool,
    weights: &'w mut Weights,
    functions: HashMap<(String, String, String), &'m FunctionProto<'m>>,
    /// The graphs being built, innermost last.
    stack: Vec<Scope<'m>>,
    depth: usize,
    nodes: usize,
    /// Elements in the lists of attributes so far.
    lists: usize,
}

impl<'m> Importer<'m, '_> {
    fn scope(&mut self) -> Result<&mut Scope<'m>> {
        self.stack.last_mut().ok_or_else(|| error!(Fail, "no graph is being built"))
    }

    fn pop(&mut self) -> Result<Scope<'m>> {
        self.stack.pop().ok_or_else(|| error!(Fail, "no graph is being built"))
    }

    fn graph(&mut self, proto: &'m GraphProto<'m>) -> Result<()> {
        self.depth += 1;
        ensure!(self.depth <= MAX_DEPTH, InvalidGraph, "graphs and functions nest deeper than {MAX_DEPTH}");
        self.scope()?.graph.name = proto.name.to_string();
        for input in &proto.input {
            let scope = self.scope()?;
            let id = scope.define(&input.name)?;
            scope.graph.inputs.push(id);
        }
        for tensor in &proto.initializer {
            // Those of the graphs of nodes have names of their own.
            let outermost = self.stack.len() == 1;
            let value = if outermost { self.weights.initializer(tensor)? } else { self.weights.tensor(tensor)?.into() };
            self.initializer(&tensor.name, value)?;
        }
        for tensor in &proto.sparse_initializer {
            let name = tensor.values.as_ref().map(|v| v.name.to_string()).unwrap_or_default();
            let sparse = self.weights.sparse(tensor)?;
            // Nodes read it as a dense tensor; as it is it can only be an output.
            let value = if gives_sparse(proto, &name) { Value::Sparse(Arc::new(sparse)) } else { sparse.to_dense()?.into() };
            self.initializer(&name, value)?;
        }
        self.nodes(&proto.node)?;
        self.sparse_constants(proto)?;
        for output in &proto.output {
            let id = self.resolve(&output.name)?;
            let id = id.ok_or_else(|| error!(InvalidGraph, "graph output '{}' is not the output of any node", output.name))?;
            self.scope()?.graph.outputs.push(id);
        }
        self.depth -= 1;
        Ok(())
    }

    /// Lets outputs of `proto` that are sparse be what their Constant holds, not the dense tensor that it stands for.
    fn sparse_constants(&mut self, proto: &'m GraphProto<'m>) -> Result<()> {
        for node in proto.node.iter().filter(|n| n.op_type == "Constant" && domain(&n.domain).is_empty()) {
            let [name] = &node.output[..] else { continue };
            let held = node.attribute.iter().find_map(|a| a.sparse_tensor.as_ref());
            if let (Some(held), true) = (held, gives_sparse(proto, name)) {
                let value = Value::Sparse(Arc::new(self.weights.sparse(held)?));
                let scope = self.scope()?;
                let id = scope.names.get(name.as_str()).copied();
                if let Some((id, producer)) = id.and_then(|id| Some((id, scope.graph.producer(id)?.0))) {
                    scope.graph.remove_node(producer);
                    scope.graph.value_mut(id).constant = Some(value);
                }
            }
        }
        Ok(())
    }

    /// A value that the model fixes; for an input of that name, its default.
    fn initializer(&mut self, name: &str, value: Value) -> Result<()> {
        let scope = self.scope()?;
        let id = match scope.names.get(name) {
            Some(id) => *id,
            None => scope.define(name)?,
        };
        ensure!(scope.graph.value(id).constant.is_none(), InvalidGraph, "Duplicate initializer '{name}'");
        scope.graph.value_mut(id).constant = Some(value);
        Ok(())
    }

    fn nodes(&mut self, nodes: &'m [NodeProto<'m>]) -> Result<()> {
        self.nodes += nodes.len();
        ensure!(self.nodes <= MAX_NODES, InvalidGraph, "the model has more than {MAX_NODES} nodes");
        for node in nodes {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                self.scope()?.define(output)?;
            }
        }
        nodes.iter().try_for_each(|node| self.node(node).map_err(|e| e.at(&node.op_type, &node.name)))
    }

    fn node(&mut self, proto: &'m NodeProto<'m>) -> Result<()> {
        let mut node = self.operator(proto)?;
        node.name = proto.name.to_string();
        node.origins = vec![((&*proto.op_type).into(), (&*proto.name).into())];
        for name in &proto.input {
            let id = if name.is_empty() { None } else { Some(self.resolve(name)?.ok_or_else(|| undefined(name, proto))?) };
            node.inputs.push(id);
        }
        let scope = self.scope()?;
        node.outputs = proto.output.iter().map(|o| scope.names.get(o.as_str()).copied()).collect();
        while node.inputs.last() == Some(&None) {
            node.inputs.pop();
        }
        while node.outputs.last() == Some(&None) {
            node.outputs.pop();
        }
        for attribute in &proto.attribute {
            self.attribute(&mut node, attribute)?;
        }
        self.scope()?.graph.add_node(node);
        Ok(())
    }

    /// A node of the operator, or with the function, that `proto` names.
    fn operator(&mut self, proto: &'m NodeProto<'m>) -> Result<Node> {
        let domain = domain(&proto.domain);
        let id = (domain.to_owned(), proto.op_type.to_string(), proto.overload.to_string());
        if let Some(function) = self.functions.get(&id).copied() {
            let body = self.function(function, proto)?;
            let id = (id.0.as_str().into(), id.1.as_str().into(), id.2.as_str().into());
            return Ok(Node { function: Some(Arc::new(Function { id, body })), ..Node::new(OpKey::new(domain, &proto.op_type, 1)) });
        }
        let imported = self.scope()?.opsets.get(domain).copied();
        let opset = match proto.since_version()?.or(imported) {
            Some(version) => version,
            None if domain.is_empty() || self.lenient => 1,
            None if self.registry.knows_domain(domain) => 1,
            None => return Err(hinted(error!(Fail, "{domain}:{}(-1) is not a registered function/op", proto.op_type))),
        };
        match self.registry.resolve(domain, &proto.op_type, opset) {
            Err(_) if self.lenient => Ok(Node::new(OpKey::new(domain, &proto.op_type, opset))),
            Err(e) if !domain.is_empty() && self.registry.get(domain, &proto.op_type).is_none() => Err(hinted(e)),
            resolved => resolved.map(Node::new),
        }
    }

    /// The body of `function` with the arguments of the call `proto`.
    fn function(&mut self, function: &'m FunctionProto<'m>, call: &'m NodeProto<'m>) -> Result<Graph> {
        let mut arguments: Arguments<'m> = function.attribute_proto.iter().map(|a| (a.name.to_string(), a)).collect();
        for attribute in &call.attribute {
            if let Some(argument) = self.argument(attribute)? {
                arguments.insert(attribute.name.to_string(), argument);
            }
        }
        let around = std::mem::take(&mut self.stack);
        self.depth += 1;
        ensure!(self.depth <= MAX_DEPTH, InvalidGraph, "graphs and functions nest deeper than {MAX_DEPTH}");
        self.stack.push(Scope::new(opsets(&function.opset_import)?, arguments));
        self.scope()?.graph.name = function.name.to_string();
        for name in &function.input {
            let scope = self.scope()?;
            let id = scope.define(name)?;
            scope.graph.inputs.push(id);
        }
        self.nodes(&function.node)?;
        for name in &function.output {
            let id =
                self.resolve(name)?.ok_or_else(|| error!(InvalidGraph, "output '{name}' of function {} is not written", function.name))?;
            self.scope()?.graph.outputs.push(id);
        }
        self.depth -= 1;
        let body = self.pop()?.graph;
        self.stack = around;
        Ok(body)
    }

    /// `attribute` itself, or the argument of the function that it refers to; `None` when that was left out.
    fn argument(&mut self, attribute: &'m AttributeProto<'m>) -> Result<Option<&'m AttributeProto<'m>>> {
        if attribute.ref_attr_name.is_empty() {
            return Ok(Some(attribute));
        }
        Ok(self.scope()?.arguments.get(attribute.ref_attr_name.as_str()).copied())
    }

    fn attribute(&mut self, node: &mut Node, named: &'m AttributeProto<'m>) -> Result<()> {
        let Some(proto) = self.argument(named)? else { return Ok(()) };
        let name = named.name.to_string();
        ensure!(!node.attributes.contains_key(&name), InvalidGraph, "attribute '{name}' is given twice");
        let graphs: Vec<&'m GraphProto<'m>> = match proto.attribute_type()? {
            AttributeType::Graph => proto.g.as_deref().into_iter().collect(),
            AttributeType::Graphs => proto.graphs.iter().collect(),
            _ => {
                let value = self.plain_attribute(proto)?;
                node.attributes.insert(name, value);
                return Ok(());
            }
        };
        for proto in graphs {
            let (graph, captures) = self.subgraph(proto)?;
            node.subgraphs.push(Subgraph { attribute: name.clone(), graph: Arc::new(graph), captures });
        }
        Ok(())
    }

    fn subgraph(&mut self, proto: &'m GraphProto<'m>) -> Result<(Graph, Vec<ValueId>)> {
        let around = self.scope()?;
        let scope = Scope::new(around.opsets.clone(), around.arguments.clone());
        self.stack.push(scope);
        self.graph(proto)?;
        let scope = self.pop()?;
        Ok((scope.graph, scope.captured))
    }

    fn plain_attribute(&mut self, proto: &AttributeProto<'_>) -> Result<Attribute> {
        self.lists += proto.ints.len() + proto.floats.len() + proto.strings.iter().map(|s| s.len()).sum::<usize>();
        ensure!(self.lists <= MAX_LISTS, InvalidGraph, "the attributes of the model amount to more than {MAX_LISTS} elements");
        let missing = |what: &str| error!(InvalidGraph, "attribute '{}' has no {what}", proto.name);
        Ok(match proto.attribute_type()? {
            AttributeType::Float => Attribute::Float(proto.f.unwrap_or_default()),
            AttributeType::Int => Attribute::Int(proto.i.unwrap_or_default()),
            AttributeType::String => Attribute::String(proto.s.as_deref().unwrap_or_default().into()),
            AttributeType::Tensor => Attribute::Tensor(self.weights.attribute(proto.t.as_ref().ok_or_else(|| missing("tensor"))?)?),
            AttributeType::Floats => Attribute::Floats(proto.floats.clone()),
            AttributeType::Ints => Attribute::Ints(proto.ints.clone()),
            AttributeType::Strings => Attribute::Strings(proto.strings.iter().map(|s| (&**s).into()).collect()),
            AttributeType::Tensors => Attribute::Tensors(proto.tensors.iter().map(|t| self.weights.attribute(t)).collect::<Result<_>>()?),
            AttributeType::SparseTensor => {
                let sparse = proto.sparse_tensor.as_ref().ok_or_else(|| missing("sparse tensor"))?;
                Attribute::Sparse(Arc::new(self.weights.sparse(sparse)?))
            }
            AttributeType::TypeProto => Attribute::Type(ty(proto.tp.as_ref().ok_or_else(|| missing("type"))?)?, None),
            AttributeType::TypeProtos => Attribute::Types(proto.type_protos.iter().map(ty).collect::<Result<_>>()?),
            other => bail!(NotImplemented, "attribute '{}' is of kind {other:?}, which no operator has", proto.name),
        })
    }

    /// The value called `name` in the innermost graph; one of a graph around it is captured.
    fn resolve(&mut self, name: &str) -> Result<Option<ValueId>> {
        let found = self.stack.iter().enumerate().rev().find_map(|(level, s)| Some((level, *s.names.get(name)?)));
        let Some((level, mut id)) = found else { return Ok(None) };
        for scope in &mut self.stack[level + 1..] {
            let inner = scope.define(name)?;
            scope.graph.captures.push(inner);
            scope.captured.push(id);
            id = inner;
        }
        Ok(Some(id))
    }
}

/// The error `e` of an operator that nobody knows, with how one makes it known.
fn hinted(e: Error) -> Error {
    let text = format!("{}; operators of one's own are made with ort_rs.custom_op in Python, Builder::operator in Rust", e.detail());
    Error::new(e.kind(), text)
}

fn undefined(name: &str, node: &NodeProto<'_>) -> Error {
    error!(
        InvalidArgument,
        "Node input '{name}' is not a graph input, initializer, or output of a previous node. (op_type:{}, node name: {})",
        node.op_type,
        node.name
    )
}

/// An input, which must have a type.
/// Whether `name` is an output of `proto` that is declared a sparse tensor.
fn gives_sparse(proto: &GraphProto<'_>, name: &str) -> bool {
    let sparse = |info: &ValueInfoProto<'_>| info.r#type.as_ref().is_some_and(|t| matches!(t.value, Some(TypeValue::SparseTensor(_))));
    proto.output.iter().any(|info| *info.name == *name && sparse(info))
}

fn port(info: &ValueInfoProto<'_>) -> Result<Port> {
    let port = declared(info)?;
    port.ok_or_else(|| error!(InvalidGraph, "graph input '{}' has no type", info.name))
}

/// What a model says of an input or output; `None` when it states no type.
fn declared(info: &ValueInfoProto<'_>) -> Result<Option<Port>> {
    let Some(proto) = info.r#type.as_ref().filter(|t| t.value.is_some()) else { return Ok(None) };
    let at = |e: base::Error| error!(InvalidGraph, "value '{}': {}", info.name, e.detail());
    Ok(Some(Port { name: info.name.to_string(), ty: ty(proto).map_err(at)?, shape: shape(proto) }))
}

fn ty(proto: &TypeProto<'_>) -> Result<Type> {
    let dtype = |number: Option<i32>| {
        let number = number.unwrap_or(0);
        DType::from_proto(number).ok_or_else(|| error!(InvalidGraph, "{number} is no element type"))
    };
    let inner = |t: &Option<Box<TypeProto<'_>>>| match t {
        Some(t) => ty(t).map(Box::new),
        None => Err(error!(InvalidGraph, "a sequence, map or optional does not say what it holds")),
    };
    Ok(match &proto.value {
        Some(TypeValue::Tensor(t)) => Type::Tensor(dtype(t.elem_type)?),
        Some(TypeValue::SparseTensor(t)) => Type::Sparse(dtype(t.elem_type)?),
        Some(TypeValue::Sequence(t)) => Type::Sequence(inner(&t.elem_type)?),
        Some(TypeValue::Map(t)) => Type::Map(dtype(t.key_type)?, inner(&t.value_type)?),
        Some(TypeValue::Optional(t)) => Type::Optional(inner(&t.elem_type)?),
        Some(TypeValue::Opaque(t)) => bail!(NotImplemented, "opaque type {}.{}", t.domain, t.name),
        None => bail!(InvalidGraph, "a type says nothing"),
    })
}

/// The sizes that a model states of a tensor.
pub(crate) fn shape(proto: &TypeProto<'_>) -> Option<Vec<PortDim>> {
    let Some(TypeValue::Tensor(tensor)) = &proto.value else { return None };
    let dims = &tensor.shape.as_ref()?.dim;
    Some(
        dims.iter()
            .map(|d| match &d.value {
                Some(DimensionValue::Value(n)) if *n >= 0 => PortDim::Known(*n),
                Some(DimensionValue::Param(name)) if !name.is_empty() => PortDim::Named(name.to_string()),
                _ => PortDim::Unknown,
            })
            .collect(),
    )
}
