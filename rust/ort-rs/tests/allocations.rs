//! With known shapes, a second run allocates nothing but its outputs.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use base::DType::{Bool, F32, I64};
use common::{session, tensor};
use ort_rs::runtime::Session;
use ort_rs::{RunOptions, Tensor, Type, Value};
use testkit::{Builder, graph, model};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
        let _ = BYTES.try_with(|b| b.set(b.get() + layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the third run; the second one may still settle pools.
fn allocations(session: &Session, feeds: &[(&str, Value)]) -> usize {
    let options = RunOptions::default();
    for _ in 0..2 {
        session.run(feeds, &[], &options).expect("a run");
    }
    let before = COUNT.with(Cell::get);
    let outputs = session.run(feeds, &[], &options).expect("a run");
    let count = COUNT.with(Cell::get) - before;
    drop(outputs);
    count
}

/// One list of outputs; for each output its buffer and the count of its owners.
fn outputs_only(outputs: usize) -> usize {
    1 + 2 * outputs
}

fn check(m: Builder, feeds: &[(&str, Value)], outputs: usize) {
    let session = session(m);
    let count = allocations(&session, feeds);
    assert!(count <= outputs_only(outputs), "{count} allocations for {outputs} outputs of\n{}", session.graph_text());
}

#[test]
fn element_wise_chain() {
    let m = model(21)
        .input("x", F32, &["n", "3"])
        .node("Add", &["x", "x"], &["a"])
        .node("Relu", &["a"], &["b"])
        .node("Mul", &["b", "x"], &["c"])
        .node("Softmax", &["c"], &["y"])
        .output("y");
    check(m, &[("x", tensor(&[2, 3], &[1f32, -2., 3., 4., -5., 6.]))], 1);
}

#[test]
fn views_and_products() {
    let w = Tensor::from_slice([3, 4], &[0.5f32; 12]).unwrap();
    let s = Tensor::from_slice([2], &[-1i64, 3]).unwrap();
    let m = model(21)
        .input("x", F32, &["n", "3"])
        .constant("w", &w)
        .constant("s", &s)
        .node("Reshape", &["x", "s"], &["r"])
        .node("MatMul", &["r", "w"], &["p"])
        .node("Transpose", &["p"], &["t"])
        .node("Concat", &["t", "t"], &["c"])
        .int("axis", 0)
        .node("Identity", &["c"], &["y"])
        .output("y");
    check(m, &[("x", tensor(&[2, 3], &[1f32, -2., 3., 4., -5., 6.]))], 1);
}

/// A node of one input `x`, then constants.
fn node(op: &str, dims: &[&str], constants: &[Tensor]) -> Builder {
    let names: Vec<String> = (0..constants.len()).map(|i| format!("c{i}")).collect();
    let m = constants.iter().zip(&names).fold(model(21).input("x", F32, dims), |m, (t, name)| m.constant(name, t));
    let inputs: Vec<&str> = std::iter::once("x").chain(names.iter().map(String::as_str)).collect();
    m.node(op, &inputs, &["y"])
}

#[test]
fn operators_of_known_sizes() {
    let ints = |v: &[i64]| Tensor::from_slice([v.len()], v).unwrap();
    let floats = |shape: &[usize]| Tensor::from_slice(shape, &vec![0.5f32; shape.iter().product()]).unwrap();
    let rows = [("x", tensor(&[4, 6], &[0.25f32; 24]))];
    let check = |m: Builder| check(m.output("y"), &rows, 1);
    check(node("Gather", &["n", "6"], &[ints(&[0, 5, -1])]).int("axis", 1));
    check(node("Add", &["n", "6"], &[floats(&[6])]));
    check(node("Softmax", &["n", "6"], &[]));
    check(node("Cast", &["n", "6"], &[]).int("to", 10));
    check(node("Transpose", &["n", "6"], &[]));
    check(node("Reshape", &["n", "6"], &[ints(&[3, -1])]));
    check(node("Slice", &["n", "6"], &[ints(&[1]), ints(&[5]), ints(&[1])]));
    check(node("Concat", &["n", "6"], &[floats(&[1, 6])]).int("axis", 0));
    check(node("MatMul", &["n", "6"], &[floats(&[6, 5])]));
    check(node("Gemm", &["n", "6"], &[floats(&[6, 5]), floats(&[5])]));
    check(node("LayerNormalization", &["n", "6"], &[floats(&[6]), floats(&[6])]));
}

/// The bytes that a loop of `turns` turns asks for that appends a tensor to a sequence in each.
fn bytes_of_appending(turns: i64) -> usize {
    let body = graph()
        .input("i", I64, &[])
        .input("c", Bool, &[])
        .value_input("s", &Type::Sequence(Box::new(Type::Tensor(I64))))
        .node("Identity", &["c"], &["more"])
        .node("SequenceInsert", &["s", "i"], &["t"])
        .output("more")
        .output("t");
    let m = model(21).input("n", I64, &[]).node("SequenceEmpty", &[], &["s0"]).int("dtype", 7);
    let s = session(m.node("Loop", &["n", "", "s0"], &["t"]).graph("body", body).node("SequenceLength", &["t"], &["y"]).output("y"));
    let feeds = [("n", tensor(&[], &[turns]))];
    let options = RunOptions::default();
    s.run(&feeds, &[], &options).expect("a run");
    let before = BYTES.with(Cell::get);
    let out = s.run(&feeds, &[], &options).expect("a run");
    assert_eq!(common::elements::<i64>(&out[0]), [turns]);
    BYTES.with(Cell::get) - before
}

#[test]
fn a_loop_appends_to_a_sequence_in_place() {
    // Twice as many turns take twice as much; copies of the list would take four times as much.
    let (once, twice) = (bytes_of_appending(2000), bytes_of_appending(4000));
    assert!(twice < 3 * once, "{once} bytes for 2000 turns, {twice} for 4000");
}
