//! All operators that are known, by domain and name.

use std::collections::HashMap;
use std::sync::Arc;

use base::{Result, Type, bail, ensure};
use ir::{Attributes, Fact, Graph, Node, OpKey, Symbols};

use crate::{Attrs, Infer, InferSubgraph, Op, OpDef, PrepareFn};

/// All operators that are known, by domain and name. It is open: operators and kernels can be added at run time.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    domains: HashMap<String, HashMap<String, Arc<OpDef>>>,
    kernels: HashMap<(String, String, String), PrepareFn>,
}

/// A loaded operator in the cache of a node.
struct LoadedOp(Box<dyn Op>);

impl Registry {
    /// A registry of `defs`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn new<'a>(defs: impl IntoIterator<Item = &'a OpDef>) -> Result<Self> {
        let mut registry = Self::default();
        defs.into_iter().try_for_each(|d| registry.add(d.clone()))?;
        Ok(registry)
    }

    /// Adds an operator.
    ///
    /// # Errors
    /// `Fail` when the name is taken or the versions are not ascending.
    pub fn add(&mut self, def: OpDef) -> Result<()> {
        let ascending = def.versions.windows(2).all(|w| w[0].version < w[1].version);
        ensure!(ascending && !def.versions.is_empty(), Fail, "{}: versions must ascend and not be none", def.name);
        let domain = self.domains.entry(def.domain.to_owned()).or_default();
        ensure!(!domain.contains_key(def.name), Fail, "operator {} of domain '{}' is registered twice", def.name, def.domain);
        domain.insert(def.name.to_owned(), Arc::new(def));
        Ok(())
    }

    /// Adds the kernel of `provider` for an operator.
    pub fn add_kernel(&mut self, provider: &str, domain: &str, name: &str, kernel: PrepareFn) {
        self.kernels.insert((provider.to_owned(), domain.to_owned(), name.to_owned()), kernel);
    }

    /// The kernel that was added for `provider`, if any.
    pub fn kernel(&self, provider: &str, key: &OpKey) -> Option<PrepareFn> {
        self.kernels.get(&(provider.to_owned(), key.domain.to_string(), key.name.to_string())).copied()
    }

    /// Whether any operator of `domain` is known.
    pub fn knows_domain(&self, domain: &str) -> bool {
        self.domains.contains_key(domain)
    }

    /// The operator `name` of `domain`.
    pub fn get(&self, domain: &str, name: &str) -> Option<&Arc<OpDef>> {
        self.domains.get(domain)?.get(name)
    }

    /// Every operator, by domain and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<OpDef>> {
        let mut all: Vec<_> = self.domains.values().flat_map(HashMap::values).collect();
        all.sort_by_key(|d| (d.domain, d.name));
        all.into_iter()
    }

    /// Which version of operator `name` opset `opset` of `domain` has.
    ///
    /// # Errors
    /// `InvalidGraph` for an unknown operator of a known domain or one that the opset does not have; `Fail` for an unknown domain.
    pub fn resolve(&self, domain: &str, name: &str, opset: u32) -> Result<OpKey> {
        let shown = if domain.is_empty() { "ai.onnx" } else { domain };
        let Some(def) = self.get(domain, name) else {
            if self.knows_domain(domain) {
                bail!(InvalidGraph, "No Op registered for {name} with domain_version of {opset} in domain {shown}");
            }
            bail!(Fail, "{shown}:{name}(-1) is not a registered function/op");
        };
        match def.at(opset) {
            Some(since) if !since.deprecated => Ok(OpKey::new(def.domain, def.name, since.version)),
            _ => bail!(InvalidGraph, "No Op registered for {name} with domain_version of {opset} in domain {shown}"),
        }
    }

    /// The definition of the operator that `node` is.
    ///
    /// # Errors
    /// `InvalidGraph` when it is unknown.
    pub fn def(&self, node: &Node) -> Result<&Arc<OpDef>> {
        match self.get(&node.key.domain, &node.key.name) {
            Some(def) => Ok(def),
            None => bail!(InvalidGraph, "no operator {} is known", node.key),
        }
    }

    /// The operator that `node` is, its attributes read and its arity checked; kept with the node.
    ///
    /// # Errors
    /// `InvalidGraph` when inputs, outputs or attributes are not those of the operator.
    pub fn load<'n>(&self, node: &'n Node) -> Result<&'n dyn Op> {
        if node.loaded.0.get().is_none() {
            let def = self.def(node)?;
            let Some(since) = def.at(node.key.since) else { bail!(InvalidGraph, "no version {} is known", node.key) };
            since.check_arity(node)?;
            let attributes = Attrs::of(node, def);
            let op = (def.load)(&attributes)?;
            attributes.finish()?;
            let _ = node.loaded.0.set(Arc::new(LoadedOp(op)));
        }
        match node.loaded.0.get().and_then(|l| l.downcast_ref::<LoadedOp>()) {
            Some(loaded) => Ok(&*loaded.0),
            None => bail!(Fail, "{} was loaded by another registry", node.key),
        }
    }

    /// The attributes of `node` that are not given, with their defaults.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn defaults(&self, node: &Node) -> Result<Attributes> {
        let def = self.def(node)?;
        let attributes = Attrs::of(node, def).with_defaults();
        (def.load)(&attributes)?;
        Ok(attributes.into_defaults())
    }

    /// The facts of the outputs of `node`, whose inputs, then captures, have the facts `inputs`.
    ///
    /// # Errors
    /// `InvalidGraph` when types are forbidden or shapes disagree.
    pub fn infer(&self, node: &Node, inputs: &[Option<&Fact>], symbols: &mut Symbols, subgraphs: &dyn InferSubgraph) -> Result<Vec<Fact>> {
        let op = self.load(node)?;
        let types: Vec<Option<&Type>> = inputs.iter().take(node.inputs.len()).map(|f| f.map(|f| &f.ty)).collect();
        if let Some(since) = self.def(node)?.at(node.key.since) {
            since.check_types(&types)?;
        }
        let mut cx = Infer::new(node, inputs, symbols, subgraphs);
        op.infer(&mut cx).map_err(base::Error::inferring)?;
        let mut outputs = cx.finish()?;
        self.def(node)?.layouts.carry(&inputs[..node.inputs.len().min(inputs.len())], &mut outputs);
        Ok(outputs)
    }

    /// `node` in terms of simpler operators, if its definition says how.
    ///
    /// # Errors
    /// What the definition says of the attributes.
    pub fn body(&self, node: &Node, inputs: &[Option<&Fact>]) -> Result<Option<Graph>> {
        self.def(node)?.body.map(|body| body(node, inputs)).transpose()
    }
}
