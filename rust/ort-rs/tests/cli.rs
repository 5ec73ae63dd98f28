//! The command line, run as a process.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base::DType::F32;
use proto::{Message, TensorProto};
use testkit::model;

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/digits");

fn ort_rs(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ort-rs")).args(args).output().expect("the program starts")
}

/// What the program prints when all is well.
fn said(args: &[&str]) -> String {
    let output = ort_rs(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{args:?}: {out}{err}");
    assert_eq!(err, "", "{args:?}");
    out
}

/// The one line that the program gives as its error, and its exit status.
fn failed(args: &[&str]) -> (String, i32) {
    let output = ort_rs(args);
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(err.trim_end().lines().count(), 1, "{err}");
    (err, output.status.code().expect("an exit status"))
}

fn digits(file: &str) -> String {
    format!("{DIGITS}/{file}")
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path: PathBuf = folder.join(name);
    fs::write(&path, bytes).expect("a file is written");
    path.to_str().expect("a path in Unicode").to_owned()
}

#[test]
fn inspect_shows_what_a_model_is() {
    let text = said(&["inspect", &digits("digits.onnx")]);
    for part in [
        "images: tensor(float)[batch,1,8,8]",
        "probabilities: tensor(float)[batch,10]",
        "opsets   ai.onnx 20",
        "metadata classes = 0 1 2 3 4 5 6 7 8 9",
        "9 nodes:",
        "The model runs on CPUExecutionProvider.",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let row =
        |name: &str| text.lines().find(|l| l.trim_start().starts_with(name)).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row("Conv "), ["Conv", "ai.onnx", "11", "2"]);
    assert_eq!(row("float "), ["float", "7", "9931", "38.8", "KiB"]);
    let graph = said(&["inspect", "--graph", "--level", "disabled", &digits("digits.onnx")]);
    assert!(graph.contains("After optimization:") && graph.contains("Flatten"), "{graph}");
}

#[test]
fn inspect_names_everything_that_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    let inner = testkit::graph().node("Levitate", &["x"], &["r"]).output("r");
    let other = testkit::graph().node("Neg", &["x"], &["r"]).output("r");
    let m = model(21).input("x", F32, &["n"]).input("c", base::DType::Bool, &[]).opset("my.domain", 3);
    let m = m.node_of("my.domain", "Transmogrify", &["x"], &["a"]).node_of("my.domain", "Transmogrify", &["a"], &["b"]);
    let m =
        m.node("Frobnicate", &["b"], &["d"]).node("Relu", &["x"], &["e"]).node("BitShift", &["x", "x"], &["f"]).string("direction", "LEFT");
    let m = m.node("If", &["c"], &["g"]).graph("then_branch", inner).graph("else_branch", other);
    let path = write(folder.path(), "odd.onnx", &m.output("d").output("e").output("f").output("g").bytes());
    let output = ort_rs(&["inspect", &path]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["my.domain.Transmogrify", "2 nodes: transmogrify_0, transmogrify_1", "Frobnicate", "Levitate", "BitShift", "bitshift_4"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("Relu:"), "{text}");
}

#[test]
fn run_takes_values_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (model, images) = (digits("digits.onnx"), digits("images.npz"));
    let text = said(&["run", &model, "--input", &images, "--save", out.to_str().unwrap()]);
    assert!(text.contains("probabilities: tensor(float)[360,10], min "), "{text}");
    let saved = fs::read(out.join("probabilities.npy")).unwrap();
    assert!(saved.starts_with(b"\x93NUMPY") && saved.len() > 360 * 10 * 4);

    let names = said(&["run", &model, "--input", &format!("images={images}"), "--output", "scores", "--output", "pooled"]);
    assert!(names.contains("scores: ") && names.contains("pooled: tensor(float)[360,32,4,4]"), "{names}");

    let raw = Some(vec![0u8; 2 * 64 * 4].into());
    let tensor = TensorProto { name: "images".into(), dims: vec![2, 1, 8, 8], data_type: Some(1), raw_data: raw, ..Default::default() };
    let proto = write(folder.path(), "images.pb", &tensor.encode());
    let text = said(&["run", &model, "--input", &proto]);
    assert!(text.contains("probabilities: tensor(float)[2,10]"), "{text}");
    let back = said(&["run", &model, "--output", "images", "--input", &proto, "--save", out.to_str().unwrap()]);
    assert!(back.contains("min 0.000000, mean 0.000000, max 0.000000, NaN 0"), "{back}");
    let again = out.join("images.npy");
    assert!(said(&["run", &model, "--input", again.to_str().unwrap()]).contains("[2,10]"));
}

