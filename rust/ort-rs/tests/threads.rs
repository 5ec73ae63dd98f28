//! The same bits for any number of threads.

mod common;

use base::DType::{Bool, F32, I64};
use common::{environment, tensor};
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{RunOptions, Tensor, Value};
use testkit::{Builder, assert_equal, graph, model};

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

#[test]
fn pieces_and_views() {
    let split = Tensor::from_slice([2], &[200i64, 317]).unwrap();
    let m = on_rows().constant("split", &split).node("Split", &["x", "split"], &["p", "q"]).int("axis", 2);
    check(&m.node("Erf", &["p"], &["e"]).node("Concat", &["q", "e"], &["y"]).int("axis", 2).output("y"), &rows());
    let at = |v: &[i64]| Tensor::from_slice([v.len()], v).unwrap();
    let m = on_rows().constant("s", &at(&[200, 500])).constant("e", &at(&[-1, 0])).constant("a", &at(&[1, 2])).constant("d", &at(&[1, -3]));
    check(&m.node("Slice", &["x", "s", "e", "a", "d"], &["c"]).node("Add", &["c", "c"], &["y"]).output("y"), &rows());
    check(&on_rows().constant("s", &at(&[-1, 211])).node("Reshape", &["x", "s"], &["r"]).node("Erf", &["r"], &["y"]).output("y"), &rows());
    check(&on_rows().node("NonZero", &["x"], &["i"]).node("Transpose", &["i"], &["y"]).output("y"), &rows());
}

#[test]
fn weights_of_few_bits() {
    let codes: Vec<u8> = noise(96 * 4 * 16).iter().map(|x| (x * 127.0) as i8 as u8).collect();
    let m = model(21).opset("com.microsoft", 1).input("x", F32, &["n", "128"]);
    let m = m.constant("w", &Tensor::from_slice([96, 4, 16], &codes).unwrap()).constant("s", &random(&[384]));
    let m = m.node_of("com.microsoft", "MatMulNBits", &["x", "w", "s"], &["y"]).int("K", 128).int("N", 96).int("bits", 4);
    let m = m.int("block_size", 32).output("y");
    for n in [1, 67] {
        check(&m, &[("x", random(&[n, 128]).into())]);
    }
    let int4 = Tensor::from_bytes(ort_rs::DType::I4, [64, 64], &codes[..2048]).unwrap();
    let m = model(21).input("s", F32, &["2", "64"]).constant("w", &int4).node("DequantizeLinear", &["w", "s"], &["y"]);
    check(&m.int("axis", 0).int("block_size", 32).output("y"), &[("s", random(&[2, 64]).into())]);
}

#[test]
fn graphs_of_nodes() {
    let double = || graph().node("MatMul", &["x", "w"], &["r"]).output("r");
    let base = || model(21).input("x", F32, &["n", "65"]).constant("w", &random(&[65, 65]));
    let feeds = [("x", random(&[301, 65]).into())];
    let yes = Tensor::scalar(true).unwrap();
    check(
        &base().constant("c", &yes).node("If", &["c"], &["y"]).graph("then_branch", double()).graph("else_branch", double()).output("y"),
        &feeds,
    );
    let body = graph().input("i", I64, &[]).input("c", Bool, &[]).input("v", F32, &["n", "65"]).node("Identity", &["c"], &["more"]);
    let body = body.node("MatMul", &["v", "w"], &["p"]).node("Softmax", &["p"], &["u"]).node("Identity", &["u"], &["each"]);
    let m = base().constant("turns", &Tensor::scalar(3i64).unwrap());
    let m = m.node("Loop", &["turns", "", "x"], &["y", "z"]).graph("body", body.output("more").output("u").output("each"));
    check(&m.output("y").output("z"), &feeds);
    let body = graph().input("sum", F32, &["65"]).input("row", F32, &["65"]).node("Add", &["sum", "row"], &["next"]);
    let body = body.node("Erf", &["next"], &["each"]).output("next").output("each");
    let m = base().constant("zero", &random(&[65])).node("Scan", &["zero", "x"], &["y", "z"]).int("num_scan_inputs", 1).graph("body", body);
    check(&m.output("y").output("z"), &feeds);
}

#[test]
fn lists_texts_and_functions() {
    let m = on_rows().node("SequenceConstruct", &["x"], &["s"]).node("Erf", &["x"], &["e"]).node("SequenceInsert", &["s", "e"], &["t"]);
    let m = m.constant("last", &Tensor::scalar(-1i64).unwrap()).node("SequenceAt", &["t", "last"], &["y"]).output("y");
    check(&m, &rows());
    let words: Vec<String> = (0..5000).map(|i| format!("w{i}")).collect();
    let words = Tensor::from_strings([5000], words.iter().collect::<ort_rs::Strings>()).unwrap();
    let m = model(21).input("s", ort_rs::DType::String, &["n"]).node("StringConcat", &["s", "s"], &["y"]).output("y");
    check(&m, &[("s", words.into())]);
    let body = model(21).input("a", F32, &[]).node("Softmax", &["a"], &["b"]).node("Add", &["a", "b"], &["c"]).output("c");
    let m = on_rows().opset("my", 1).function("my", "F", body).node_of("my", "F", &["x"], &["y"]).output("y");
    check(&m, &rows());
}
