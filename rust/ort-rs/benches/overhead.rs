//! What a run costs beside its kernels: one tiny node, chains of them, and a decoder step whose past grows.

use base::DType::F32;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ort_rs::runtime::{Options, Session, Source, environment};
use ort_rs::{Level, RunOptions, Tensor, Value};
use testkit::{Builder, model};

fn session(m: Builder) -> Session {
    let environment = environment([]).expect("the built-in operators fit together");
    let options = Options { level: Level::Disabled, intra_op_threads: 1, ..Options::default() };
    Session::load(&environment, Source::Bytes(&m.bytes()), options).expect("a model that loads")
}

fn value(shape: &[usize]) -> Value {
    let len = shape.iter().product();
    Tensor::from_slice(shape, &vec![1f32; len]).expect("elements fill the shape").into()
}

fn chain(nodes: usize) -> Builder {
    let mut m = model(21).input("x", F32, &["n"]);
    let mut from = "x".to_owned();
    for i in 0..nodes {
        let to = format!("v{i}");
        m = m.node("Add", &[&from, "x"], &[&to]);
        from = to;
    }
    m.output(&from)
}

fn chains(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain of Add");
    for nodes in [1usize, 10, 100, 1000] {
        let session = session(chain(nodes));
        let (feeds, options) = ([value(&[4])], RunOptions::default());
        group.bench_with_input(BenchmarkId::from_parameter(nodes), &nodes, |b, _| {
            b.iter(|| session.run_in_order(&feeds, &options).expect("a run"));
        });
    }
    group.finish();
}

/// A new shape at each call: what binding costs.
fn growing(c: &mut Criterion) {
    let mut m = model(21).input("past", F32, &["1", "t", "64"]).input("new", F32, &["1", "1", "64"]);
    m = m.node("Concat", &["past", "new"], &["v0"]).int("axis", 1);
    for i in 0..200 {
        m = m.node("Add", &[&format!("v{i}"), &format!("v{i}")], &[&format!("v{}", i + 1)]);
    }
    let session = session(m.output("v200"));
    let options = RunOptions::default();
    let feeds: Vec<[Value; 2]> = (1..=64).map(|t| [value(&[1, t, 64]), value(&[1, 1, 64])]).collect();
    let mut step = 0;
    c.bench_function("200 nodes, a new shape each time", |b| {
        b.iter(|| {
            step = (step + 1) % feeds.len();
            session.run_in_order(&feeds[step], &options).expect("a run")
        });
    });
    c.bench_function("200 nodes, the same shape", |b| b.iter(|| session.run_in_order(&feeds[32], &options).expect("a run")));
}

criterion_group!(benches, chains, growing);
criterion_main!(benches);
