//! The same bits for any number of threads.

mod common;

use base::DType::{F32, I64};
use common::{environment, tensor};
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{RunOptions, Tensor, Value};
use testkit::{Builder, assert_equal, model};

/// Numbers without a pattern that sums could hide behind.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn random(shape: &[usize]) -> Tensor {
    Tensor::from_slice(shape, &noise(shape.iter().product())).expect("elements fill the shape")
}

fn outputs(m: &Builder, threads: usize, feeds: &[(&str, Value)]) -> Vec<Value> {
    let options = Options { intra_op_threads: threads, ..Options::default() };
    let session = Session::load(&environment(), Source::Bytes(&m.clone().bytes()), options).unwrap_or_else(|e| panic!("{e}"));
    session.run(feeds, &[], &RunOptions::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn check(m: &Builder, feeds: &[(&str, Value)]) {
    let expected = outputs(m, 1, feeds);
    for threads in [2, 3] {
        outputs(m, threads, feeds).iter().zip(&expected).for_each(|(a, b)| assert_equal(a, b));
    }
}

/// A model of one node on an input `x` of three axes.
fn on_rows() -> Builder {
    model(21).input("x", F32, &["a", "b", "c"])
}

fn rows() -> [(&'static str, Value); 1] {
    [("x", random(&[7, 211, 517]).into())]
}

#[test]
fn element_wise() {
    check(&on_rows().node("Add", &["x", "x"], &["a"]).node("Erf", &["a"], &["y"]).output("y"), &rows());
    check(&on_rows().node("Cast", &["x"], &["y"]).int("to", 10).output("y"), &rows());
}

#[test]
fn reductions_and_norms() {
    let axes = Tensor::from_slice([2], &[0i64, 2]).unwrap();
    check(&on_rows().constant("axes", &axes).node("ReduceSum", &["x", "axes"], &["y"]).output("y"), &rows());
    check(
        &on_rows().constant("all", &Tensor::from_slice([0], &[0i64; 0]).unwrap()).node("ReduceMean", &["x", "all"], &["y"]).output("y"),
        &rows(),
    );
    check(&on_rows().node("Softmax", &["x"], &["y"]).int("axis", 1).output("y"), &rows());
    let scale = random(&[517]);
    check(&on_rows().constant("s", &scale).node("LayerNormalization", &["x", "s", "s"], &["y"]).output("y"), &rows());
}

#[test]
fn movement() {
    check(&on_rows().node("Transpose", &["x"], &["y"]).ints("perm", &[2, 0, 1]).output("y"), &rows());
    let m =
        model(21).input("x", F32, &["a", "b", "c"]).input("i", I64, &["n"]).node("Gather", &["x", "i"], &["y"]).int("axis", 1).output("y");
    let indices: Vec<i64> = (0..400).map(|i| (i * 37) % 211).collect();
    check(&m, &[("x", random(&[7, 211, 517]).into()), ("i", tensor(&[400], &indices))]);
}

#[test]
fn products() {
    check(&on_rows().constant("w", &random(&[517, 301])).node("MatMul", &["x", "w"], &["y"]).output("y"), &rows());
    let m = model(21).input("a", F32, &["m", "k"]).input("b", F32, &["n", "k"]).input("c", F32, &["n"]);
    let m = m.node("Gemm", &["a", "b", "c"], &["y"]).int("transB", 1).float("alpha", 0.5).output("y");
    check(&m, &[("a", random(&[3, 1025]).into()), ("b", random(&[777, 1025]).into()), ("c", random(&[777]).into())]);
}

#[test]
fn convolutions() {
    let m = model(21).input("x", F32, &["n", "19", "h", "w"]).constant("w", &random(&[37, 19, 3, 3])).constant("b", &random(&[37]));
    let m = m.node("Conv", &["x", "w", "b"], &["c"]).ints("pads", &[1, 1, 1, 1]).node("Relu", &["c"], &["y"]).output("y");
    check(&m, &[("x", random(&[2, 19, 45, 39]).into())]);
}

#[test]
fn quantized() {
    let (scale, zero) = (Tensor::scalar(0.02f32).unwrap(), Tensor::scalar(7u8).unwrap());
    let m = on_rows().constant("s", &scale).constant("z", &zero).node("QuantizeLinear", &["x", "s", "z"], &["q"]);
    check(&m.node("DequantizeLinear", &["q", "s", "z"], &["y"]).output("q").output("y"), &rows());
}
