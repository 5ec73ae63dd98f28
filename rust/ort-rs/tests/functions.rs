//! Functions of the model.

mod common;

use base::DType::F32;
use common::{elements, load, run, session, tensor};
use testkit::model;

#[test]
fn a_function_of_functions() {
    let add = model(21).input("a", F32, &[]).input("b", F32, &[]).node("Add", &["a", "b"], &["c"]).output("c");
    let twice = model(21).opset("my", 1).input("x", F32, &[]).node_of("my", "Plus", &["x", "x"], &["y"]).output("y");
    let m = model(21)
        .opset("my", 1)
        .function("my", "Plus", add)
        .function("my", "Twice", twice)
        .input("x", F32, &["n"])
        .node_of("my", "Twice", &["x"], &["t"])
        .node_of("my", "Twice", &["t"], &["y"])
        .output("y");
    let out = run(&session(m), &[("x", tensor(&[2], &[1f32, 2.]))]).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [4., 8.]);
}

#[test]
fn a_function_that_calls_itself_is_refused() {
    let body = model(21).opset("my", 1).input("x", F32, &[]).node_of("my", "F", &["x"], &["y"]).output("y");
    let m = model(21).opset("my", 1).function("my", "F", body).input("x", F32, &["n"]).node_of("my", "F", &["x"], &["y"]).output("y");
    let e = load(m).err().expect("endless");
    assert!(e.message().contains("deeper"), "{e}");
}

#[test]
fn functions_that_multiply_are_refused() {
    // Each function calls the next one ten times: ten to the power of twelve nodes.
    let mut m = model(21).opset("my", 1).input("x", F32, &["n"]);
    for level in 0..12 {
        let next = format!("F{}", level + 1);
        let mut body = model(21).opset("my", 1).input("x", F32, &[]);
        for i in 0..10 {
            let y = if i == 9 { "y".to_owned() } else { format!("y{i}") };
            body = if level == 11 { body.node("Neg", &["x"], &[&y]) } else { body.node_of("my", &next, &["x"], &[&y]) };
        }
        m = m.function("my", &format!("F{level}"), body.output("y"));
    }
    let e = load(m.node_of("my", "F0", &["x"], &["y"]).output("y")).err().expect("too many");
    assert!(e.message().contains("nodes"), "{e}");
}
