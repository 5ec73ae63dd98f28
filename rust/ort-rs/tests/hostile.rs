//! Models and feeds that cannot be: each is refused with an error that names what is wrong.

mod common;

use base::DType::{Bool, F32, F64, I64};
use common::{environment, load, run, session, tensor};
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{ErrorKind, Tensor};
use proto::Message;
use testkit::{Builder, graph, model};

fn refused(m: Builder) -> (ErrorKind, String) {
    let e = load(m).err().expect("the model is refused");
    (e.kind(), e.message())
}

fn neg() -> Builder {
    model(21).input("x", F32, &["2", "n"]).node("Neg", &["x"], &["y"]).output("y")
}

#[test]
fn operators_that_are_not_known() {
    let unknown = refused(model(21).input("x", F32, &["n"]).node("Nope", &["x"], &["y"]).output("y"));
    assert_eq!(unknown.0, ErrorKind::InvalidGraph);
    assert!(unknown.1.contains("Nope"), "{}", unknown.1);
    let domain = refused(model(21).opset("who", 1).input("x", F32, &["n"]).node_of("who", "Nope", &["x"], &["y"]).output("y"));
    assert_eq!(domain.0, ErrorKind::Fail);
    assert!(domain.1.contains("who:Nope"), "{}", domain.1);
}

#[test]
fn graphs_that_are_no_graphs() {
    let (kind, text) = refused(model(21).node("Neg", &["nobody"], &["y"]).output("y"));
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.contains("'nobody'") && text.contains("neg_0"), "{text}");
    let (kind, text) = refused(model(21).node("Neg", &["b"], &["a"]).node("Neg", &["a"], &["b"]).output("b"));
    assert_eq!(kind, ErrorKind::Fail);
    assert!(text.contains("acyclic"), "{text}");
    let (kind, text) = refused(neg().node("Neg", &["x"], &["y"]));
    assert_eq!(kind, ErrorKind::Fail);
    assert!(text.contains("(y)"), "{text}");
    let (kind, _) = refused(neg().output("missing"));
    assert_eq!(kind, ErrorKind::InvalidGraph);
}

#[test]
fn types_and_attributes_that_the_operator_forbids() {
    let (kind, text) = refused(model(21).input("x", F32, &["n"]).input("i", F64, &["n"]).node("Add", &["x", "i"], &["y"]).output("y"));
    assert_eq!(kind, ErrorKind::InvalidGraph);
    assert!(text.contains("add_0") && text.contains("tensor(double)"), "{text}");
    let (kind, text) = refused(neg().int("what", 1));
    assert_eq!(kind, ErrorKind::InvalidGraph);
    assert!(text.contains("Unrecognized attribute: what for operator Neg"), "{text}");
    let (kind, text) = refused(model(21).input("x", F32, &["2"]).input("z", F32, &["3"]).node("Add", &["x", "z"], &["y"]).output("y"));
    assert_eq!(kind, ErrorKind::Fail);
    assert!(text.starts_with("Node (add_0) Op (Add) [ShapeInferenceError] Incompatible dimensions"), "{text}");
    assert!(text.contains("[2]") && text.contains("[3]"), "{text}");
}

#[test]
fn shapes_that_disagree_in_a_run() {
    let s = session(model(21).input("x", F32, &["n"]).input("z", F32, &["m"]).node("Add", &["x", "z"], &["y"]).output("y"));
    let e = run(&s, &[("x", tensor(&[2], &[0f32; 2])), ("z", tensor(&[3], &[0f32; 3]))]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Fail);
    assert!(e.message().starts_with("Non-zero status code returned while running Add node. Name:'add_0' Status Message: "), "{e}");
}

#[test]
fn feeds_that_do_not_fit() {
    let s = session(neg());
    let refused = |feeds: &[(&str, ort_rs::Value)]| {
        let e = run(&s, feeds).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        e.message()
    };
    assert!(refused(&[]).contains("Missing Input: x"));
    assert!(refused(&[("q", tensor(&[1], &[1f32]))]).contains("Invalid input name: q"));
    assert!(refused(&[("x", tensor(&[2, 1], &[1f64, 2.]))]).contains("Actual: (tensor(double)) , expected: (tensor(float))"));
    assert!(refused(&[("x", tensor(&[2], &[1f32, 2.]))]).contains("Invalid rank for input: x Got: 1 Expected: 2"));
    assert!(refused(&[("x", tensor(&[1, 1], &[1f32]))]).contains("index: 0 Got: 1 Expected: 2"));
    assert_eq!(run(&s, &[("x", tensor(&[2, 0], &[0f32; 0]))]).unwrap().len(), 1);
}

#[test]
fn bytes_that_are_no_model() {
    let load = |bytes: &[u8]| Session::load(&environment(), Source::Bytes(bytes), Options::default()).err().expect("refused").kind();
    assert_eq!(load(b""), ErrorKind::InvalidArgument);
    assert_eq!(load(b"no model at all"), ErrorKind::InvalidProtobuf);
    let whole = neg().bytes();
    for end in 0..whole.len() {
        // Whatever a prefix means, it must be an answer.
        let _ = Session::load(&environment(), Source::Bytes(&whole[..end]), Options::default());
    }
}

#[test]
fn sizes_beyond_all_memory() {
    let s = session(model(21).input("s", I64, &["r"]).node("ConstantOfShape", &["s"], &["y"]).output("y"));
    let e = run(&s, &[("s", tensor(&[2], &[i64::MAX, 4]))]).unwrap_err();
    assert!(e.message().contains("ConstantOfShape") || e.message().contains("large"), "{e}");
    assert!(run(&s, &[("s", tensor(&[1], &[-1i64]))]).is_err());
    assert!(run(&s, &[("s", tensor(&[3], &[1i64 << 40, 1 << 10, 1]))]).is_err());
}

