//! Saving the optimized graph as a model.

mod common;

use base::DType::F32;
use common::{elements, environment, run, tensor};
use ort_rs::Tensor;
use ort_rs::runtime::{Options, Session, Source};
use testkit::{graph, model};

#[test]
fn a_saved_model_gives_the_same() {
    let branch = |op: &str| graph().node(op, &["h"], &["r"]).output("r");
    let m = model(21)
        .input("x", F32, &["n", "3"])
        .constant("w", &Tensor::from_slice([3, 2], &[1f32, -2., 3., -4., 5., -6.]).unwrap())
        .input("c", base::DType::Bool, &[])
        .node("MatMul", &["x", "w"], &["h"])
        .node("If", &["c"], &["b"])
        .graph("then_branch", branch("Relu"))
        .graph("else_branch", branch("Neg"))
        .node("Add", &["b", "h"], &["y"])
        .output("y");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.onnx");
    let options = Options { optimized_model_path: Some(path.clone()), ..Options::default() };
    let first = Session::load(&environment(), Source::Bytes(&m.bytes()), options).unwrap();
    let second = Session::load(&environment(), Source::File(&path), Options::default()).unwrap();
    assert_eq!(first.inputs(), second.inputs());
    for c in [true, false] {
        let feeds = [("x", tensor(&[1, 3], &[1f32, 2., -3.])), ("c", tensor(&[], &[c]))];
        let (a, b) = (run(&first, &feeds).unwrap(), run(&second, &feeds).unwrap());
        assert_eq!(elements::<f32>(&a[0]), elements::<f32>(&b[0]));
    }
}

#[test]
fn a_saved_model_has_no_private_operators() {
    let weights: Vec<f32> = (0..24).map(|i| ((i * 7) % 11) as f32 * 0.25 - 1.).collect();
    let w = Tensor::from_slice([4, 2, 1, 3], &weights).unwrap();
    let m = model(21).input("x", F32, &["n", "2", "h", "w"]).constant("w", &w);
    let v = Tensor::from_slice([1, 4, 1, 3], &weights[..12]).unwrap();
    let m = m.constant("v", &v).node("Conv", &["x", "w"], &["c"]).node("Relu", &["c"], &["r"]);
    let m = m.node("Conv", &["r", "v"], &["y"]).output("y");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.onnx");
    let options = Options { optimized_model_path: Some(path.clone()), ..Options::default() };
    let first = Session::load(&environment(), Source::Bytes(&m.bytes()), options).unwrap();
    assert!(first.graph_text().contains("Reorder"), "{}", first.graph_text());
    let plain = Options { level: ort_rs::Level::Disabled, ..Options::default() };
    let second = Session::load(&environment(), Source::File(&path), plain).unwrap();
    assert!(!second.graph_text().contains("ai.ort_rs"), "{}", second.graph_text());
    let feeds = [("x", tensor(&[1, 2, 1, 6], &[1f32, 2., -3., 4., 0., -1., 5., 6., -2., 3., 1., 1.]))];
    let (a, b) = (run(&first, &feeds).unwrap(), run(&second, &feeds).unwrap());
    assert_eq!(elements::<f32>(&a[0]), elements::<f32>(&b[0]));
}
