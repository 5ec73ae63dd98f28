//! Operators on blocked channels give what they give on dense ones, and keep the lanes of no channel zero.

use base::{DType, Layout, Tensor, Value};
use ir::{Attribute, Fact, Graph, Node};
use op::{NoSubgraphs, Registry, run_alone};

/// The only output of a node.
fn run(domain: &str, name: &str, attributes: &[(&str, Attribute)], inputs: &[Option<Tensor>]) -> Tensor {
    let registry = Registry::new(crate::OPS.iter().copied()).unwrap();
    let mut graph = Graph::default();
    let mut node = Node::new(registry.resolve(domain, name, 22).unwrap());
    node.attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    node.inputs = inputs.iter().map(|i| i.as_ref().map(|_| graph.add_value(""))).collect();
    node.outputs = vec![Some(graph.add_value(""))];
    let values: Vec<Option<Value>> = inputs.iter().map(|i| i.clone().map(Value::Tensor)).collect();
    let facts: Vec<Option<Fact>> = values.iter().map(|v| v.clone().map(Fact::constant)).collect();
    let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
    run_alone(&registry, &node, &values, &facts, &NoSubgraphs, &base::threads::Cancel::new()).unwrap()[0].tensor().unwrap().clone()
}

fn reorder(x: &Tensor, block: u8) -> Tensor {
    run(crate::conv::reorder::DOMAIN, "Reorder", &[("block", Attribute::Int(block.into()))], &[Some(x.clone())])
}

fn filled(shape: &[usize], seed: usize) -> Tensor {
    let len = shape.iter().product();
    let data: Vec<f32> = (0..len).map(|i| ((i * 7919 + seed * 31) % 1009) as f32 * 0.01 - 5.0).collect();
    Tensor::from_slice(shape, &data).unwrap()
}

/// Runs a node with dense and with blocked tensors in the places of `blocked`, and compares.
fn check(domain: &str, name: &str, attributes: &[(&str, Attribute)], inputs: &[Option<Tensor>], blocked: &[usize]) {
    let block = crate::channel_block();
    let want = run(domain, name, attributes, inputs);
    let mut turned = inputs.to_vec();
    for &i in blocked {
        turned[i] = turned[i].as_ref().map(|t| reorder(t, block));
    }
    let got = run(domain, name, attributes, &turned);
    assert_eq!(got.layout(), &Layout::Blocked(block), "{name}");
    let (lanes, channels) = (usize::from(block), want.shape()[1]);
    let plane: usize = want.shape()[2..].iter().product();
    let stored = got.as_ref().stored::<f32>().unwrap();
    for (i, v) in stored.iter().enumerate() {
        let c = i / (plane * lanes) % channels.div_ceil(lanes) * lanes + i % lanes;
        assert!(c < channels || *v == 0.0, "{name} {attributes:?}: lane {i} is {v}");
    }
    let got = reorder(&got, 0);
    assert_eq!(got.dtype(), DType::F32);
    for (i, (a, b)) in got.slice::<f32>().unwrap().iter().zip(want.slice::<f32>().unwrap()).enumerate() {
        assert!((a - b).abs() <= 1e-3 + 1e-4 * b.abs(), "{name} {attributes:?}: element {i} is {a}, not {b}");
    }
}

/// A chain of blocks may begin with a convolution of dense channels.
#[test]
fn convolutions_that_begin_a_chain() {
    let block = crate::channel_block();
    for (ic, oc, shape) in [(3, 40, &[2, 3, 9, 31][..]), (1, 7, &[1, 1, 30]), (4, 33, &[1, 4, 5, 4, 40]), (3, 16, &[1, 3, 0, 5])] {
        for (kernel, stride, dilation, pad) in [(3, 1, 1, 1), (1, 2, 1, 0), (5, 2, 1, 2), (2, 3, 2, 3)] {
            let axes = shape.len() - 2;
            let attributes = [
                ("strides", Attribute::Ints(vec![stride; axes])),
                ("dilations", Attribute::Ints(vec![dilation; axes])),
                ("pads", Attribute::Ints(vec![pad; 2 * axes])),
                ("activation", Attribute::String((*b"LeakyRelu").into())),
                ("activation_params", Attribute::Floats(vec![0.25])),
            ];
            let weights: Vec<usize> = [oc, ic].into_iter().chain(std::iter::repeat_n(kernel, axes)).collect();
            let inputs = [filled(shape, 1), filled(&weights, 2), filled(&[oc], 3)].map(Some);
            let want = reorder(&run("com.microsoft", "FusedConv", &attributes, &inputs), block);
            let own: Vec<_> = attributes.iter().cloned().chain([("block", Attribute::Int(block.into()))]).collect();
            let got = run(crate::conv::reorder::DOMAIN, "ConvReorder", &own, &inputs);
            assert_eq!((got.layout(), got.shape()), (want.layout(), want.shape()));
            assert_eq!(got.as_ref().stored::<f32>().unwrap(), want.as_ref().stored::<f32>().unwrap(), "{shape:?} {attributes:?}");
        }
    }
}

