//! Saving nodes of old opsets beside one of a newer opset: all become nodes of that, and mean the same.

#![allow(clippy::unwrap_used)] // Helpers of tests fail as tests do.

mod common;

use std::path::Path;

use base::DType::{F16, F32, F64, String as Text};
use base::Strings;
use common::{environment, run};
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{Level, Result, Tensor, Value};
use testkit::{Builder, model};

/// The opset of the node that no older opset has.
const NEW: u32 = 20;

/// `old` with a function beside it whose only node is of opset [`NEW`] and has no body.
fn beside_a_new_node(old: Builder) -> Builder {
    let body = model(NEW.into()).input("a", Text, &["1"]).node("StringConcat", &["a", "a"], &["b"]).output("b");
    old.opset("new", 1)
        .function("new", "Twice", body)
        .input("text", Text, &["1"])
        .node_of("new", "Twice", &["text"], &["twice"])
        .output("twice")
}

fn load(source: Source<'_>, save: Option<&Path>) -> Result<Session> {
    let options = Options { level: Level::Disabled, optimized_model_path: save.map(Into::into), ..Options::default() };
    Session::load(&environment(), source, options)
}

/// Something for each input of `session`.
fn feeds(session: &Session) -> Vec<(String, Value)> {
    let value = |port: &ort_rs::Port| {
        let dims = port.shape.iter().flatten().map(|d| if let ort_rs::PortDim::Known(n) = d { *n as usize } else { 1 });
        let dims: Vec<usize> = dims.collect();
        let numbers: Vec<f32> = (0..dims.iter().product::<usize>()).map(|i| ((i * 7 + 3) % 11) as f32 * 0.5 - 2.0).collect();
        let tensor = match port.ty {
            base::Type::Tensor(Text) => Tensor::from_strings(dims, numbers.iter().map(|_| "text").collect::<Strings>()),
            base::Type::Tensor(F64) => Tensor::from_vec(dims, numbers.iter().map(|x| f64::from(*x)).collect()),
            base::Type::Tensor(F16) => Tensor::from_vec(dims, numbers.iter().map(|x| half::f16::from_f32(*x)).collect()),
            _ => Tensor::from_vec(dims, numbers),
        };
        (port.name.clone(), tensor.expect("values fill the shape").into())
    };
    session.inputs().iter().map(value).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let tensor = value.tensor().expect("a tensor");
    match tensor.as_ref().strings() {
        Ok(strings) => strings.iter().flat_map(str::bytes).collect(),
        Err(_) => tensor.as_ref().bytes().expect("bytes").to_vec(),
    }
}

/// Saves `old` beside a new node, and checks that the saved model is of one opset and gives the same.
fn check(name: &str, old: Builder) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.onnx");
    let first = load(Source::Bytes(&beside_a_new_node(old).bytes()), Some(&path)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let second = load(Source::File(&path), None).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(second.opsets()[""], NEW, "{name}");
    let feeds = feeds(&first);
    let feeds: Vec<(&str, Value)> = feeds.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    let (a, b) = (run(&first, &feeds).unwrap(), run(&second, &feeds).unwrap());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a.tensor().unwrap().shape(), b.tensor().unwrap().shape(), "{name}");
        assert_eq!(bytes(a), bytes(b), "{name}");
    }
}

fn on(opset: i64, dims: &[&str]) -> Builder {
    model(opset).input("x", F32, dims)
}

fn floats(values: &[f32]) -> Tensor {
    Tensor::from_slice([values.len()], values).unwrap()
}

#[test]
fn attributes_become_inputs() {
    check("Squeeze", on(11, &["1", "6"]).node("Squeeze", &["x"], &["y"]).ints("axes", &[0]).output("y"));
    check("Squeeze all", on(11, &["1", "6"]).node("Squeeze", &["x"], &["y"]).output("y"));
    check("Unsqueeze", on(11, &["2", "3"]).node("Unsqueeze", &["x"], &["y"]).ints("axes", &[0, 3]).output("y"));
    for op in ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceL2", "ReduceLogSumExp"] {
        check(op, on(11, &["2", "3"]).node(op, &["x"], &["y"]).ints("axes", &[1]).int("keepdims", 0).output("y"));
        check(op, on(11, &["2", "3"]).node(op, &["x"], &["y"]).output("y"));
    }
    check(
        "Slice",
        on(9, &["4", "5"]).node("Slice", &["x"], &["y"]).ints("axes", &[1]).ints("starts", &[1]).ints("ends", &[-1]).output("y"),
    );
    check("TopK", on(9, &["4", "5"]).node("TopK", &["x"], &["y", "i"]).int("k", 2).output("y").output("i"));
    check("Reshape", on(4, &["4", "6"]).node("Reshape", &["x"], &["y"]).ints("shape", &[2, -1]).output("y"));
    check("DFT", on(17, &["1", "4", "3", "1"]).node("DFT", &["x"], &["y"]).output("y"));
    check("DFT on axis 2", on(17, &["1", "4", "3", "1"]).node("DFT", &["x"], &["y"]).int("axis", 2).output("y"));
    check("Dropout", on(10, &["4", "5"]).node("Dropout", &["x"], &["y", "m"]).float("ratio", 0.25).output("y").output("m"));
}

