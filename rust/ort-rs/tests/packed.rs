//! Sessions share packed weights of equal content, whichever way their models came, and nothing is left of them in the end.

mod common;

use base::DType::F32;
use common::{elements, environment, run, session, tensor};
use op::Packed;
use ort_rs::runtime::{Options, Session, Source};
use ort_rs::{Tensor, Value};
use testkit::{Builder, model};

const SIZE: usize = 24;

/// A product with weights `w`, a convolution with weights all `w[0]`, and a recurrent net.
fn network(w: &[f32]) -> Builder {
    let floats =
        |shape: &[usize], value: f32| Tensor::from_slice(shape, &vec![value; shape.iter().product()]).expect("values fill the shape");
    model(21)
        .input("x", F32, &["n", "24"])
        .constant("w", &Tensor::from_slice([SIZE, SIZE], w).expect("values fill the shape"))
        .constant("kernel", &floats(&[4, 1, 3], w[0]))
        .constant("ones", &Tensor::from_slice([1], &[1i64]).expect("values fill the shape"))
        .constant("input", &floats(&[1, 4 * SIZE, SIZE], 0.01))
        .constant("state", &floats(&[1, 4 * SIZE, SIZE], w[0]))
        .node("MatMul", &["x", "w"], &["p"])
        .node("Unsqueeze", &["p", "ones"], &["u"])
        .node("Conv", &["u", "kernel"], &["y"])
        .node("LSTM", &["u", "input", "state"], &["", "z"])
        .int("hidden_size", SIZE as i64)
        .output("y")
        .output("z")
}

/// What a session says to rows of ones.
fn results(session: &Session) -> Vec<Vec<f32>> {
    run(session, &[("x", tensor(&[2, SIZE], &[1f32; 2 * SIZE]))]).expect("runs").iter().map(elements::<f32>).collect()
}

// One test: what is counted belongs to the process.
#[test]
fn equal_weights_are_packed_once() {
    let held = || Packed::shared().held();
    let weights = vec![0.5f32; SIZE * SIZE];
    let first = session(network(&weights));
    let once = held();
    assert!(once >= 3, "{once}");
    let second = session(network(&weights));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), network(&weights).bytes()).unwrap();
    let third = Session::load(&environment(), Source::File(file.path()), Options::default()).unwrap();
    assert_eq!(held(), once, "equal models");

    let mut others = weights.clone();
    others[SIZE * SIZE - 1] = 0.25;
    let other = session(network(&others));
    assert_eq!(held(), once + 1, "only the product has other weights");
    others[0] = 0.75;
    let another = session(network(&others));
    assert_eq!(held(), 2 * once + 1, "the product, the convolution and the state's weights differ; the latter are packed with the input's");

    assert_eq!(results(&first), results(&second));
    assert_eq!(results(&first), results(&third));
    assert_ne!(results(&first), results(&other));
    assert_ne!(results(&other), results(&another));

    // The session that packed them goes first.
    drop((first, other, another));
    assert_eq!(held(), once);
    assert_eq!(results(&second), results(&third));
    drop((second, third));
    assert_eq!(held(), 0);
    let again: Vec<Value> = run(&session(network(&weights)), &[("x", tensor(&[1, SIZE], &[1f32; SIZE]))]).unwrap();
    assert_eq!(elements::<f32>(&again[0])[0], 18.0);
}
