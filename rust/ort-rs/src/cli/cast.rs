//! Tensors as others of another type, by the runtime's own operator.

use base::{DType, Result, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node};
use op::{NoSubgraphs, run_alone};

use crate::runtime;

/// `tensor` as one of `dtype`.
pub(crate) fn cast(tensor: Tensor, dtype: DType) -> Result<Tensor> {
    let registry = runtime::shared()?.registry();
    let mut graph = Graph::default();
    let (from, to) = (graph.add_value("from"), graph.add_value("to"));
    let mut node = Node::new(registry.resolve("", "Cast", u32::MAX)?);
    node.inputs.push(Some(from));
    node.outputs.push(Some(to));
    node.attributes.insert("to".to_owned(), Attribute::Int(dtype as i64));
    let value = Value::from(tensor);
    let fact = Fact::constant(value.clone());
    let outputs = run_alone(registry, &node, &[Some(value)], &[Some(&fact)], &NoSubgraphs, &base::threads::Cancel::new())?;
    outputs[0].tensor().cloned()
}
