//! Operators that have a function body and a kernel: both give the same.

use base::{Tensor, Value};
use ir::{Attribute, Fact, Graph, Node};
use op::{NoSubgraphs, Registry, run_alone};

fn registry() -> Registry {
    Registry::new(crate::OPS.iter().chain(ops_math::OPS).chain(ops_tensor::OPS).copied()).unwrap()
}

fn facts(values: &[Option<Value>]) -> Vec<Option<Fact>> {
    values.iter().map(|v| v.clone().map(Fact::constant)).collect()
}

fn run(registry: &Registry, node: &Node, inputs: &[Option<Value>]) -> Vec<Value> {
    let facts = facts(inputs);
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    run_alone(registry, node, inputs, &facts, &NoSubgraphs, &base::threads::Cancel::new()).unwrap()
}

/// Runs all nodes of a graph, one after the other.
fn run_graph(registry: &Registry, graph: &Graph, inputs: &[Option<Value>]) -> Vec<Value> {
    let mut values: Vec<Option<Value>> = graph.values().map(|(_, v)| v.constant.clone()).collect();
    for (id, value) in graph.inputs.iter().zip(inputs) {
        values[id.index()].clone_from(value);
    }
    for id in graph.order().unwrap() {
        let node = graph.node(id);
        let given: Vec<Option<Value>> = node.inputs.iter().map(|i| i.and_then(|i| values[i.index()].clone())).collect();
        for (to, value) in node.outputs.iter().flatten().zip(run(registry, node, &given)) {
            values[to.index()] = Some(value);
        }
    }
    graph.outputs.iter().map(|o| values[o.index()].clone().unwrap()).collect()
}

fn filled(shape: &[usize], seed: usize) -> Value {
    let data: Vec<f32> = (0..shape.iter().product()).map(|i: usize| ((i * 37 + seed * 11) % 29) as f32 * 0.2 - 2.5).collect();
    Tensor::from_slice(shape, &data).unwrap().into()
}

/// Compares kernel and body of a node; `outputs` says which outputs are asked for.
fn check((domain, name, opset): (&str, &str, u32), attributes: &[(&str, Attribute)], inputs: &[Option<Value>], outputs: &[bool]) {
    let registry = registry();
    let mut graph = Graph::default();
    let mut node = Node::new(registry.resolve(domain, name, opset).unwrap());
    node.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    node.inputs = inputs.iter().map(|i| i.as_ref().map(|_| graph.add_value(""))).collect();
    node.outputs = outputs.iter().map(|asked| asked.then(|| graph.add_value(""))).collect();
    let known = facts(inputs);
    let known: Vec<Option<&Fact>> = known.iter().map(Option::as_ref).collect();
    let body = registry.body(&node, &known).unwrap().expect("the operator has a body");
    let of_body = run_graph(&registry, &body, inputs);
    let asked = outputs.iter().enumerate().filter(|(_, asked)| **asked).map(|(i, _)| i);
    for (i, kernel) in asked.zip(run(&registry, &node, inputs)) {
        let (a, b) = (kernel.tensor().unwrap(), of_body[i].tensor().unwrap());
        assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()), "{name} output {i}");
        for (x, y) in a.slice::<f32>().unwrap().iter().zip(b.slice::<f32>().unwrap()) {
            assert!((x - y).abs() <= 1e-4 + 1e-4 * y.abs(), "{name} output {i}: {x} and {y}");
        }
    }
}

#[test]
fn exponentials_along_an_axis() {
    let x = [Some(filled(&[2, 3, 4], 1))];
    for (name, axis) in ["Softmax", "LogSoftmax"].into_iter().flat_map(|name| [0i64, 1, 2].map(|axis| (name, axis))) {
        for opset in [11, 13] {
            check(("", name, opset), &[("axis", Attribute::Int(axis))], &x, &[true]);
        }
    }
}

