//! With known shapes, a second run allocates nothing but its outputs.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use base::DType::{Bool, F32, I64};
use common::{environment, session, tensor};
use ort_rs::runtime::{Options, Session, Source};
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
    // On one thread, for those of others are not counted.
    let options = Options { intra_op_threads: 1, ..Options::default() };
    let session = Session::load(&environment(), Source::Bytes(&m.bytes()), options).expect("a session");
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

/// Values of `shape` that are neither all equal nor all of one sign.
fn floats(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i * 37 % 23) as f32 * 0.125 - 1.25).collect();
    Tensor::from_slice(shape, &values).expect("values fill the shape")
}

fn ints(v: &[i64]) -> Tensor {
    Tensor::from_slice([v.len()], v).expect("values fill the shape")
}

fn names(dims: &[usize]) -> Vec<String> {
    dims.iter().map(ToString::to_string).collect()
}

/// What runs between inputs and outputs of type `dtype` that are cast from and to `f32`.
fn in_type(dtype: base::DType, x: &[usize], build: impl Fn(Builder) -> Builder) -> (Builder, [(&'static str, Value); 1]) {
    let dims = names(x);
    let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
    let m = model(23).opset("com.microsoft", 1).input("x0", F32, &dims);
    let code = match dtype {
        F32 => 1,
        base::DType::F16 => 10,
        base::DType::BF16 => 16,
        _ => 11,
    };
    let m = m.node("Cast", &["x0"], &["x"]).int("to", code);
    let m = build(m).node("Cast", &["y"], &["y0"]).int("to", 1).output("y0");
    (m, [("x0", floats(x).into())])
}

/// A constant of type `dtype`, made by a cast that is folded.
fn constant(m: Builder, name: &str, like: &str, tensor: &Tensor) -> Builder {
    let raw = format!("{name}_raw");
    m.constant(&raw, tensor).node("CastLike", &[&raw, like], &[name])
}

const FLOATS: [base::DType; 4] = [F32, base::DType::F16, base::DType::BF16, base::DType::F64];

#[test]
fn products() {
    for dtype in FLOATS {
        for rows in [1, 2, 5, 150] {
            let (m, feeds) = in_type(dtype, &[rows, 40], |m| {
                let m = constant(constant(m, "b", "x", &floats(&[40, 70])), "c", "x", &floats(&[70]));
                m.node("MatMul", &["x", "b"], &["p"]).node("Gemm", &["x", "b", "c"], &["q"]).node("Add", &["p", "q"], &["s"]).node(
                    "Relu",
                    &["s"],
                    &["y"],
                )
            });
            check(m, &feeds, 1);
        }
        let (m, feeds) = in_type(dtype, &[3, 20, 20], |m| m.node("MatMul", &["x", "x"], &["y"]));
        check(m, &feeds, 1);
    }
    for rows in [1, 40] {
        let dims = names(&[rows, 64]);
        let codes: Vec<u8> = (0..48 * 2 * 16).map(|i| (i * 37) as u8).collect();
        let m = model(21)
            .opset("com.microsoft", 1)
            .input("x", F32, &[&dims[0], &dims[1]])
            .constant("b", &Tensor::from_slice([48, 2, 16], &codes).unwrap())
            .constant("s", &floats(&[96]))
            .node_of("com.microsoft", "MatMulNBits", &["x", "b", "s"], &["y"]);
        let m = m.int("K", 64).int("N", 48).int("bits", 4).int("block_size", 32).output("y");
        check(m, &[("x", floats(&[rows, 64]).into())], 1);
    }
}

/// A convolution with weights of shape `w`, then a residual and an activation.
fn conv(m: Builder, x: &str, y: &str, w: &[usize], group: i64) -> Builder {
    let of = |part: &str| format!("{y}_{part}");
    let (weights, bias, sum, product) = (of("w"), of("b"), of("s"), of("p"));
    let pad = (w[2] / 2) as i64;
    let m = constant(constant(m, &weights, x, &floats(w)), &bias, x, &floats(&[w[0]]));
    let m = m.node("Conv", &[x, &weights, &bias], &[&product]).int("group", group).ints("pads", &[pad; 4]);
    m.node("Add", &[&product, x], &[&sum]).node("Relu", &[&sum], &[y])
}

#[test]
fn convolutions() {
    for dtype in FLOATS {
        for (w, group) in [([32, 32, 3, 3], 1), ([32, 32, 1, 1], 1), ([32, 1, 3, 3], 32), ([32, 8, 3, 3], 4), ([32, 32, 5, 5], 1)] {
            for size in [7, 28] {
                let (m, feeds) = in_type(dtype, &[1, 32, size, size], |m| conv(conv(m, "x", "t", &w, group), "t", "y", &w, group));
                check(m, &feeds, 1);
            }
        }
    }
}

#[test]
fn poolings() {
    for dtype in FLOATS {
        for op in ["MaxPool", "AveragePool", "LpPool"] {
            let pool = |m: Builder, x: &str, y: &str| m.node(op, &[x], &[y]).ints("kernel_shape", &[3, 3]).ints("strides", &[2, 2]);
            let (m, feeds) = in_type(dtype, &[1, 20, 9, 9], |m| pool(m, "x", "y"));
            check(m, &feeds, 1);
            let (m, feeds) = in_type(dtype, &[1, 32, 9, 9], |m| pool(conv(m, "x", "t", &[32, 32, 3, 3], 1), "t", "y"));
            check(m, &feeds, 1);
        }
        for op in ["GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"] {
            let (m, feeds) = in_type(dtype, &[2, 20, 9, 9], |m| m.node(op, &["x"], &["y"]));
            check(m, &feeds, 1);
        }
    }
    let m = model(22).input("x", F32, &["1", "3", "9", "9"]).node("MaxPool", &["x"], &["y", "i"]).ints("kernel_shape", &[3, 3]);
    check(m.output("y").output("i"), &[("x", floats(&[1, 3, 9, 9]).into())], 2);
}

#[test]
fn quantization() {
    let m = || model(21).input("x", F32, &["4", "6"]);
    let x = [("x", floats(&[4, 6]).into())];
    let back = |m: Builder, codes: Tensor, scale: &Tensor, block: i64| {
        let m = m
            .constant("s", scale)
            .constant("z", &codes)
            .node("QuantizeLinear", &["x", "s", "z"], &["q"])
            .int("axis", 1)
            .int("block_size", block);
        m.node("DequantizeLinear", &["q", "s", "z"], &["y"]).int("axis", 1).int("block_size", block).output("y")
    };
    for dtype in
        [base::DType::U8, base::DType::I8, base::DType::I16, base::DType::U16, base::DType::I4, base::DType::U4, base::DType::F8E4M3FN]
    {
        check(back(m(), Tensor::zeros(dtype, []).unwrap(), &Tensor::scalar(0.5f32).unwrap(), 0), &x, 1);
        check(back(m(), Tensor::zeros(dtype, [6]).unwrap(), &Tensor::from_slice([6], &[0.5f32; 6]).unwrap(), 0), &x, 1);
        check(back(m(), Tensor::zeros(dtype, [4, 2]).unwrap(), &Tensor::from_slice([4, 2], &[0.5f32; 8]).unwrap(), 3), &x, 1);
    }
    let dynamic = m().node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"]).node("DequantizeLinear", &["q", "s", "z"], &["y"]);
    check(dynamic.output("y"), &x, 1);
    let codes = Tensor::from_slice([6, 5], &[3u8; 30]).unwrap();
    let product =
        m().constant("b", &codes).node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"]).node("MatMulInteger", &["q", "b", "z"], &["y"]);
    check(product.output("y"), &x, 1);
    let zero = Tensor::scalar(7u8).unwrap();
    let scale = Tensor::scalar(0.25f32).unwrap();
    let weights = Tensor::from_slice([8, 8, 3, 3], &[5u8; 576]).unwrap();
    let m = model(21).input("x", F32, &["1", "8", "9", "9"]).constant("s", &scale).constant("z", &zero).constant("w", &weights);
    let m = m.node("QuantizeLinear", &["x", "s", "z"], &["q"]).node("QLinearConv", &["q", "s", "z", "w", "s", "z", "s", "z"], &["c"]);
    check(m.node("DequantizeLinear", &["c", "s", "z"], &["y"]).output("y"), &[("x", floats(&[1, 8, 9, 9]).into())], 1);
}

#[test]
fn recurrent_nets() {
    for dtype in FLOATS {
        for (op, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
            for batch in [1, 3] {
                let (m, feeds) = in_type(dtype, &[5, batch, 6], |m| {
                    let m = constant(m, "w", "x", &floats(&[1, gates * 8, 6]));
                    let m = constant(constant(m, "r", "x", &floats(&[1, gates * 8, 8])), "b", "x", &floats(&[1, 2 * gates * 8]));
                    m.node(op, &["x", "w", "r", "b"], &["y"]).int("hidden_size", 8)
                });
                check(m, &feeds, 1);
            }
        }
    }
}

#[test]
fn attention() {
    for dtype in FLOATS {
        for queries in [1, 40] {
            let (m, feeds) = in_type(dtype, &[1, 2, queries, 16], |m| m.node("Attention", &["x", "x", "x"], &["y"]).int("is_causal", 1));
            check(m, &feeds, 1);
            if dtype == F32 || dtype == base::DType::F16 {
                let heads = |m: Builder| m.node_of("com.microsoft", "MultiHeadAttention", &["x", "x", "x"], &["y"]).int("num_heads", 2);
                let (m, feeds) = in_type(dtype, &[1, queries, 32], heads);
                check(m, &feeds, 1);
            }
        }
    }
}

#[test]
fn normalizations() {
    for dtype in FLOATS {
        for op in ["LayerNormalization", "RMSNormalization"] {
            let (m, feeds) = in_type(dtype, &[4, 30], |m| constant(m, "g", "x", &floats(&[30])).node(op, &["x", "g"], &["y"]));
            check(m, &feeds, 1);
        }
        for (op, axis) in [("Softmax", 0), ("Softmax", 1), ("LogSoftmax", 0), ("LogSoftmax", 1)] {
            let (m, feeds) = in_type(dtype, &[4, 30], |m| m.node(op, &["x"], &["y"]).int("axis", axis));
            check(m, &feeds, 1);
        }
    }
}

#[test]
fn movements() {
    let m = || model(21).input("x", F32, &["4", "6"]);
    let x = [("x", floats(&[4, 6]).into())];
    check(m().node("Split", &["x"], &["a", "b"]).int("num_outputs", 2).node("Add", &["a", "b"], &["y"]).output("y"), &x, 1);
    check(m().node("Split", &["x"], &["a", "b"]).int("num_outputs", 2).output("a").output("b"), &x, 2);
    check(m().node("Concat", &["x", "x", "x"], &["y"]).int("axis", 1).output("y"), &x, 1);
    for to in [1, 2, 3, 6, 7, 9, 10, 11, 16, 17, 22] {
        check(m().node("Cast", &["x"], &["y"]).int("to", to).output("y"), &x, 1);
    }
    let slice =
        m().constant("s", &ints(&[3, 5])).constant("e", &ints(&[0, 0])).constant("a", &ints(&[0, 1])).constant("t", &ints(&[-1, -2]));
    check(slice.node("Slice", &["x", "s", "e", "a", "t"], &["y"]).output("y"), &x, 1);
    for (axis, places) in [(0, [3i64, -4]), (1, [5, 0])] {
        check(m().constant("i", &ints(&places)).node("Gather", &["x", "i"], &["y"]).int("axis", axis).output("y"), &x, 1);
    }
    for shape in [vec![6], vec![4, 1], vec![2, 4, 6], vec![]] {
        check(m().constant("b", &floats(&shape)).node("Add", &["x", "b"], &["y"]).output("y"), &x, 1);
    }
    check(m().node("Transpose", &["x"], &["t"]).node("Softmax", &["t"], &["y"]).output("y"), &x, 1);
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
