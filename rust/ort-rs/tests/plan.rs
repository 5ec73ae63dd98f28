//! Storage: views, results over dead inputs, pieces written into a whole; sizes known late; fetches of any value.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base::DType::{F32, I64};
use common::{elements, run, session, shape, tensor};
use ort_rs::{ErrorKind, Observer, RunOptions, Tensor, Value};
use testkit::{graph, model};

#[test]
fn views_and_concat_share_memory_and_keep_values() {
    // x is split, its halves change places after work that could overwrite them, and all of it is read again at the end.
    let m = model(21)
        .input("x", F32, &["n", "4"])
        .node("Split", &["x"], &["a", "b"])
        .int("axis", 1)
        .int("num_outputs", 2)
        .node("Relu", &["a"], &["ra"])
        .node("Neg", &["b"], &["nb"])
        .node("Concat", &["nb", "ra"], &["c"])
        .int("axis", 1)
        .node("Add", &["c", "x"], &["y"])
        .output("y");
    let s = session(m);
    for n in [1usize, 3, 1, 0, 7] {
        let x: Vec<f32> = (0..n * 4).map(|i| i as f32 - 5.0).collect();
        let expected: Vec<f32> =
            x.chunks(4).flat_map(|r| [-r[2] + r[0], -r[3] + r[1], r[0].max(0.0) + r[2], r[1].max(0.0) + r[3]]).collect();
        let y = run(&s, &[("x", tensor(&[n, 4], &x))]).unwrap();
        assert_eq!((shape(&y[0]), elements::<f32>(&y[0])), (vec![n, 4], expected));
    }
}

#[test]
fn an_output_never_shares_memory_with_a_feed() {
    let m = model(21).input("x", F32, &["4"]).constant("s", &Tensor::from_slice([2], &[2i64, 2]).unwrap());
    let s = session(m.node("Reshape", &["x", "s"], &["y"]).output("y").node("Identity", &["x"], &["z"]).output("z"));
    let x = Tensor::from_slice([4], &[1f32, 2., 3., 4.]).unwrap();
    let out = run(&s, &[("x", x.clone().into())]).unwrap();
    for y in &out {
        assert_ne!(y.tensor().unwrap().address(), x.address());
        assert_eq!(elements::<f32>(y), [1., 2., 3., 4.]);
    }
}

#[test]
fn results_live_on_after_later_runs() {
    let m = model(21).input("x", F32, &["n"]).node("Neg", &["x"], &["a"]).node("Abs", &["a"], &["b"]).output("a").output("b");
    let s = session(m);
    let first = run(&s, &[("x", tensor(&[2], &[1f32, -2.]))]).unwrap();
    let second = run(&s, &[("x", tensor(&[2], &[5f32, -6.]))]).unwrap();
    assert_eq!(elements::<f32>(&first[0]), [-1., 2.]);
    assert_eq!(elements::<f32>(&first[1]), [1., 2.]);
    assert_eq!(elements::<f32>(&second[0]), [-5., 6.]);
}

#[test]
fn sizes_that_depend_on_data_end_a_segment() {
    // The indices of nonzero elements, then work on as many rows.
    let m = model(21)
        .input("x", F32, &["n"])
        .node("NonZero", &["x"], &["i"])
        .node("Transpose", &["i"], &["t"])
        .node("Add", &["t", "t"], &["d"])
        .node("Shape", &["d"], &["s"])
        .output("d")
        .output("s");
    let s = session(m);
    for x in [vec![0f32, 3., 0., 4.], vec![1., 1., 1.], vec![0.], vec![0., 2., 0., 0.]] {
        let nonzero: Vec<i64> = (0..).zip(&x).filter(|(_, v)| **v != 0.0).map(|(i, _)| 2 * i).collect();
        let out = run(&s, &[("x", tensor(&[x.len()], &x))]).unwrap();
        assert_eq!(shape(&out[0]), [nonzero.len(), 1]);
        assert_eq!(elements::<i64>(&out[0]), nonzero);
        assert_eq!(elements::<i64>(&out[1]), [nonzero.len() as i64, 1]);
    }
}

#[test]
fn shapes_that_are_fed_are_known_late() {
    let m = model(21).input("x", F32, &["n"]).input("s", I64, &["r"]).node("Reshape", &["x", "s"], &["r"]);
    let s = session(m.node("Add", &["r", "r"], &["y"]).output("y"));
    let x = tensor(&[6], &[1f32, 2., 3., 4., 5., 6.]);
    for dims in [vec![2i64, 3], vec![6], vec![1, -1, 2]] {
        let out = run(&s, &[("x", x.clone()), ("s", tensor(&[dims.len()], &dims))]).unwrap();
        assert_eq!(shape(&out[0]).iter().product::<usize>(), 6);
        assert_eq!(elements::<f32>(&out[0]), [2., 4., 6., 8., 10., 12.]);
    }
    let e = run(&s, &[("x", x), ("s", tensor(&[1], &[5i64]))]).unwrap_err();
    assert!(e.message().contains("Reshape"), "{e}");
}

