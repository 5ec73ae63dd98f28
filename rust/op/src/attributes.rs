//! Reading the attributes of a node: each is read or refused.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;

use base::{DType, Result, Tensor, bail, error};
use ir::{Attribute, Attributes, Node};

use crate::OpDef;

/// The attributes of a node, as an operator's `load` reads them. Those it does not read are an error.
pub struct Attrs<'a> {
    node: &'a Node,
    read: RefCell<BTreeSet<&'a str>>,
    /// The defaults of attributes that were not given, if somebody wants to know.
    defaults: Option<RefCell<Attributes>>,
    data: Option<&'static (dyn Any + Send + Sync)>,
}

impl<'a> Attrs<'a> {
    /// The attributes of `node`.
    pub fn new(node: &'a Node) -> Self {
        Self { node, read: RefCell::default(), defaults: None, data: None }
    }

    /// The attributes of `node`, whose operator is `def`.
    pub(crate) fn of(node: &'a Node, def: &OpDef) -> Self {
        Self { data: def.data, ..Self::new(node) }
    }

    /// The same, keeping the defaults of those that are not given.
    pub(crate) fn with_defaults(self) -> Self {
        Self { defaults: Some(RefCell::default()), ..self }
    }

    /// What the operator carries, where it was made at run time.
    pub fn data(&self) -> Option<&'static (dyn Any + Send + Sync)> {
        self.data
    }

    /// The names of all attributes, read or not.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.node.attributes.keys().map(String::as_str)
    }

    /// The defaults that were read in place of attributes.
    pub(crate) fn into_defaults(self) -> Attributes {
        self.defaults.map(RefCell::into_inner).unwrap_or_default()
    }

    /// `given`, or `default` in its place.
    fn or_default<T: Copy>(&self, name: &str, given: Option<T>, default: T) -> T
    where
        Attribute: From<T>,
    {
        if let (None, Some(defaults)) = (given, &self.defaults) {
            defaults.borrow_mut().insert(name.to_owned(), default.into());
        }
        given.unwrap_or(default)
    }

    /// The version of the operator, for attributes that changed.
    pub fn since(&self) -> u32 {
        self.node.key.since
    }

    /// The operator's name, for operators that share their code.
    pub fn op(&self) -> &'a str {
        &self.node.key.name
    }

    /// The operator's domain, for operators that share their code.
    pub fn domain(&self) -> &'a str {
        &self.node.key.domain
    }

    /// How many inputs the node lists.
    pub fn input_count(&self) -> usize {
        self.node.inputs.len()
    }

    /// Whether input `i` is given.
    pub fn has_input(&self, i: usize) -> bool {
        self.node.input(i).is_some()
    }

    /// How many outputs the node lists.
    pub fn output_count(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether output `i` is asked for.
    pub fn has_output(&self, i: usize) -> bool {
        self.node.output(i).is_some()
    }

    /// Attribute `name`, of whatever kind.
    pub fn get(&self, name: &str) -> Option<&'a Attribute> {
        let (name, attribute) = self.node.attributes.get_key_value(name)?;
        self.read.borrow_mut().insert(name);
        Some(attribute)
    }

    /// Whether attribute `name` is given, without reading it.
    pub fn has(&self, name: &str) -> bool {
        self.node.attributes.contains_key(name)
    }

    /// Reads attribute `name` only to drop it: one that has no meaning for the result.
    pub fn ignore(&self, name: &str) {
        let _ = self.get(name);
    }

    fn typed<T>(&self, name: &str, kind: &str, pick: impl FnOnce(&'a Attribute) -> Option<T>) -> Result<Option<T>> {
        let Some(attribute) = self.get(name) else { return Ok(None) };
        let value = pick(attribute);
        value.map(Some).ok_or_else(|| error!(InvalidGraph, "attribute '{name}' must be of kind {kind}, not {}", attribute.kind()))
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| error!(InvalidGraph, "Required attribute '{name}' is missing"))
    }

    /// Integer `name`, if given.
    pub fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        self.typed(name, "INT", |a| if let Attribute::Int(i) = a { Some(*i) } else { None })
    }

    /// Integer `name`, or `default`.
    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.or_default(name, self.opt_int(name)?, default))
    }

    /// Integer `name`, which must be given.
    pub fn required_int(&self, name: &str) -> Result<i64> {
        self.opt_int(name).and_then(|v| self.required(name, v))
    }

    /// Integer `name` as a truth value, or `default`.
    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name, default.into())? != 0)
    }

    /// Float `name`, if given.
    pub fn opt_float(&self, name: &str) -> Result<Option<f32>> {
        self.typed(name, "FLOAT", |a| if let Attribute::Float(x) = a { Some(*x) } else { None })
    }

    /// Float `name`, or `default`.
    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.or_default(name, self.opt_float(name)?, default))
    }

    /// String `name`, if given.
    pub fn opt_string(&self, name: &str) -> Result<Option<&'a str>> {
        let bytes = self.typed(name, "STRING", |a| if let Attribute::String(s) = a { Some(&**s) } else { None })?;
        bytes.map(|b| std::str::from_utf8(b).map_err(|_| error!(InvalidGraph, "attribute '{name}' is not UTF-8"))).transpose()
    }

    /// String `name`, or `default`.
    pub fn string(&self, name: &str, default: &'static str) -> Result<&'a str> {
        Ok(self.or_default(name, self.opt_string(name)?, default))
    }

    /// String `name`, or `default`, which must be one of `choices`; gives its place among them.
    pub fn choice(&self, name: &str, choices: &[&str], default: &'static str) -> Result<usize> {
        let given = self.string(name, default)?;
        let place = choices.iter().position(|c| *c == given);
        place.ok_or_else(|| error!(InvalidGraph, "attribute '{name}' is '{given}', not one of {choices:?}"))
    }

    /// Integers `name`, if given.
    pub fn opt_ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        self.typed(name, "INTS", |a| if let Attribute::Ints(v) = a { Some(&v[..]) } else { None })
    }

    /// Floats `name`, if given.
    pub fn opt_floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        self.typed(name, "FLOATS", |a| if let Attribute::Floats(v) = a { Some(&v[..]) } else { None })
    }

    /// Strings `name`, if given.
    pub fn opt_strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        let lists = self.typed(name, "STRINGS", |a| if let Attribute::Strings(v) = a { Some(v) } else { None })?;
        let text =
            |s: &std::sync::Arc<[u8]>| String::from_utf8(s.to_vec()).map_err(|_| error!(InvalidGraph, "attribute '{name}' is not UTF-8"));
        lists.map(|v| v.iter().map(text).collect()).transpose()
    }

    /// Tensor `name`, if given.
    pub fn opt_tensor(&self, name: &str) -> Result<Option<&'a Tensor>> {
        self.typed(name, "TENSOR", |a| if let Attribute::Tensor(t) = a { Some(t) } else { None })
    }

    /// Element type `name` (a number of `TensorProto.DataType`), if given and not 0.
    pub fn opt_dtype(&self, name: &str) -> Result<Option<DType>> {
        match self.opt_int(name)? {
            None | Some(0) => Ok(None),
            Some(n) => match i32::try_from(n).ok().and_then(DType::from_proto) {
                Some(d) => Ok(Some(d)),
                None => bail!(InvalidGraph, "attribute '{name}' is {n}, which is no element type"),
            },
        }
    }

    /// Which of the node's graphs is attribute `name`.
    pub fn subgraph(&self, name: &str) -> Result<usize> {
        let place = self.node.subgraphs.iter().position(|s| s.attribute == name);
        self.required(name, place)
    }

    /// Fails if an attribute was not read.
    ///
    /// # Errors
    /// `InvalidGraph` that names it.
    pub fn finish(self) -> Result<()> {
        let read = self.read.borrow();
        match self.node.attributes.keys().find(|k| !read.contains(k.as_str())) {
            Some(name) => bail!(InvalidGraph, "Unrecognized attribute: {name} for operator {}", self.node.key.name),
            None => Ok(()),
        }
    }
}
