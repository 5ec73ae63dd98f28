//! A provider with memory of its own: placement, copies, host masks, graphs of nodes.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use base::DType::{Bool, F32};
use common::{elements, environment, run, shape, tensor};
use ort_rs::Tensor;
use ort_rs::runtime::{Options, Session, Source};
use testkit::{Builder, MockDevice, graph, model};

fn load(device: &Arc<MockDevice>, m: Builder) -> Session {
    let environment = environment().with_provider(device.clone());
    Session::load(&environment, Source::Bytes(&m.bytes()), Options::default()).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn only_what_crosses_is_copied() {
    let device = Arc::new(MockDevice::new(&["Add", "Mul"]));
    let m = model(21)
        .input("x", F32, &["n"])
        .node("Add", &["x", "x"], &["a"])
        .node("Mul", &["a", "x"], &["b"])
        .node("Erf", &["b"], &["c"])
        .node("Add", &["c", "b"], &["y"])
        .output("y");
    let s = load(&device, m);
    let out = run(&s, &[("x", tensor(&[2], &[1f32, 0.]))]).unwrap();
    let b = 2.0f32;
    assert!((elements::<f32>(&out[0])[0] - (b + 0.995_322_3)).abs() < 1e-5);
    assert_eq!(device.counts.kernels.load(Relaxed), 3);
    assert_eq!(device.counts.to_device.load(Relaxed), 2, "x and c");
    assert_eq!(device.counts.to_host.load(Relaxed), 2, "b and y");
    let reasons: Vec<_> = s.placements().iter().filter(|p| p.op.starts_with("Erf")).flat_map(|p| p.refused.clone()).collect();
    assert_eq!(reasons, [("MockExecutionProvider".to_owned(), "the mock device has no Erf".to_owned())]);
}

#[test]
fn device_memory_is_given_back() {
    let device = Arc::new(MockDevice::new(&["Neg"]));
    let s = load(&device, model(21).input("x", F32, &["n"]).node("Neg", &["x"], &["y"]).output("y"));
    for n in [1usize, 5, 2] {
        let out = run(&s, &[("x", tensor(&[n], &vec![1f32; n]))]).unwrap();
        assert_eq!(elements::<f32>(&out[0]), vec![-1f32; n]);
    }
    drop(s);
    assert_eq!(device.live_buffers(), 0);
}

#[test]
fn shapes_are_computed_by_the_host() {
    let device = Arc::new(MockDevice::new(&["Neg", "Reshape"]));
    let m = model(21).input("x", F32, &["n", "2"]).constant("s", &Tensor::from_slice([1], &[-1i64]).unwrap());
    let s = load(&device, m.node("Neg", &["x"], &["a"]).node("Reshape", &["a", "s"], &["b"]).node("Neg", &["b"], &["y"]).output("y"));
    let out = run(&s, &[("x", tensor(&[2, 2], &[1f32, 2., 3., 4.]))]).unwrap();
    assert_eq!((shape(&out[0]), elements::<f32>(&out[0])), (vec![4], vec![1., 2., 3., 4.]));
}

#[test]
fn graphs_of_nodes_capture_device_values() {
    let device = Arc::new(MockDevice::new(&["Neg", "Add"]));
    let branch = |op: &str| graph().node(op, &["a", "a"], &["r"]).output("r");
    let m = model(21)
        .input("x", F32, &["n"])
        .input("c", Bool, &[])
        .node("Neg", &["x"], &["a"])
        .node("If", &["c"], &["y"])
        .graph("then_branch", branch("Add"))
        .graph("else_branch", branch("Mul"))
        .output("y");
    let s = load(&device, m);
    for (c, expected) in [(true, -6f32), (false, 9.)] {
        let out = run(&s, &[("x", tensor(&[1], &[3f32])), ("c", tensor(&[], &[c]))]).unwrap();
        assert_eq!(elements::<f32>(&out[0]), [expected]);
    }
}

#[test]
fn sizes_that_depend_on_data_stay_right_on_a_device() {
    let device = Arc::new(MockDevice::new(&["Add"]));
    let m = model(21).input("x", F32, &["n"]).node("NonZero", &["x"], &["i"]).node("Add", &["i", "i"], &["y"]).output("y");
    let s = load(&device, m);
    let out = run(&s, &[("x", tensor(&[4], &[0f32, 1., 0., 1.]))]).unwrap();
    assert_eq!(elements::<i64>(&out[0]), [2, 6]);
}