#[test]
fn any_value_can_be_fetched() {
    let m = model(21).input("x", F32, &["2"]).node("Neg", &["x"], &["a"]).node("Neg", &["a"], &["b"]).node("Relu", &["b"], &["y"]);
    let s = session(m.output("y"));
    let feeds = [("x", tensor(&[2], &[1f32, -2.]))];
    let out = s.run(&feeds, &["b", "a", "y"], &RunOptions::default()).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [1., -2.]);
    assert_eq!(elements::<f32>(&out[1]), [-1., 2.]);
    assert_eq!(elements::<f32>(&out[2]), [1., 0.]);
    let e = s.run(&feeds, &["nope"], &RunOptions::default()).unwrap_err();
    assert_eq!((e.kind(), e.detail()), (ErrorKind::InvalidArgument, "Invalid output name:nope"));
}

fn endless() -> ort_rs::runtime::Session {
    let body = graph()
        .input("i", I64, &[])
        .input("c", base::DType::Bool, &[])
        .input("v", F32, &["2"])
        .node("Identity", &["c"], &["more"])
        .node("Add", &["v", "v"], &["w"])
        .output("more")
        .output("w");
    session(model(21).input("x", F32, &["2"]).node("Loop", &["", "", "x"], &["y"]).graph("body", body).output("y"))
}

#[test]
fn an_endless_loop_can_be_cancelled() {
    let s = endless();
    let feeds = [("x", tensor(&[2], &[1f32, 2.]))];
    let options = RunOptions::default();
    let deadline = options.cancel.with_deadline(Instant::now() + Duration::from_millis(50));
    let e = s.run(&feeds, &[], &RunOptions { cancel: deadline, ..RunOptions::default() }).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Fail);
    options.cancel.cancel();
    let e = s.run(&feeds, &[], &options).unwrap_err();
    assert!(e.message().contains("Exiting due to terminate flag being set to true"), "{e}");
}

#[test]
fn a_failed_run_leaves_the_session_usable() {
    let m = model(21).input("x", F32, &["n"]).input("i", I64, &["m"]).node("Gather", &["x", "i"], &["y"]).output("y");
    let s = session(m);
    let x = tensor(&[2], &[1f32, 2.]);
    let e = run(&s, &[("x", x.clone()), ("i", tensor(&[1], &[9i64]))]).unwrap_err();
    assert!(e.message().contains("gather_0") && e.message().contains("idx=9"), "{e}");
    let out: Vec<Value> = run(&s, &[("x", x), ("i", tensor(&[1], &[1i64]))]).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [2.]);
}

#[test]
fn one_name_may_have_two_sizes_where_kernels_allow_it() {
    let m = model(21).input("a", F32, &["n"]).input("b", F32, &["n"]).node("Concat", &["a", "b"], &["y"]).int("axis", 0).output("y");
    let s = session(m);
    for (a, b) in [(2usize, 2usize), (1, 3), (2, 2)] {
        let out = run(&s, &[("a", tensor(&[a], &vec![1f32; a])), ("b", tensor(&[b], &vec![2f32; b]))]).unwrap();
        assert_eq!(elements::<f32>(&out[0]), [vec![1f32; a], vec![2f32; b]].concat());
    }
}

#[test]
fn a_slice_of_symbolic_size_is_not_taken_for_the_whole() {
    for end in [1i64, 3, 63, 64, 300_007] {
        let at = |v: i64| Tensor::from_slice([1], &[v]).unwrap();
        let m = model(21)
            .input("x", F32, &["n", "m"])
            .constant("s", &at(0))
            .constant("e", &at(end))
            .constant("a", &at(1))
            .node("Neg", &["x"], &["h"])
            .node("Slice", &["h", "s", "e", "a"], &["c"])
            .node("Abs", &["c"], &["y"])
            .output("y");
        let s = session(m);
        for width in [2usize, 63, 65] {
            let x: Vec<f32> = (0..2 * width).map(|i| i as f32).collect();
            let expected: Vec<f32> = x.chunks(width).flat_map(|r| r.iter().take(end as usize).copied()).collect();
            let out = run(&s, &[("x", tensor(&[2, width], &x))]).unwrap();
            assert_eq!(elements::<f32>(&out[0]), expected);
        }
    }
}

#[test]
fn an_observer_is_told_of_each_node_in_order() {
    let m = model(21).input("x", F32, &["2"]).node("Neg", &["x"], &["a"]).node("Exp", &["a"], &["y"]);
    let s = session(m.output("y"));
    let told = Arc::new(Mutex::new(Vec::new()));
    let (log, begun) = (told.clone(), Instant::now());
    let observer = Observer::new(move |node, start, end| log.lock().unwrap().push((node.key.name.to_string(), start, end)));
    let options = RunOptions { observer: Some(observer), ..RunOptions::default() };
    s.run(&[("x", tensor(&[2], &[1f32, 2.]))], &[], &options).unwrap();
    let told = told.lock().unwrap();
    assert_eq!(told.iter().map(|(name, ..)| &**name).collect::<Vec<_>>(), ["Neg", "Exp"]);
    let times: Vec<Instant> = [begun].into_iter().chain(told.iter().flat_map(|(_, start, end)| [*start, *end])).collect();
    assert!(times.is_sorted());
}
