//! What an operator takes and gives in one of its versions, and the check of a node against it.

use base::{DType, Result, Type, bail, ensure};
use ir::Node;

use crate::TypeSet;

/// One version of an operator: since which opset, with which inputs, outputs and types.
///
/// The signature is text: `"data:T, indices:Tind -> output:T"`. A parameter is `name:type`, where the type is a variable of `types`
/// or a fixed type such as `int64` or `seq(tensor(float))`; then `?` if it may be left out, `*` if it may be given any number of times
/// (all of one type), `~` if any number of times with any types.
#[derive(Clone, Copy, Debug)]
pub struct Since {
    /// The first opset with this version.
    pub version: u32,
    /// Inputs and outputs.
    pub signature: &'static str,
    /// What each type variable may be.
    pub types: &'static [(&'static str, TypeSet)],
    /// Whether the operator is no longer part of the opset from here on.
    pub deprecated: bool,
}

/// The version of an operator since opset `version`.
pub const fn since(version: u32, signature: &'static str, types: &'static [(&'static str, TypeSet)]) -> Since {
    Since { version, signature, types, deprecated: false }
}

/// The end of an operator: from opset `version` on it is no more.
pub const fn deprecated(version: u32) -> Since {
    Since { version, signature: "", types: &[], deprecated: true }
}

/// How often a parameter is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Once.
    Required,
    /// Once or not at all.
    Optional,
    /// Any number of times, all of one type.
    Variadic,
    /// Any number of times.
    Heterogeneous,
}

/// An input or an output of an operator.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type variable, or its type.
    pub ty: &'static str,
    /// How often it is given.
    pub arity: Arity,
}

impl Since {
    /// The inputs.
    pub fn inputs(&self) -> impl Iterator<Item = Param> {
        params(self.signature.split("->").next().unwrap_or_default())
    }

    /// The outputs.
    pub fn outputs(&self) -> impl Iterator<Item = Param> {
        params(self.signature.split("->").nth(1).unwrap_or_default())
    }

    /// Checks that `node` gives the inputs and takes the outputs of this version.
    ///
    /// # Errors
    /// `InvalidGraph` that names the parameter.
    pub fn check_arity(&self, node: &Node) -> Result<()> {
        check_params("input", self.inputs(), &node.inputs.iter().map(Option::is_some).collect::<Vec<_>>())?;
        check_params("output", self.outputs(), &node.outputs.iter().map(Option::is_some).collect::<Vec<_>>())
    }

    /// Checks the types of the inputs (`None` for one left out) against this version.
    ///
    /// # Errors
    /// `InvalidGraph` that names the parameter, its type and what it may be.
    pub fn check_types(&self, inputs: &[Option<&Type>]) -> Result<()> {
        let mut bound: Vec<(&str, &Type)> = Vec::new();
        for (param, ty) in spread(self.inputs(), inputs) {
            let Some(ty) = ty else { continue };
            let Some((_, set)) = self.types.iter().find(|(v, _)| *v == param.ty) else {
                ensure!(fixed(param.ty, ty), InvalidGraph, "input '{}' is {ty}, not {}", param.name, param.ty);
                continue;
            };
            ensure!(
                set.contains(ty),
                InvalidGraph,
                "Type Error: Type '{ty}' of input parameter '{}' is invalid; {} may be one of {}",
                param.name,
                param.ty,
                set.names().join(", ")
            );
            if param.arity == Arity::Heterogeneous {
                continue;
            }
            match bound.iter().find(|(v, _)| *v == param.ty) {
                Some((_, first)) if *first != ty => bail!(
                    InvalidGraph,
                    "Type Error: Type parameter ({}) bound to different types ({first} and {ty}) at input '{}'",
                    param.ty,
                    param.name
                ),
                Some(_) => {}
                None => bound.push((param.ty, ty)),
            }
        }
        Ok(())
    }
}

