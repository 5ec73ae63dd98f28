//! Results written to memory of the caller, and runs of several nodes at once.

mod common;

use base::DType::F32;
use common::{elements, session, tensor};
use ort_rs::runtime::{Destination, Options, Session, Source};
use ort_rs::{ErrorKind, RunOptions, Tensor, Value};
use testkit::{Builder, model};

fn chain() -> Builder {
    model(21).input("x", F32, &["n"]).node("Neg", &["x"], &["a"]).node("Abs", &["a"], &["b"]).node("Neg", &["b"], &["y"]).output("y")
}

/// A destination over new memory of `len` elements.
fn memory(len: usize) -> Destination {
    // SAFETY: the tensor is new, and nobody else has its memory.
    unsafe { Destination::new(Tensor::zeros(F32, [len]).expect("memory")).expect("a dense tensor") }
}

fn run(s: &Session, x: &Value, destination: &Destination) -> ort_rs::Result<Vec<Value>> {
    s.run_into(&[Some(x)], &["y"], &[Some(destination)], &RunOptions::default())
}

#[test]
fn a_result_is_made_where_it_is_wanted() {
    let (s, x) = (session(chain()), tensor(&[3], &[1f32, -2., 3.]));
    let destination = memory(3);
    for _ in 0..3 {
        let outputs = run(&s, &x, &destination).unwrap();
        assert_eq!(outputs[0].tensor().unwrap().address(), destination.tensor().unwrap().address());
        assert_eq!(elements::<f32>(&outputs[0]), [-1., -2., -3.]);
    }
}

#[test]
fn memory_that_a_feed_shares_is_written_last() {
    let s = session(model(21).input("x", F32, &["n"]).node("Neg", &["x"], &["y"]).node("Mul", &["y", "x"], &["z"]).output("y").output("z"));
    let x = Tensor::from_slice([3], &[1f32, -2., 3.]).unwrap();
    // SAFETY: nobody reads the memory but the run.
    let over = unsafe { Destination::new(x.clone()).unwrap() };
    let outputs = s.run_into(&[Some(&x.clone().into())], &["y", "z"], &[Some(&over), None], &RunOptions::default()).unwrap();
    assert_eq!(elements::<f32>(&outputs[1]), [-1., -4., -9.]);
    assert_eq!(x.slice::<f32>().unwrap(), [-1., 2., -3.]);
}

#[test]
fn a_feed_that_ends_where_a_result_begins_is_written_over() {
    // Neg may work in place; whoever reads the feed later still finds it.
    for (later, expected) in [(false, -1.), (true, 1.)] {
        let m = model(21).input("x", F32, &["n"]).input("w", F32, &["n"]).node("Neg", &["x"], &["y"]);
        let m = m.node("Add", &["w", if later { "x" } else { "w" }], &["z"]).output("y").output("z");
        let s = session(m);
        let (x, w) = (Tensor::from_slice([3], &[1f32, -2., 3.]).unwrap(), tensor(&[3], &[0f32; 3]));
        // SAFETY: nobody reads the memory but the run.
        let over = unsafe { Destination::new(x.clone()).unwrap() };
        let outputs = s.run_into(&[Some(&x.clone().into()), Some(&w)], &["y", "z"], &[Some(&over), None], &RunOptions::default()).unwrap();
        assert_eq!(x.slice::<f32>().unwrap(), [-1., 2., -3.]);
        assert_eq!(outputs[0].tensor().unwrap().address(), x.address());
        assert_eq!(elements::<f32>(&outputs[1])[0], if later { expected } else { 0. });
    }
}

#[test]
fn memory_of_another_shape_is_refused_or_left_alone() {
    let (s, x) = (session(chain()), tensor(&[3], &[1f32, 2., 3.]));
    let e = run(&s, &x, &memory(4)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    assert!(e.detail().contains("Current shape:{3} Requested shape:{4}"), "{e}");
    // SAFETY: as in `memory`.
    let spare = unsafe { Destination::reuse(Tensor::zeros(F32, [4]).unwrap()).unwrap() };
    let outputs = run(&s, &x, &spare).unwrap();
    assert_ne!(outputs[0].tensor().unwrap().address(), spare.tensor().unwrap().address());
    assert_eq!(spare.tensor().unwrap().slice::<f32>().unwrap(), [0.; 4]);
}

#[test]
fn waves_give_the_bits_of_a_walk() {
    let branches = || {
        let m = model(21).input("x", F32, &["n", "64"]);
        let m = m.node("Exp", &["x"], &["a"]).node("Sin", &["x"], &["b"]).node("Softmax", &["x"], &["c"]);
        m.node("Add", &["a", "b"], &["d"]).node("Mul", &["c", "b"], &["e"]).node("Sub", &["d", "e"], &["y"]).output("y").output("e")
    };
    let options = Options { parallel: true, intra_op_threads: 4, ..Options::default() };
    let environment = common::environment();
    let (walk, waves) = (session(branches()), Session::load(&environment, Source::Bytes(&branches().bytes()), options).unwrap());
    for rows in [0, 1, 5, 700] {
        let data: Vec<f32> = (0..rows * 64).map(|i| (i % 97) as f32 / 97. - 0.5).collect();
        let feeds = [("x", tensor(&[rows, 64], &data))];
        let expected = walk.run(&feeds, &[], &RunOptions::default()).unwrap();
        for _ in 0..5 {
            let outputs = waves.run(&feeds, &[], &RunOptions::default()).unwrap();
            for (a, b) in outputs.iter().zip(&expected) {
                assert_eq!(elements::<f32>(a), elements::<f32>(b));
            }
        }
    }
}
