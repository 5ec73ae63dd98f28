//! Which arguments of an operator have which type: what ONNX Runtime finds kernels by when it has no operator definitions.

use base::{Result, ensure};

use super::schema::{argument, kernel_type, operator, side};
use crate::NodeProto;
use crate::flat::TableSpec;

/// What the ORT format says of a node's operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrtOperator {
    /// The opset version since which the operator is as it is.
    pub since: u32,
    /// Its inputs.
    pub inputs: Vec<OrtParameter>,
    /// Its outputs.
    pub outputs: Vec<OrtParameter>,
}

/// An input or output of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrtParameter {
    /// Its type variable; where its type is fixed, its name.
    pub kernel_type: String,
    /// Whether it takes all arguments that are left.
    pub variadic: bool,
}

impl OrtOperator {
    /// How many of the arguments of `node` belong to each input.
    ///
    /// # Errors
    /// `InvalidGraph` when there are more arguments than inputs.
    pub(super) fn input_counts(&self, node: &NodeProto<'_>) -> Result<Vec<i32>> {
        let mut left = node.input.len();
        let mut take = |most: usize| {
            let taken = left.min(most);
            left -= taken;
            taken as i32
        };
        let counts = self.inputs.iter().map(|p| take(if p.variadic { usize::MAX } else { 1 })).collect();
        ensure!(left == 0, InvalidGraph, "node '{}' has {} inputs, {left} more than {} takes", node.name, node.input.len(), node.op_type);
        Ok(counts)
    }

    /// The table `OpIdKernelTypeStrArgsEntry` of the operator called `id`.
    pub(super) fn entry(&self, id: String) -> TableSpec<'static> {
        let mut types: Vec<(&str, Vec<TableSpec<'static>>)> = Vec::new();
        for (kind, parameters) in [(side::INPUT, &self.inputs), (side::OUTPUT, &self.outputs)] {
            for (index, parameter) in parameters.iter().enumerate() {
                let place = TableSpec::default().u8(argument::KIND, kind).i32(argument::INDEX, index as i32);
                match types.iter_mut().find(|(name, _)| *name == parameter.kernel_type) {
                    Some((_, places)) => places.push(place),
                    None => types.push((&parameter.kernel_type, vec![place])),
                }
            }
        }
        types.sort_by_key(|(name, _)| *name);
        let entry = |(name, places): (&str, Vec<TableSpec<'static>>)| {
            TableSpec::default().owned_text(kernel_type::NAME, name.to_owned()).tables(kernel_type::ARGUMENTS, places)
        };
        TableSpec::default().owned_text(operator::ID, id).tables(operator::TYPES, types.into_iter().map(entry).collect())
    }
}
