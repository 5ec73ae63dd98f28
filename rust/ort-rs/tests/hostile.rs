//! Models and feeds that cannot be: each is refused with an error that names what is wrong.

mod common;

use base::DType::{F32, F64, I64};
use common::{environment, load, run, session, tensor};
use ort_rs::ErrorKind;
use ort_rs::runtime::{Options, Session, Source};
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
    assert_eq!(kind, ErrorKind::InvalidGraph);
    assert!(text.contains("acyclic"), "{text}");
    let (kind, text) = refused(neg().node("Neg", &["x"], &["y"]));
    assert_eq!(kind, ErrorKind::InvalidGraph);
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
    assert_eq!(kind, ErrorKind::InvalidGraph);
    assert!(text.contains('2') && text.contains('3'), "{text}");
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
    let m = model(21).input("x", F32, &["n"]).input("c", base::DType::Bool, &[]);
    let m = m.node("If", &["c"], &["y"]).graph("then_branch", inner.clone()).graph("else_branch", inner).output("y");
    let bytes = m.proto().encode();
    let e = Session::load(&environment(), Source::Bytes(&bytes), Options::default()).err().expect("refused");
    assert!(matches!(e.kind(), ErrorKind::InvalidGraph | ErrorKind::InvalidProtobuf), "{e}");
}