#[test]
fn numbers_take_the_type_of_the_data() {
    for dtype in [F32, F64, F16] {
        let clip = model(9).input("x", dtype, &["4", "5"]).node("Clip", &["x"], &["y"]);
        check("Clip", clip.clone().float("min", -1.0).float("max", 2.0).output("y"));
        let pad = model(9).input("x", dtype, &["2", "3"]).node("Pad", &["x"], &["y"]).ints("pads", &[0, 1, 2, 0]);
        check("Pad", pad.clone().float("value", 1.5).output("y"));
        check("Pad with zeros", pad.output("y"));
    }
    check("Clip at one side", on(6, &["4", "5"]).node("Clip", &["x"], &["y"]).float("min", -1.0).output("y"));
    check("Pad by its old name", on(1, &["2", "3"]).node("Pad", &["x"], &["y"]).ints("paddings", &[0, 1, 2, 0]).output("y"));
}

#[test]
fn parts_are_counted() {
    check("Split", on(11, &["3", "4"]).node("Split", &["x"], &["y", "z"]).ints("split", &[1, 2]).output("y").output("z"));
    check("equal parts", on(11, &["3", "4"]).node("Split", &["x"], &["y", "z"]).int("axis", 1).output("y").output("z"));
}

#[test]
fn old_defaults_and_rules_are_written_out() {
    check("Softmax", on(11, &["3", "4"]).node("Softmax", &["x"], &["y"]).output("y"));
    check("Softmax on the last axis", on(11, &["2", "3", "4"]).node("Softmax", &["x"], &["y"]).int("axis", 2).output("y"));
    for axis in 0..3 {
        check("Softmax of a matrix", on(11, &["2", "3", "4"]).node("Softmax", &["x"], &["y"]).int("axis", axis).output("y"));
        check("LogSoftmax of a matrix", on(1, &["2", "3", "4"]).node("LogSoftmax", &["x"], &["y"]).int("axis", axis).output("y"));
    }
    check("Concat", on(3, &["3", "4"]).node("Concat", &["x", "x"], &["y"]).output("y"));
    let boxes = Tensor::from_slice([1, 4], &[0f32, 0., 3., 3.]).unwrap();
    let roi = on(11, &["1", "1", "4", "4"]).constant("b", &boxes).constant("i", &Tensor::from_slice([1], &[0i64]).unwrap());
    check("RoiAlign", roi.node("RoiAlign", &["x", "b", "i"], &["y"]).int("output_height", 2).int("output_width", 2).output("y"));
    let grid = Tensor::from_slice([1, 1, 2, 2], &[0.1f32, -0.4, 0.9, 0.2]).unwrap();
    for mode in ["bilinear", "bicubic"] {
        let sample = on(16, &["1", "1", "4", "4"]).constant("g", &grid).node("GridSample", &["x", "g"], &["y"]);
        check(mode, sample.clone().string("mode", mode).output("y"));
    }
}

#[test]
fn images_grow_as_before() {
    let scales = [1f32, 1., 2., 1.5];
    for mode in ["nearest", "linear"] {
        let image = on(9, &["1", "1", "3", "4"]).constant("s", &floats(&scales));
        check("Upsample", image.node("Upsample", &["x", "s"], &["y"]).string("mode", mode).output("y"));
        let image = on(10, &["1", "1", "3", "4"]).constant("s", &floats(&scales));
        check("Resize", image.node("Resize", &["x", "s"], &["y"]).string("mode", mode).output("y"));
        let image = on(7, &["1", "1", "3", "4"]).node("Upsample", &["x"], &["y"]);
        check("Upsample by attribute", image.floats("scales", &scales).string("mode", mode).output("y"));
    }
}

#[test]
fn what_went_away_is_dropped() {
    let constants = |m: Builder| ["s", "b", "m", "v"].iter().fold(m, |m, n| m.constant(n, &floats(&[1.5, 0.5])));
    let norm = constants(on(7, &["1", "2", "3"])).node("BatchNormalization", &["x", "s", "b", "m", "v"], &["y"]);
    check("BatchNormalization", norm.int("spatial", 1).output("y"));
    let gemm = on(6, &["2", "2"]).constant("c", &floats(&[1., 2.])).node("Gemm", &["x", "x", "c"], &["y"]);
    check("Gemm", gemm.int("broadcast", 1).output("y"));
    check("Relu", on(1, &["4"]).node("Relu", &["x"], &["y"]).ints("consumed_inputs", &[0]).output("y"));
    check("Dropout", on(6, &["4"]).node("Dropout", &["x"], &["y"]).int("is_test", 1).output("y"));
    let places = Tensor::from_slice([1, 4], &[0i64, 1, 1, 0]).unwrap();
    let updates = Tensor::from_slice([1, 4], &[9f32, 8., 7., 6.]).unwrap();
    let scatter = on(10, &["2", "4"]).constant("i", &places).constant("u", &updates);
    check("Scatter", scatter.node("Scatter", &["x", "i", "u"], &["y"]).output("y"));
}

#[test]
fn what_means_something_else_stays_or_is_refused() {
    let refused = |old: Builder| {
        let folder = tempfile::tempdir().unwrap();
        let saved = load(Source::Bytes(&beside_a_new_node(old).bytes()), Some(&folder.path().join("saved.onnx")));
        saved.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let shrinking = on(10, &["1", "1", "4", "4"]).constant("s", &floats(&[1., 1., 0.5, 0.5]));
    let e = refused(shrinking.node("Resize", &["x", "s"], &["y"]).output("y"));
    assert!(e.contains("cannot be written as a node of opset"), "{e}");
}
