//! Kernels that would run for hours in one piece are left when their run is cancelled. One that did not look would hang its test.

mod common;

use std::thread;
use std::time::Duration;

use base::DType::{F32, I64};
use common::session;
use ort_rs::{RunOptions, Tensor, Value};
use testkit::{Builder, model};

fn floats(shape: &[usize]) -> Value {
    Tensor::zeros(F32, shape).expect("memory").into()
}

/// Cancels a run of `m` that is under way.
fn cancelled(m: Builder, feeds: &[(&str, Value)]) {
    let (session, options) = (session(m), RunOptions::default());
    let error = thread::scope(|scope| {
        let run = scope.spawn(|| session.run(feeds, &[], &options));
        thread::sleep(Duration::from_millis(20));
        options.cancel.cancel();
        run.join().expect("no panic").expect_err("cancelled")
    });
    assert!(error.detail().contains("terminate flag"), "{error}");
    // The session serves on, and stops again.
    assert!(session.run(feeds, &[], &options).is_err());
}

fn planes(op: &str, kernel: i64) -> Builder {
    model(22).input("x", F32, &["1", "1", "h", "w"]).node(op, &["x"], &["y"]).ints("kernel_shape", &[kernel; 2])
}

#[test]
fn windows_as_large_as_pictures() {
    let x = [("x", floats(&[1, 1, 3000, 3000]))];
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        cancelled(planes(op, 1500).output("y"), &x);
    }
    let places = model(22).input("x", F32, &["1", "1", "h", "w"]).node("MaxPool", &["x"], &["y", "i"]).ints("kernel_shape", &[1500; 2]);
    cancelled(places.output("y").output("i"), &x);
    let conv = model(22).input("x", F32, &["1", "1", "h", "w"]).input("w", F32, &["1", "1", "kh", "kw"]).node("Conv", &["x", "w"], &["y"]);
    cancelled(conv.output("y"), &[("x", floats(&[1, 1, 3000, 3000])), ("w", floats(&[1, 1, 1500, 1500]))]);
}

#[test]
fn neighbours_of_every_channel() {
    let m = model(13).input("x", F32, &["1", "c", "64"]).node("LRN", &["x"], &["y"]).int("size", 200_000).output("y");
    cancelled(m, &[("x", floats(&[1, 200_000, 64]))]);
}

#[test]
fn boxes_that_overlap_none() {
    let boxes: Vec<f32> = (0..600_000).flat_map(|i| [0.0, 2.0 * i as f32, 1.0, 2.0 * i as f32 + 1.0]).collect();
    let m = model(11)
        .input("boxes", F32, &["1", "n", "4"])
        .input("scores", F32, &["1", "1", "n"])
        .constant("most", &Tensor::scalar(i64::MAX).unwrap())
        .constant("threshold", &Tensor::scalar(0.5f32).unwrap())
        .node("NonMaxSuppression", &["boxes", "scores", "most", "threshold"], &["y"])
        .output("y");
    let boxes = Tensor::from_slice([1, 600_000, 4], &boxes).unwrap();
    cancelled(m, &[("boxes", boxes.into()), ("scores", floats(&[1, 1, 600_000]))]);
}

#[test]
fn grams_at_every_distance() {
    let m = model(9)
        .input("x", I64, &["n"])
        .node("TfIdfVectorizer", &["x"], &["y"])
        .string("mode", "TF")
        .int("min_gram_length", 2)
        .int("max_gram_length", 2)
        .int("max_skip_count", i64::MAX)
        .ints("ngram_counts", &[0, 1])
        .ints("ngram_indexes", &[0, 1])
        .ints("pool_int64s", &[7, 0, 0])
        .output("y");
    cancelled(m, &[("x", Tensor::zeros(I64, [2_000_000]).unwrap().into())]);
}