#[test]
fn graphs_nested_beyond_measure() {
    let mut inner = graph().node("Neg", &["x"], &["r"]).output("r");
    for _ in 0..80 {
        let other = graph().node("Neg", &["x"], &["r"]).output("r");
        inner = graph().node("If", &["c"], &["r"]).graph("then_branch", inner).graph("else_branch", other).output("r");
    }
    let m = model(21).input("x", F32, &["n"]).input("c", Bool, &[]);
    let m = m.node("If", &["c"], &["y"]).graph("then_branch", inner.clone()).graph("else_branch", inner).output("y");
    let bytes = m.proto().encode();
    let e = Session::load(&environment(), Source::Bytes(&bytes), Options::default()).err().expect("refused");
    assert!(matches!(e.kind(), ErrorKind::InvalidGraph | ErrorKind::InvalidProtobuf), "{e}");
}

/// A model whose node `op` reads the integers `s`, which are fed or fixed.
fn of_ints(op: &str, inputs: &[&str], fixed: Option<&Tensor>) -> Builder {
    let m = model(21).constant("one", &Tensor::from_slice([1], &[1f32]).expect("one element"));
    let m = match fixed {
        Some(s) => m.constant("s", s),
        None => m.input("s", I64, &["r"]),
    };
    m.node(op, inputs, &["y"]).output("y")
}

#[test]
fn a_few_bytes_cannot_ask_for_all_memory() {
    let absurd: [&[i64]; 5] = [&[1 << 38], &[1 << 62, 1 << 62], &[i64::MAX], &[1 << 31, 1 << 31], &[i64::MIN]];
    for (op, inputs) in [("ConstantOfShape", &["s"][..]), ("Expand", &["one", "s"]), ("Tile", &["one", "s"])] {
        let s = session(of_ints(op, inputs, None));
        for sizes in absurd.iter().filter(|s| op != "Tile" || s.len() == 1) {
            let e = run(&s, &[("s", tensor(&[sizes.len()], sizes))]).expect_err(op);
            assert!(e.message().contains(op), "{e}");
            // Fixed sizes are found at load, or in the run.
            let fixed = of_ints(op, inputs, Some(&Tensor::from_slice([sizes.len()], sizes).unwrap()));
            let e = load(fixed).and_then(|s| run(&s, &[])).expect_err(op);
            assert!(e.message().contains(op) || e.message().contains("too large"), "{op} {sizes:?}: {e}");
        }
    }
    let (start, step) = (Tensor::scalar(0i64).unwrap(), Tensor::scalar(1i64).unwrap());
    let range = model(21).constant("a", &start).input("n", I64, &[]).constant("d", &step);
    let s = session(range.node("Range", &["a", "n", "d"], &["y"]).output("y"));
    for n in [1i64 << 40, i64::MAX] {
        assert!(run(&s, &[("n", tensor(&[], &[n]))]).unwrap_err().message().contains("Range"));
    }
}

#[test]
fn doubling_ends_in_an_error() {
    let chain = |op: &str, m: Builder| {
        let m = (0..70).fold(m, |m, i| {
            let (from, to) = (format!("v{i}"), format!("v{}", i + 1));
            let m = m.node(op, &[&from, &from], &[&to]);
            if op == "Concat" { m.int("axis", 0) } else { m }
        });
        m.node("Shape", &["v70"], &["y"]).output("y").output("v70")
    };
    let fixed = chain("Concat", model(21).constant("v0", &Tensor::from_slice([4], &[1f32; 4]).unwrap()));
    assert!(load(fixed).and_then(|s| run(&s, &[])).is_err());
    let s = session(chain("Concat", model(21).input("v0", F32, &["n"])));
    assert!(run(&s, &[("v0", tensor(&[4], &[1f32; 4]))]).is_err());
}

#[test]
fn a_rank_that_a_model_computes_is_bounded() {
    for (op, inputs) in [("ConstantOfShape", &["s"][..]), ("Expand", &["one", "s"]), ("Reshape", &["one", "s"])] {
        let m = model(21).constant("one", &Tensor::from_slice([1], &[1f32]).unwrap()).input("s", I64, &["1000000000000"]);
        let (_, text) = refused(m.node(op, inputs, &["y"]).output("y"));
        assert!(text.contains("1000000000000 axes"), "{text}");
    }
}

#[test]
fn functions_that_multiply_their_constants_are_refused() {
    // Each function calls the next one ten times; the last one holds a list of a million numbers.
    let mut m = model(21).opset("my", 1).input("x", F32, &["n"]);
    for level in 0..4 {
        let next = format!("F{}", level + 1);
        let mut body = model(21).opset("my", 1).input("x", F32, &[]);
        for i in 0..10 {
            let y = if i == 9 { "y".to_owned() } else { format!("y{i}") };
            body = match level {
                3 => body.node("Constant", &[], &[&y]).ints("value_ints", &vec![1; 1 << 17]),
                _ => body.node_of("my", &next, &["x"], &[&y]),
            };
        }
        m = m.function("my", &format!("F{level}"), body.output("y"));
    }
    let (_, text) = refused(m.node_of("my", "F0", &["x"], &["y"]).output("y"));
    assert!(text.contains("attributes"), "{text}");
}
