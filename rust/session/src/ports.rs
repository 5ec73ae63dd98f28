//! What is known of inputs and outputs: as the model declares it, as options fix it, as inference completes it.

use std::collections::HashMap;

use base::{Result, Type, bail, ensure};
use exec::Runner;
use ir::{Dim, Dims, Fact, Facts, Graph};
use proto::{TypeValue, ValueInfoProto};

use crate::{Options, Port, PortDim};

/// An axis of an input: the number of the port, then of the axis.
pub(crate) type Axis = (usize, usize);

/// `ports` with the sizes that the options give for dimensions by their name, or by the denotation that `infos` state.
pub(crate) fn fixed(mut ports: Vec<Port>, infos: &[ValueInfoProto<'_>], options: &Options) -> Vec<Port> {
    let infos: HashMap<&str, &ValueInfoProto<'_>> = infos.iter().map(|info| (&*info.name, info)).collect();
    for port in &mut ports {
        let denotations = infos.get(&*port.name).map(|info| denotations(info)).unwrap_or_default();
        for (axis, dim) in port.shape.iter_mut().flatten().enumerate() {
            let by_name = options.free_dimensions.iter().find(|(name, _)| matches!(dim, PortDim::Named(n) if n == name));
            let free = !matches!(dim, PortDim::Known(_));
            let by_denotation = options.free_denotations.iter().find(|(name, _)| free && denotations.get(axis) == Some(name));
            if let Some((_, size)) = by_name.or(by_denotation) {
                *dim = PortDim::Known(*size);
            }
        }
    }
    ports
}

/// What the model says that each axis of a tensor is.
fn denotations(info: &ValueInfoProto<'_>) -> Vec<String> {
    let Some(TypeValue::Tensor(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else { return Vec::new() };
    tensor.shape.iter().flat_map(|s| &s.dim).map(|dim| dim.denotation.to_string()).collect()
}

/// Pairs of axes that have one name: each that repeats a name, with the first of that name.
pub(crate) fn namesakes(ports: &[&Port]) -> Vec<[Axis; 2]> {
    let mut first: HashMap<&str, Axis> = HashMap::new();
    let mut pairs = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        for (axis, dim) in port.shape.iter().flatten().enumerate() {
            let PortDim::Named(name) = dim else { continue };
            match first.get(&**name) {
                Some(other) => pairs.push([*other, (i, axis)]),
                None => drop(first.insert(name, (i, axis))),
            }
        }
    }
    pairs
}

/// The facts of what is fed: named dimensions are symbols by name if `named`, all others symbols of their own.
pub(crate) fn input_facts(graph: &Graph, ports: &[&Port], named: bool) -> Result<Facts> {
    let mut facts = Facts::default();
    let by_name: HashMap<&str, &Port> = ports.iter().map(|p| (&*p.name, *p)).collect();
    for v in &graph.inputs {
        let name = &graph.value(*v).name;
        let Some(port) = by_name.get(&**name) else { bail!(InvalidGraph, "input '{name}' has no type") };
        let symbols = &mut facts.symbols;
        let shape = port.shape.as_ref().map(|dims| {
            let dim = |d: &PortDim| match d {
                PortDim::Known(n) => Dim::Known(*n),
                PortDim::Named(name) if named => symbols.named(name),
                PortDim::Named(_) | PortDim::Unknown => symbols.fresh(),
            };
            dims.iter().map(dim).collect::<Dims>()
        });
        facts.set(*v, Fact { shape, ..Fact::of(port.ty.clone()) });
    }
    Ok(facts)
}

/// The outputs as the model declares them, completed by what inference knows.
pub(crate) fn output_ports(runner: &Runner, declared: Vec<Option<Port>>, graph: &Graph) -> Result<Vec<Port>> {
    let program = runner.program();
    let pairs = program.graph().outputs.iter().zip(&graph.outputs).zip(declared);
    pairs
        .map(|((v, original), declared)| {
            let fact = program.facts().fact(*v)?;
            let known = inferred_port(&graph.value(*original).name, fact, program.facts());
            let Some(port) = declared else { return Ok(known) };
            let agree = port.ty == fact.ty || matches!(port.ty, Type::Optional(_));
            let node = graph.producer(*original).map_or("", |(_, node)| &node.name);
            ensure!(
                agree,
                Fail,
                "Type Error: Type ({}) of output arg ({}) of node ({node}) does not match expected type ({}).",
                port.ty,
                known.name,
                fact.ty
            );
            let shape = match port.shape.clone() {
                Some(declared) => merged(declared, known.shape),
                None => known.shape,
            };
            Ok(Port { shape, ..port })
        })
        .collect()
}

/// The sizes that the model declares of an output, with those that inference knows; where these disagree, what they agree on.
fn merged(declared: Vec<PortDim>, inferred: Option<Vec<PortDim>>) -> Option<Vec<PortDim>> {
    let Some(inferred) = inferred else { return Some(declared) };
    if declared.len() != inferred.len() {
        return None;
    }
    let conflict = |(d, i): (&PortDim, &PortDim)| matches!((d, i), (PortDim::Known(d), PortDim::Known(i)) if d != i);
    let torn = declared.iter().zip(&inferred).any(conflict);
    let one = |(declared, inferred): (PortDim, PortDim)| match (&declared, &inferred) {
        _ if torn && declared != inferred => PortDim::Unknown,
        (PortDim::Known(_), _) => declared,
        (_, PortDim::Known(_)) | (PortDim::Unknown, _) => inferred,
        _ => declared,
    };
    Some(declared.into_iter().zip(inferred).map(one).collect())
}

/// What inference knows of a value, as a caller sees it.
pub(crate) fn inferred_port(name: &str, fact: &Fact, facts: &Facts) -> Port {
    let shape = fact.shape.as_ref().map(|dims| dims.iter().map(|d| port_dim(d, facts)).collect());
    Port { name: name.to_owned(), ty: fact.ty.clone(), shape }
}

fn port_dim(dim: &Dim, facts: &Facts) -> PortDim {
    match (dim, dim.as_symbol().and_then(|s| facts.symbols.name(s))) {
        (Dim::Known(n), _) => PortDim::Known(*n),
        (_, Some(name)) => PortDim::Named(name.to_owned()),
        _ => PortDim::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::PortDim::{Known, Named, Unknown};
    use super::*;

    #[test]
    fn what_is_declared_and_what_is_inferred() {
        let n = || Named("n".to_owned());
        assert_eq!(merged(vec![n(), Unknown, Known(3)], Some(vec![Known(2), n(), n()])), Some(vec![Known(2), n(), Known(3)]));
        assert_eq!(merged(vec![n(), Known(3)], Some(vec![Named("m".to_owned()), Unknown])), Some(vec![n(), Known(3)]));
        assert_eq!(merged(vec![n(), Known(4)], Some(vec![Known(2), Known(3)])), Some(vec![Unknown, Unknown]));
        assert_eq!(merged(vec![n()], Some(vec![n(), n()])), None);
        assert_eq!(merged(vec![n()], None), Some(vec![n()]));
    }
}