#[test]
fn normalizations() {
    let (x, row) = (filled(&[2, 3, 8], 1), filled(&[8], 2));
    for axis in [-1i64, 2] {
        let attributes = [("axis", Attribute::Int(axis)), ("epsilon", Attribute::Float(1e-3))];
        let inputs = [Some(x.clone()), Some(row.clone()), Some(row.clone())];
        check(("", "LayerNormalization", 17), &attributes, &inputs, &[true, true, true]);
        check(("", "RMSNormalization", 23), &attributes, &inputs[..2], &[true]);
        check(("", "SimplifiedLayerNormalization", 17), &attributes, &inputs[..2], &[true, true]);
    }
    let channels = [Some(filled(&[2, 6, 5, 4], 3)), Some(filled(&[6], 4)), Some(filled(&[6], 5))];
    check(("", "GroupNormalization", 21), &[("num_groups", Attribute::Int(3))], &channels, &[true]);
    check(("", "MeanVarianceNormalization", 13), &[], &channels[..1], &[true]);
}

#[test]
fn attention() {
    let heads = |rows: usize, width: usize, seed: usize| Some(filled(&[2, 3, rows, width], seed));
    let mask = Some(filled(&[2, 1, 1, 6], 4));
    let inputs = [heads(5, 4, 1), heads(6, 4, 2), heads(6, 7, 3), mask];
    check(("", "Attention", 23), &[("scale", Attribute::Float(0.3))], &inputs, &[true]);
    check(("", "Attention", 23), &[], &inputs[..3], &[true]);
}

#[test]
fn residual_normalizations() {
    let inputs =
        [Some(filled(&[2, 3, 8], 1)), Some(filled(&[2, 3, 8], 6)), Some(filled(&[8], 2)), Some(filled(&[8], 3)), Some(filled(&[8], 4))];
    let asked = [true, false, false, true];
    check(("com.microsoft", "SkipLayerNormalization", 1), &[("epsilon", Attribute::Float(1e-3))], &inputs, &asked);
    check(("com.microsoft", "SkipSimplifiedLayerNormalization", 1), &[("epsilon", Attribute::Float(1e-3))], &inputs[..4], &asked);
}

#[test]
fn products() {
    let inputs = [Some(filled(&[3, 4], 1)), Some(filled(&[4, 5], 2)), Some(filled(&[5], 3))];
    for activation in ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Clip", "HardSigmoid", "HardSwish", "Softplus", "Softsign"] {
        let attributes = [("alpha", Attribute::Float(0.5)), ("activation", activation.into())];
        check(("com.microsoft", "FusedGemm", 1), &attributes, &inputs, &[true]);
    }
    for name in ["Gelu", "FastGelu", "QuickGelu", "Silu"] {
        check(("com.microsoft", "FusedGemm", 1), &[("activation", name.into())], &inputs, &[true]);
    }
    let batches = [Some(filled(&[4, 2, 3], 1)), Some(filled(&[2, 5, 3], 2))];
    let attributes = [("transBatchA", Attribute::Int(1)), ("transB", Attribute::Int(1)), ("alpha", Attribute::Float(0.25))];
    check(("com.microsoft", "FusedMatMul", 1), &attributes, &batches, &[true]);
}

#[test]
fn convolutions() {
    let inputs = [Some(filled(&[1, 4, 6, 5], 1)), Some(filled(&[8, 2, 3, 3], 2)), Some(filled(&[8], 3)), Some(filled(&[1, 8, 6, 5], 4))];
    for activation in ["Relu", "LeakyRelu", "Clip", "Silu", ""] {
        let attributes = [("group", Attribute::Int(2)), ("pads", Attribute::Ints(vec![1; 4])), ("activation", activation.into())];
        check(("com.microsoft", "FusedConv", 1), &attributes, &inputs, &[true]);
        check(("com.microsoft", "FusedConv", 1), &attributes, &inputs[..2], &[true]);
    }
    check(("ai.ort_rs", "Reorder", 1), &[("block", Attribute::Int(0))], &inputs[..1], &[true]);
}
