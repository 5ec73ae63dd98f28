//! Models saved in the ORT format, and loaded from it.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use base::DType::{Bool, F32};
use common::{elements, environment, run, tensor};
use ort_rs::runtime::{Buffer, Options, Session, Source};
use ort_rs::{ErrorKind, Level, Tensor};
use testkit::{Builder, graph, model};

fn branching() -> Builder {
    let branch = |op: &str| graph().node(op, &["h"], &["a"]).node("Add", &["a", "h"], &["r"]).output("r");
    model(21)
        .input("x", F32, &["n", "3"])
        .constant("w", &Tensor::from_slice([3, 2], &[1f32, -2., 3., -4., 5., -6.]).expect("six elements"))
        .input("c", Bool, &[])
        .node("MatMul", &["x", "w"], &["h"])
        .node("If", &["c"], &["b"])
        .graph("then_branch", branch("Relu"))
        .graph("else_branch", branch("Neg"))
        .node("Add", &["b", "h"], &["y"])
        .output("y")
}

fn saved(level: Level, folder: &tempfile::TempDir) -> (Session, std::path::PathBuf) {
    let path = folder.path().join("saved.ort");
    let options = Options { level, optimized_model_path: Some(path.clone()), ..Options::default() };
    (Session::load(&environment(), Source::Bytes(&branching().bytes()), options).expect("a model that loads"), path)
}

fn with(key: &str, value: &str) -> Options {
    Options { config: BTreeMap::from([(key.to_owned(), value.to_owned())]), ..Options::default() }
}

#[test]
fn a_saved_model_gives_the_same() {
    for level in [Level::Disabled, Level::All] {
        let folder = tempfile::tempdir().unwrap();
        let (first, path) = saved(level, &folder);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[4..8], b"ORTM");
        let buffer = Arc::new(Buffer::copy_of(&bytes).unwrap());
        for source in [Source::File(&path), Source::Bytes(&bytes), Source::Buffer(&buffer)] {
            let second = Session::load(&environment(), source, Options::default()).unwrap();
            assert_eq!(first.inputs(), second.inputs());
            for c in [true, false] {
                let feeds = [("x", tensor(&[1, 3], &[1f32, 2., -3.])), ("c", tensor(&[], &[c]))];
                let (a, b) = (run(&first, &feeds).unwrap(), run(&second, &feeds).unwrap());
                assert_eq!(elements::<f32>(&a[0]), elements::<f32>(&b[0]));
            }
        }
    }
}

#[test]
fn the_formats_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = saved(Level::All, &folder);
    let load = |source: Source<'_>, options| Session::load(&environment(), source, options).map(drop).map_err(|e| e.kind());
    assert_eq!(load(Source::Bytes(&branching().bytes()), with("session.load_model_format", "ORT")), Err(ErrorKind::Fail));
    assert_eq!(load(Source::File(&path), with("session.load_model_format", "ONNX")), Err(ErrorKind::InvalidProtobuf));
    let other = folder.path().join("model");
    std::fs::copy(&path, &other).unwrap();
    assert_eq!(load(Source::File(&other), Options::default()), Ok(()), "told by its content");
    let onnx = Options { optimized_model_path: Some(other.clone()), ..with("session.save_model_format", "ORT") };
    load(Source::Bytes(&branching().bytes()), onnx).unwrap();
    assert_eq!(&std::fs::read(&other).unwrap()[4..8], b"ORTM");
}

#[test]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = saved(Level::All, &folder);
    let bytes = std::fs::read(&path).unwrap();
    let environment = environment();
    let config = with("session.load_model_format", "ORT");
    for position in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[position] ^= 0xff;
        for damaged in [&changed[..], &bytes[..position]] {
            // A model or an error, soon.
            drop(Session::load(&environment, Source::Bytes(damaged), config.clone()));
        }
    }
}
