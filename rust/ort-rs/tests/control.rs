//! Graphs of nodes: branches, loops, scans, sequences and optionals.

mod common;

use base::DType::{Bool, F32, I64};
use common::{elements, run, session, shape, tensor};
use ort_rs::{Tensor, Type, Value};
use testkit::{graph, model};

#[test]
fn branches_may_differ_in_shape_and_capture() {
    let then_branch = graph().node("Add", &["x", "x"], &["r"]).output("r");
    let flat = Tensor::from_slice([1], &[-1i64]).unwrap();
    let else_branch = graph().constant("s", &flat).node("Reshape", &["x", "s"], &["r"]).output("r");
    let m = model(21).input("x", F32, &["n", "2"]).input("c", Bool, &[]).node("If", &["c"], &["i"]);
    let m = m.graph("then_branch", then_branch).graph("else_branch", else_branch).node("Neg", &["i"], &["y"]).output("y");
    let s = session(m);
    let x = tensor(&[2, 2], &[1f32, 2., 3., 4.]);
    let out = run(&s, &[("x", x.clone()), ("c", tensor(&[], &[true]))]).unwrap();
    assert_eq!((shape(&out[0]), elements::<f32>(&out[0])), (vec![2, 2], vec![-2., -4., -6., -8.]));
    let out = run(&s, &[("x", x), ("c", tensor(&[], &[false]))]).unwrap();
    assert_eq!((shape(&out[0]), elements::<f32>(&out[0])), (vec![4], vec![-1., -2., -3., -4.]));
}

#[test]
fn a_loop_grows_its_state_and_scans() {
    let body = graph()
        .input("i", I64, &[])
        .input("c", Bool, &[])
        .input("v", F32, &["k"])
        .node("Concat", &["v", "x"], &["w"])
        .int("axis", 0)
        .node("Identity", &["c"], &["more"])
        .node("Identity", &["i"], &["seen"])
        .output("more")
        .output("w")
        .output("seen");
    let m = model(21).input("x", F32, &["n"]).input("trips", I64, &[]).input("go", Bool, &[]);
    let m = m.node("Loop", &["trips", "go", "x"], &["y", "is"]).graph("body", body).output("y").output("is");
    let s = session(m);
    for trips in [0i64, 1, 3] {
        let feeds = [("x", tensor(&[2], &[1f32, 2.])), ("trips", tensor(&[], &[trips])), ("go", tensor(&[], &[true]))];
        let out = run(&s, &feeds).unwrap();
        assert_eq!(shape(&out[0]), [2 * (trips as usize + 1)]);
        assert_eq!(elements::<i64>(&out[1]), (0..trips).collect::<Vec<_>>());
    }
}

#[test]
fn a_scan_sums_up() {
    let body = graph()
        .input("sum", F32, &[])
        .input("x", F32, &[])
        .node("Add", &["sum", "x"], &["next"])
        .node("Identity", &["next"], &["each"])
        .output("next")
        .output("each");
    let m = model(21).input("zero", F32, &[]).input("xs", F32, &["n"]);
    let m = m.node("Scan", &["zero", "xs"], &["total", "sums"]).int("num_scan_inputs", 1).graph("body", body);
    let s = session(m.output("total").output("sums"));
    let out = run(&s, &[("zero", tensor(&[], &[0f32])), ("xs", tensor(&[3], &[1f32, 2., 3.]))]).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [6.]);
    assert_eq!(elements::<f32>(&out[1]), [1., 3., 6.]);
}

#[test]
fn sequences_pass_through() {
    let m = model(21)
        .input("a", F32, &["n"])
        .input("b", F32, &["m"])
        .node("SequenceConstruct", &["a"], &["s"])
        .node("Neg", &["b"], &["nb"])
        .node("SequenceInsert", &["s", "nb"], &["t"])
        .constant("one", &Tensor::scalar(1i64).unwrap())
        .node("SequenceAt", &["t", "one"], &["y"])
        .output("t")
        .output("y");
    let s = session(m);
    let out = run(&s, &[("a", tensor(&[1], &[1f32])), ("b", tensor(&[2], &[2f32, 3.]))]).unwrap();
    let Value::Sequence(t) = &out[0] else { panic!("a sequence") };
    assert_eq!((t.values.len(), t.element.clone()), (2, Type::Tensor(F32)));
    assert_eq!(elements::<f32>(&out[1]), [-2., -3.]);
}
