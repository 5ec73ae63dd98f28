//! With known shapes, a second run allocates nothing but its outputs.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use base::DType::F32;
use common::{session, tensor};
use ort_rs::runtime::Session;
use ort_rs::{RunOptions, Tensor, Value};
use testkit::{Builder, model};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|c| c.set(c.get() + 1));
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
    let count = allocations(&session(m), feeds);
    assert!(count <= outputs_only(outputs), "{count} allocations for {outputs} outputs");
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
