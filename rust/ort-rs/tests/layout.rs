//! Convolutions on blocked channels, against the same on plain ones.

mod common;

use base::DType::F32;
use common::{environment, shape};
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{Level, RunOptions, Tensor, Value};
use testkit::{Builder, assert_close, model};

fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let data: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_slice(shape, &data).expect("elements fill the shape")
}

/// Two convolutions, each with a residual or an activation, and odd numbers of channels.
fn network() -> Builder {
    model(21)
        .input("x", F32, &["n", "5", "h", "w"])
        .constant("w1", &random(&[19, 5, 3, 3], 1))
        .constant("b1", &random(&[19], 2))
        .constant("w2", &random(&[19, 19, 1, 1], 3))
        .constant("w3", &random(&[19, 1, 3, 3], 4))
        .node("Conv", &["x", "w1", "b1"], &["c1"])
        .ints("pads", &[1, 1, 1, 1])
        .node("Relu", &["c1"], &["r1"])
        .node("Conv", &["r1", "w2"], &["c2"])
        .node("Add", &["c2", "r1"], &["a2"])
        .node("Relu", &["a2"], &["r2"])
        .node("Conv", &["r2", "w3"], &["c3"])
        .ints("pads", &[1, 1, 1, 1])
        .int("group", 19)
        .node("Sigmoid", &["c3"], &["y"])
        .output("y")
}

fn run(level: Level, x: &Value) -> (String, Value) {
    let options = Options { level, ..Options::default() };
    let session = Session::load(&environment(), Source::Bytes(&network().bytes()), options).unwrap_or_else(|e| panic!("{e}"));
    let mut outputs = session.run(&[("x", x.clone())], &[], &RunOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    (session.graph_text(), outputs.remove(0))
}

#[test]
fn blocked_channels_give_the_same() {
    for (n, h, w) in [(1, 8, 8), (2, 7, 13), (1, 1, 1), (1, 33, 20)] {
        let x: Value = random(&[n, 5, h, w], 9).into();
        let (_, plain) = run(Level::Disabled, &x);
        let (text, blocked) = run(Level::All, &x);
        assert!(text.contains("/c"), "no value is blocked:\n{text}");
        assert_eq!(shape(&plain), shape(&blocked));
        let expected: Vec<f64> = plain.tensor().unwrap().slice::<f32>().unwrap().iter().map(|v| f64::from(*v)).collect();
        assert_close(blocked.tensor().unwrap(), &expected, 1e-4, 1e-5);
    }
}
