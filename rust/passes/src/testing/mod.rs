//! Graphs written as text, the operators as tests have them, and the check that a rewrite keeps results.

mod oracle;
mod text;

pub(crate) use oracle::{OPSET, Operators};
pub(crate) use text::{Model, parse};

use std::collections::BTreeSet;

use base::{DType, Shape, Tensor, Type, Value};
use ir::{Fact, Graph};

use crate::{Level, Options, PASSES, Report, optimize};

/// The options under which only `passes` work.
pub(crate) fn only(passes: &[&str]) -> Options {
    let disabled: BTreeSet<String> = PASSES.iter().map(|p| p.name.to_owned()).filter(|n| !passes.contains(&n.as_str())).collect();
    Options { level: Level::All, disabled, fold_limit: None, stop_after: None }
}

/// Optimizes the graph in `text` by `options`, checks that it still gives the same, and gives it with the report.
pub(crate) fn optimized(text: &str, options: &Options) -> (Model, Report) {
    optimized_for(text, OPSET, options)
}

/// As [`optimized`], for a model of another opset.
pub(crate) fn optimized_for(text: &str, opset: u32, options: &Options) -> (Model, Report) {
    let operators = Operators::new(opset);
    let before = parse(text, &operators);
    let mut after = before.clone();
    let report = optimize(&mut after.graph, &mut after.facts, &*operators, options, &mut |_| {}).unwrap();
    assert_eq!(report.refused, [""; 0]);
    for seed in 0..2 {
        let feeds = before.feeds(seed);
        let (a, b) = (run(&before.graph, &operators, &feeds), run(&after.graph, &operators, &feeds));
        assert_eq!(a.len(), b.len());
        a.iter().zip(&b).for_each(|(a, b)| assert_same(a, b));
    }
    (after, report)
}

/// Checks that `passes` make the graph `after`, one line a node, of the graph in `before`.
pub(crate) fn check(passes: &[&str], before: &str, after: &str) {
    check_for(OPSET, passes, before, after);
}

/// As [`check`], for a model of another opset.
pub(crate) fn check_for(opset: u32, passes: &[&str], before: &str, after: &str) {
    let (model, _) = optimized_for(before, opset, &only(passes));
    assert_eq!(model.lines(), after.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n"));
}

/// Checks that `passes` leave the graph in `text` alone.
pub(crate) fn check_unchanged(passes: &[&str], text: &str) {
    let (_, report) = optimized(text, &only(passes));
    assert_eq!(report.applied(), []);
}

/// The outputs of `graph`, node by node.
pub(crate) fn run(graph: &Graph, operators: &Operators, feeds: &[Value]) -> Vec<Value> {
    let mut values: Vec<Option<Value>> = graph.values().map(|(_, info)| info.constant.clone()).collect();
    for (v, feed) in graph.inputs.iter().zip(feeds) {
        values[v.index()] = Some(feed.clone());
    }
    for id in graph.order().unwrap() {
        let node = graph.node(id);
        let captures = node.subgraphs.iter().flat_map(|s| &s.captures).map(|v| Some(*v));
        let inputs: Vec<Option<Value>> =
            node.inputs.iter().copied().chain(captures).map(|v| v.map(|v| values[v.index()].clone().unwrap())).collect();
        let outputs = operators.run(node, &inputs);
        for (v, value) in node.outputs.iter().flatten().zip(outputs) {
            values[v.index()] = Some(value);
        }
    }
    graph.outputs.iter().map(|v| values[v.index()].clone().unwrap()).collect()
}

fn assert_same(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) if a.dtype().is_float() => {
            assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()));
            let tolerance = if a.dtype() == DType::F32 { 1e-4 } else { 1e-2 };
            testkit::assert_close(b, &crate::numbers::numbers(a).unwrap(), tolerance, tolerance);
        }
        (a, b) => testkit::assert_equal(a, b),
    }
}

/// Numbers that look random, the same for the same seed: between -1 and 1, or between 0.5 and 1.5 for those that must be positive.
pub(crate) fn noise(dtype: DType, shape: Shape, seed: u64, positive: bool) -> Tensor {
    let len = Shape::checked_len(&shape).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    match dtype {
        DType::Bool => Tensor::from_slice(shape, &(0..len).map(|_| next() < 0.5).collect::<Vec<_>>()).unwrap(),
        DType::I64 => Tensor::from_slice(shape, &(0..len).map(|_| (next() * 3.0) as i64).collect::<Vec<_>>()).unwrap(),
        DType::I32 => Tensor::from_slice(shape, &(0..len).map(|_| (next() * 3.0) as i32).collect::<Vec<_>>()).unwrap(),
        _ => {
            let elements: Vec<f64> = (0..len).map(|_| if positive { next() + 0.5 } else { next() * 2.0 - 1.0 }).collect();
            crate::numbers::tensor_of(dtype, shape, &elements).unwrap()
        }
    }
}

/// A tensor for the input that `fact` speaks of; sizes that are not known are 3.
pub(crate) fn feed(fact: &Fact, seed: u64) -> Value {
    let Type::Tensor(dtype) = fact.ty else { panic!("tests feed tensors") };
    let shape = fact.shape.as_ref().unwrap().iter().map(|d| d.size().unwrap_or(3)).collect();
    noise(dtype, shape, seed, false).into()
}
