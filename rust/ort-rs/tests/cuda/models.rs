//! Whole models: they stay on the device from input to output.

use base::DType;
use base::DType::{BF16, Bool, F16, F32, F64, I64};
use ort_rs::{Tensor, Value};
use testkit::{Builder, model};

use super::{compare, load, logged, numbers, on_fake, on_fake_logged, options, run, scaled};

const FLOATS: [DType; 4] = [F32, F64, F16, BF16];

fn mlp(dtype: DType) -> Builder {
    model(17)
        .input("x", dtype, &["batch", "40"])
        .constant("w1", &numbers(dtype, &[40, 70], 1))
        .constant("b1", &numbers(dtype, &[70], 2))
        .constant("w2", &numbers(dtype, &[9, 70], 3))
        .constant("b2", &numbers(dtype, &[9], 4))
        .node("Gemm", &["x", "w1", "b1"], &["h"])
        .float("alpha", 0.125)
        .node("Relu", &["h"], &["r"])
        .node("Gemm", &["r", "w2", "b2"], &["g"])
        .float("alpha", 0.125)
        .int("transB", 1)
        .node("Softmax", &["g"], &["y"])
        .output("y")
}

#[test]
fn an_mlp_of_every_type_and_batch() {
    on_fake("models::an_mlp_of_every_type_and_batch", &[], || {
        for dtype in FLOATS {
            for batch in [1, 3, 67] {
                compare(&mlp(dtype), &[("x", numbers(dtype, &[batch, 40], 5).into())], &[]);
            }
        }
    });
}

/// One layer of a BERT encoder and its embedding, as exporters write it.
fn bert_layer(dtype: DType) -> Builder {
    let hidden = 24;
    let scalar = |v: f32| {
        let t = Tensor::from_slice(&[][..], &[v]).expect("one");
        if dtype == F32 { t } else { half_of(dtype, v) }
    };
    let mut m = model(17)
        .input("ids", I64, &["batch", "seq"])
        .input("mask", I64, &["batch", "seq"])
        .constant("words", &numbers(dtype, &[50, hidden], 1))
        .constant("gamma", &numbers(dtype, &[hidden], 2))
        .constant("beta", &numbers(dtype, &[hidden], 3))
        .constant("one", &scalar(1.0))
        .constant("far", &scalar(-1000.0))
        .constant("scale", &scalar(3.0))
        .constant("axes", &Tensor::from_slice([2], &[1i64, 2]).expect("two"))
        .constant("heads", &Tensor::from_slice([4], &[0i64, 0, 3, 8]).expect("four"))
        .constant("whole", &Tensor::from_slice([3], &[0i64, 0, hidden as i64]).expect("three"))
        .constant("fc1", &scaled(dtype, &[hidden, 33], 4, 0.125))
        .constant("fb1", &numbers(dtype, &[33], 5))
        .constant("fc2", &scaled(dtype, &[33, hidden], 6, 0.125))
        .constant("fb2", &numbers(dtype, &[hidden], 7))
        .node("Gather", &["words", "ids"], &["e"])
        .node("LayerNormalization", &["e", "gamma", "beta"], &["x"])
        .node("Unsqueeze", &["mask", "axes"], &["m4"])
        .node("Cast", &["m4"], &["mf"])
        .int("to", dtype as i64)
        .node("Sub", &["one", "mf"], &["mi"])
        .node("Mul", &["mi", "far"], &["bias"]);
    for (i, name) in ["q", "k", "v"].into_iter().enumerate() {
        let (w, b) = (format!("w{name}"), format!("b{name}"));
        m = m.constant(&w, &scaled(dtype, &[hidden, hidden], 10 + i, 0.0625)).constant(&b, &numbers(dtype, &[hidden], 20 + i));
        let part = |suffix: &str| format!("{name}{suffix}");
        m = m.node("MatMul", &["x", &w], &[&part("0")]).node("Add", &[&b, &part("0")], &[&part("1")]);
        m = m.node("Reshape", &[&part("1"), "heads"], &[&part("2")]);
        let perm: &[i64] = if name == "k" { &[0, 2, 3, 1] } else { &[0, 2, 1, 3] };
        m = m.node("Transpose", &[&part("2")], &[&part("3")]).ints("perm", perm);
    }
    m.node("MatMul", &["q3", "k3"], &["s0"])
        .node("Div", &["s0", "scale"], &["s1"])
        .node("Add", &["s1", "bias"], &["s2"])
        .node("Softmax", &["s2"], &["p"])
        .int("axis", -1)
        .node("MatMul", &["p", "v3"], &["c0"])
        .node("Transpose", &["c0"], &["c1"])
        .ints("perm", &[0, 2, 1, 3])
        .node("Reshape", &["c1", "whole"], &["c2"])
        .node("Add", &["c2", "x"], &["r1"])
        .node("LayerNormalization", &["r1", "gamma", "beta"], &["n1"])
        .node("MatMul", &["n1", "fc1"], &["f0"])
        .node("Add", &["f0", "fb1"], &["f1"])
        .node("Sigmoid", &["f1"], &["f2"])
        .node("MatMul", &["f2", "fc2"], &["f3"])
        .node("Add", &["f3", "fb2"], &["f4"])
        .node("Add", &["f4", "n1"], &["r2"])
        .node("LayerNormalization", &["r2", "gamma", "beta"], &["y"])
        .output("y")
}

