//! Throughput of the vector functions on a slice that stays in the first-level cache.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use simd::{VecFn, map, math};

fn one<F: VecFn>(c: &mut Criterion, name: &str, f: F) {
    let x: Vec<f32> = (0..2048).map(|i| i as f32 * 0.004 - 4.0).collect();
    let mut y = vec![0.0f32; x.len()];
    let mut group = c.benchmark_group("map");
    group.throughput(Throughput::Elements(x.len() as u64));
    group.bench_function(name, |b| b.iter(|| map(f, black_box(&x), black_box(&mut y))));
    group.finish();
}

fn all(c: &mut Criterion) {
    one(c, "exp", math::Exp);
    one(c, "log", math::Log);
    one(c, "erf", math::Erf);
    one(c, "gelu", math::Gelu);
    one(c, "tanh", math::Tanh);
    one(c, "sigmoid", math::Sigmoid);
    one(c, "sin", math::Sin);
    one(c, "sqrt", math::Sqrt);
}

criterion_group!(benches, all);
criterion_main!(benches);
