//! The check that a model's statements on shapes are what inference finds, which is made on demand.

use std::collections::HashMap;

use base::{Result, bail};
use ir::{Dim, Facts, Graph};
use proto::{GraphProto, ValueInfoProto};

use crate::PortDim;
use crate::import::shape;

/// Compares what `proto` states of its values and outputs with the facts of `graph`, made of it.
///
/// # Errors
/// `Fail` that names the node and the value whose number of axes, or a size, is stated otherwise than inferred.
pub(crate) fn check(proto: &GraphProto<'_>, graph: &Graph, facts: &Facts) -> Result<()> {
    let by_name: HashMap<&str, _> = graph.values().map(|(v, info)| (&*info.name, v)).collect();
    for info in proto.value_info.iter().chain(&proto.output) {
        let (Some(v), Some(declared)) = (by_name.get(&*info.name), declared(info)) else { continue };
        let Some(inferred) = facts.get(*v).and_then(|f| f.shape.as_deref()) else { continue };
        if let Some(quarrel) = quarrel(&declared, inferred) {
            let node = graph.producer(*v).map_or("", |(_, node)| &node.name);
            bail!(Fail, "Node:{node} Output:{} [ShapeInferenceError] {quarrel}", info.name);
        }
    }
    Ok(())
}

fn declared(info: &ValueInfoProto<'_>) -> Option<Vec<PortDim>> {
    shape(info.r#type.as_ref()?)
}

/// In what both disagree.
fn quarrel(declared: &[PortDim], inferred: &[Dim]) -> Option<String> {
    let (d, i) = (declared.len(), inferred.len());
    if d != i {
        return Some(format!("Mismatch between number of inferred and declared dimensions. inferred={i} declared={d}"));
    }
    declared.iter().zip(inferred).enumerate().find_map(|(axis, pair)| match pair {
        (PortDim::Known(d), Dim::Known(i)) if d != i => Some(format!(
            "Can't merge shape info. Both inferred and declared dimension have values but they differ. Inferred={i} Declared={d} \
             Dimension={axis}"
        )),
        _ => None,
    })
}