fn half_of(dtype: DType, v: f32) -> Tensor {
    match dtype {
        F16 => Tensor::from_slice(&[][..], &[half::f16::from_f32(v)]),
        BF16 => Tensor::from_slice(&[][..], &[half::bf16::from_f32(v)]),
        _ => Tensor::from_slice(&[][..], &[f64::from(v)]),
    }
    .expect("one")
}

fn sentences(batch: usize, seq: usize) -> Vec<(&'static str, Value)> {
    let ids: Vec<i64> = (0..batch * seq).map(|i| (i * 17 % 50) as i64).collect();
    let mask: Vec<i64> = (0..batch * seq).map(|i| i64::from(i % seq < seq - seq / 3)).collect();
    let of = |x: &[i64]| Value::from(Tensor::from_slice([batch, seq], x).expect("as many"));
    vec![("ids", of(&ids)), ("mask", of(&mask))]
}

#[test]
fn a_bert_layer_stays_on_the_device() {
    on_fake_logged("models::a_bert_layer_stays_on_the_device", &[], |log| {
        let session = load(&bert_layer(F32), options(&[], &[("session.disable_cpu_ep_fallback", "1")])).unwrap_or_else(|e| panic!("{e}"));
        let before = (logged(log, "to_device"), logged(log, "to_host"));
        run(&session, &sentences(2, 7)).unwrap_or_else(|e| panic!("{e}"));
        let after = (logged(log, "to_device"), logged(log, "to_host"));
        assert_eq!((after.0 - before.0, after.1 - before.1), (2, 1), "two inputs go, one output comes back");
        assert!(logged(log, "launch") > 15);
    });
}

#[test]
fn a_bert_layer_gives_what_the_cpu_gives() {
    on_fake("models::a_bert_layer_gives_what_the_cpu_gives", &[], || {
        for dtype in [F32, F16, BF16] {
            for (batch, seq) in [(1, 1), (2, 7), (1, 70)] {
                compare(&bert_layer(dtype), &sentences(batch, seq), &[]);
            }
        }
    });
}

#[test]
fn without_tensor_cores_too() {
    on_fake("models::without_tensor_cores_too", &[("FAKE_CUDA_CAPABILITY", "75")], || {
        compare(&mlp(F16), &[("x", numbers(F16, &[5, 40], 5).into())], &[]);
        compare(&bert_layer(F16), &sentences(1, 5), &[]);
    });
}

#[test]
fn the_order_of_threads_does_not_matter() {
    for order in ["1", "2"] {
        on_fake("models::the_order_of_threads_does_not_matter", &[("FAKE_CUDA_ORDER", order)], || {
            compare(&bert_layer(F16), &sentences(2, 5), &[]);
        });
    }
}

#[test]
fn what_the_device_lacks_runs_on_the_host() {
    on_fake("models::what_the_device_lacks_runs_on_the_host", &[], || {
        let m = model(17)
            .input("x", F32, &["n"])
            .node("Exp", &["x"], &["a"])
            .node("Hardmax", &["a"], &["b"])
            .node("Neg", &["b"], &["y"])
            .output("y");
        compare(&m, &[("x", numbers(F32, &[77], 1).into())], &["Hardmax"]);
        let m = model(17).input("x", Bool, &["n"]).node("And", &["x", "x"], &["y"]).output("y");
        compare(&m, &[("x", numbers(Bool, &[3], 1).into())], &["And"]);
    });
}

#[test]
fn sizes_are_computed_on_the_host() {
    on_fake("models::sizes_are_computed_on_the_host", &[], || {
        let m = model(17)
            .input("x", F32, &["a", "b"])
            .constant("i", &Tensor::from_slice([1], &[0i64]).expect("one"))
            .constant("rest", &Tensor::from_slice([2], &[1i64, -1]).expect("two"))
            .node("Exp", &["x"], &["e"])
            .node("Shape", &["e"], &["s"])
            .node("Gather", &["s", "i"], &["first"])
            .node("Concat", &["first", "rest"], &["to"])
            .int("axis", 0)
            .node("Reshape", &["e", "to"], &["r"])
            .node("Neg", &["r"], &["y"])
            .output("y");
        compare(&m, &[("x", numbers(F32, &[4, 6], 1).into())], &["Gather", "Concat"]);
    });
}