#[test]
fn convolutions() {
    for (ic, oc, groups) in [(3, 40, 1), (20, 7, 1), (64, 64, 1), (12, 12, 3), (40, 20, 4), (33, 33, 33), (16, 32, 16), (48, 48, 2)] {
        for (kernel, stride, dilation, pad) in [([3, 3], 1, 1, 1), ([1, 1], 1, 1, 0), ([2, 5], 2, 1, 2), ([3, 1], 1, 2, 2)] {
            let attributes = [
                ("group", Attribute::Int(groups as i64)),
                ("pads", Attribute::Ints(vec![pad; 4])),
                ("strides", Attribute::Ints(vec![stride; 2])),
                ("dilations", Attribute::Ints(vec![dilation; 2])),
            ];
            let (x, w) = (filled(&[2, ic, 9, 11], 1), filled(&[oc, ic / groups, kernel[0], kernel[1]], 2));
            check("", "Conv", &attributes, &[Some(x), Some(w), Some(filled(&[oc], 3))], &[0]);
        }
    }
}

#[test]
fn convolutions_of_one_and_three_axes() {
    let pads = |n: usize| [("pads", Attribute::Ints(vec![1; n]))];
    check("", "Conv", &pads(2), &[Some(filled(&[1, 20, 30], 1)), Some(filled(&[24, 20, 3], 2))], &[0]);
    check("", "Conv", &pads(6), &[Some(filled(&[1, 5, 4, 5, 6], 1)), Some(filled(&[18, 5, 3, 2, 3], 2))], &[0]);
}

#[test]
fn residuals_and_activations() {
    for (name, parameters) in [("Relu", vec![]), ("Clip", vec![0.5, 2.0]), ("Sigmoid", vec![]), ("Silu", vec![]), ("", vec![])] {
        for (channels, groups) in [(20, 1), (32, 1), (12, 3), (20, 20)] {
            let attributes = [
                ("activation", name.into()),
                ("activation_params", Attribute::Floats(parameters.clone())),
                ("group", Attribute::Int(groups as i64)),
                ("pads", Attribute::Ints(vec![1; 4])),
            ];
            let (x, w) = (filled(&[1, channels, 6, 7], 1), filled(&[channels, channels / groups, 3, 3], 2));
            let (bias, z) = (filled(&[channels], 3), filled(&[1, channels, 6, 7], 4));
            check("com.microsoft", "FusedConv", &attributes, &[Some(x.clone()), Some(w.clone()), Some(bias.clone()), Some(z)], &[0, 3]);
            check("com.microsoft", "FusedConv", &attributes, &[Some(x), Some(w), Some(bias)], &[0]);
        }
    }
}

#[test]
fn poolings() {
    let x = filled(&[2, 20, 9, 10], 5);
    for (kernel, stride, pad) in [([3, 3], 2, 1), ([2, 2], 2, 0), ([3, 2], 1, 1)] {
        let attributes = [
            ("kernel_shape", Attribute::Ints(kernel.to_vec())),
            ("strides", Attribute::Ints(vec![stride; 2])),
            ("pads", Attribute::Ints(vec![pad; 4])),
        ];
        for name in ["MaxPool", "AveragePool", "LpPool"] {
            check("", name, &attributes, &[Some(x.clone())], &[0]);
        }
    }
    for name in ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"] {
        check("", name, &[], &[Some(x.clone())], &[0]);
    }
}