impl Since {
    /// The types of `count` outputs of a node with inputs of these types; `None` where they do not follow.
    pub fn output_types(&self, inputs: &[Option<&Type>], count: usize) -> Vec<Option<Type>> {
        let bound: Vec<(&str, &Type)> = spread(self.inputs(), inputs).filter_map(|(p, ty)| Some((p.ty, ty?))).collect();
        let typed = |p: Param| match bound.iter().find(|(variable, _)| *variable == p.ty) {
            Some((_, ty)) => Some((*ty).clone()),
            None => DType::from_name(p.ty).map(Type::Tensor),
        };
        spread(self.outputs(), &vec![(); count]).map(|(p, ())| typed(p)).collect()
    }
}

fn fixed(name: &str, ty: &Type) -> bool {
    match ty {
        Type::Tensor(d) if DType::from_name(name) == Some(*d) => true,
        _ => ty.to_string() == name,
    }
}

fn params(list: &'static str) -> impl Iterator<Item = Param> {
    list.split(", ").map(str::trim).filter(|p| !p.is_empty()).map(|p| {
        let (name, ty) = p.split_once(':').unwrap_or((p, ""));
        let (ty, arity) = match ty.as_bytes().last() {
            Some(b'?') => (&ty[..ty.len() - 1], Arity::Optional),
            Some(b'*') => (&ty[..ty.len() - 1], Arity::Variadic),
            Some(b'~') => (&ty[..ty.len() - 1], Arity::Heterogeneous),
            _ => (ty, Arity::Required),
        };
        Param { name, ty, arity }
    })
}

/// Pairs what is given with its parameters: the last one repeats if it is variadic.
fn spread<'a, T: Copy>(params: impl Iterator<Item = Param>, given: &'a [T]) -> impl Iterator<Item = (Param, T)> + 'a {
    let params: Vec<Param> = params.collect();
    let param = move |i: usize| params.get(i).or_else(|| params.last().filter(|p| is_variadic(p))).copied();
    given.iter().enumerate().filter_map(move |(i, g)| Some((param(i)?, *g)))
}

fn is_variadic(p: &Param) -> bool {
    matches!(p.arity, Arity::Variadic | Arity::Heterogeneous)
}

fn check_params(what: &str, params: impl Iterator<Item = Param>, given: &[bool]) -> Result<()> {
    let params: Vec<Param> = params.collect();
    let most = if params.last().is_some_and(is_variadic) { usize::MAX } else { params.len() };
    ensure!(given.len() <= most, InvalidGraph, "{} {what}s are given, but the operator has at most {most}", given.len());
    for (i, p) in params.iter().enumerate().filter(|(_, p)| p.arity == Arity::Required) {
        ensure!(given.get(i) == Some(&true), InvalidGraph, "{what} '{}' is required but not given", p.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FLOATS, INDEX};

    const GATHER: Since = since(13, "data:T, indices:Tind -> output:T", &[("T", FLOATS), ("Tind", INDEX)]);
    const CONCAT: Since = since(13, "inputs:T* -> concat_result:T", &[("T", FLOATS)]);

    #[test]
    fn types_are_checked() {
        let (f, i, s) = (Type::Tensor(DType::F32), Type::Tensor(DType::I64), Type::Tensor(DType::String));
        assert!(GATHER.check_types(&[Some(&f), Some(&i)]).is_ok());
        assert!(GATHER.check_types(&[Some(&f), Some(&f)]).unwrap_err().detail().contains("'indices'"));
        assert!(GATHER.check_types(&[Some(&s), Some(&i)]).is_err());
        let d = Type::Tensor(DType::F64);
        assert!(CONCAT.check_types(&[Some(&f), Some(&d)]).unwrap_err().detail().contains("bound to different types"));
    }

    #[test]
    fn parameters_are_parsed() {
        let s = since(1, "a:int64, b:T?, c:T~ -> x:T*", &[]);
        let arities: Vec<_> = s.inputs().map(|p| (p.name, p.ty, p.arity)).collect();
        assert_eq!(arities, [("a", "int64", Arity::Required), ("b", "T", Arity::Optional), ("c", "T", Arity::Heterogeneous)]);
        assert_eq!(s.outputs().count(), 1);
    }
}