#[test]
fn run_makes_values_at_random() {
    let model = digits("digits.onnx");
    let run = |more: &[&str]| said(&[&["run", &model], more].concat());
    assert_eq!(run(&["--seed", "1"]), run(&["--seed", "1", "--threads", "1"]));
    assert_ne!(run(&["--seed", "1"]), run(&["--seed", "2"]));
    assert!(run(&["--shape", "images=3x1x8x8"]).contains("[3,10]"));
    assert!(run(&["--dim", "batch=5"]).contains("[5,10]"));
}

#[test]
fn bench_reports_times_operators_and_memory() {
    let text = said(&["bench", &digits("digits.onnx"), "--runs", "7", "--warmup", "1", "--dim", "batch=4", "--top", "20"]);
    for part in ["loading ", "first run ", "7 runs:", "p50", "p90", "p99", "Operators of the optimized graph", "Softmax"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    if cfg!(target_os = "linux") {
        assert!(text.contains("peak"), "{text}");
    }
}

#[test]
fn the_exit_status_and_one_line_tell_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let model = digits("digits.onnx");
    let (missing, status) = failed(&["run", "no such model.onnx"]);
    assert!(missing.starts_with("ort-rs: NO_SUCHFILE: ") && status == 1, "{missing}");
    let broken = write(folder.path(), "broken.onnx", b"this is no model");
    assert!(failed(&["inspect", &broken]).0.contains("INVALID_PROTOBUF"));
    let text = write(folder.path(), "a.npy", b"text");
    assert!(failed(&["run", &model, "--input", &text]).0.contains("a.npy: "));
    assert!(failed(&["run", &model, "--input", "none.npy"]).0.contains("there is no file none.npy"));
    assert!(failed(&["run", &model, "--input", "pixels=none.npy"]).0.contains("no input 'pixels', only images"));
    assert!(failed(&["run", &model, "--shape", "images=1x2"]).0.contains("Invalid rank for input: images"));
    assert!(failed(&["run", &model, "--dim", "depth=2"]).0.contains("--dim depth"));
    assert!(failed(&["run", &model, "--output", "nothing"]).0.contains("nothing"));
    assert!(failed(&["run", &model, "--disable-pass", "NoSuchPass"]).0.contains("NoSuchPass"));
    assert!(failed(&["bench", &model, "--provider", "AbacusExecutionProvider"]).0.contains("AbacusExecutionProvider"));
    assert_eq!(ort_rs(&["bench"]).status.code(), Some(2));
    assert_eq!(ort_rs(&["run", &model, "--seed", "x"]).status.code(), Some(2));
    assert!(said(&["--help"]).contains("inspect"));
}

/// The data that a page shows, from the name of its field to the end of its line.
fn shown<'p>(page: &'p str, field: &str) -> &'p str {
    let start = page.find(&format!("\"{field}\":")).unwrap_or_else(|| panic!("no {field}"));
    page[start..].lines().next().unwrap_or_default()
}

#[test]
fn profile_writes_a_page_that_needs_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("digits.html");
    let path = path.to_str().expect("a path in Unicode");
    let text = said(&["profile", &digits("digits.onnx"), "--dim", "batch=3", "--runs", "3", "--page", path]);
    assert!(text.contains("nodes, ") && text.contains("saved as "), "{text}");
    let page = fs::read_to_string(path).expect("a page");
    assert!(["http:", "https:", "src=", "@import", "url("].iter().all(|outside| !page.contains(outside)));
    assert_eq!(shown(&page, "feeds"), "\"feeds\":[\"images: float[3,1,8,8]\"],");
    assert_eq!(shown(&page, "times").matches(',').count(), 3, "{}", shown(&page, "times"));
    assert!(page.contains("\n[\"Softmax-13\",") && page.contains("\"CPUExecutionProvider\""));
    // What is given stays: three rows of ten floats.
    assert!(shown(&page, "memory").trim_end_matches(',').ends_with(",120]]"), "{}", shown(&page, "memory"));
}

#[test]
fn doctor_tells_of_the_machine() {
    let text = said(&["doctor"]);
    for part in ["instruction set used", "of a session", "CPUExecutionProvider", "ORT_RS_THREADS", "of the machine"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}
