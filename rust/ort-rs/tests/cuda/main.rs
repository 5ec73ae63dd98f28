//! The CUDA provider on a driver without a device: the host side as it is, the kernels through the shim, against the CPU.

mod blas;
mod causes;
mod models;
mod operators;
mod values;

use std::collections::BTreeMap;

use base::DType;
use half::{bf16, f16};
use ort_rs::runtime::{self, Options, Session, Source};
use ort_rs::{Result, RunOptions, Tensor, Value};
use testkit::Builder;

const CUDA: &str = "CUDAExecutionProvider";

/// Runs the test `name` on the driver without a device.
fn on_fake(name: &str, settings: &[(&str, &str)], body: impl FnOnce()) {
    testkit::on_fake_cuda(name, cuda_provider::has_kernels(), settings, body);
}

/// The same with a file to which the driver writes what it does.
fn on_fake_logged(name: &str, settings: &[(&str, &str)], body: impl FnOnce(&str)) {
    const LOG: &str = "FAKE_CUDA_LOG";
    if let Ok(log) = std::env::var(LOG) {
        return on_fake(name, settings, || body(&log));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log").to_string_lossy().into_owned();
    on_fake(name, &[settings, &[(LOG, &log)]].concat(), || body(&log));
}

/// The lines of the driver's log that begin with a word.
fn logged(log: &str, word: &str) -> usize {
    std::fs::read_to_string(log).unwrap_or_default().lines().filter(|l| l.split(' ').next() == Some(word)).count()
}

/// Options that ask for CUDA, with options of the provider and entries of the session's configuration.
fn options(provider: &[(&str, &str)], config: &[(&str, &str)]) -> Options {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect::<Vec<_>>();
    Options {
        providers: vec![CUDA.into()],
        provider_options: BTreeMap::from([(CUDA.to_owned(), own(provider))]),
        config: own(config).into_iter().collect(),
        ..Options::default()
    }
}

fn load(model: &Builder, options: Options) -> Result<Session> {
    Session::load(&runtime::environment([])?, Source::Bytes(&model.clone().bytes()), options)
}

fn run(session: &Session, feeds: &[(&str, Value)]) -> Result<Vec<Value>> {
    session.run(feeds, &[], &RunOptions::default())
}

/// Numbers from -2 to 2, or as large for integers, different for each `seed`.
fn numbers(dtype: DType, shape: &[usize], seed: usize) -> Tensor {
    scaled(dtype, shape, seed, 1.0)
}

/// The same, times a factor.
fn scaled(dtype: DType, shape: &[usize], seed: usize, factor: f64) -> Tensor {
    let n: usize = shape.iter().product();
    let x: Vec<f64> = (0..n).map(|i| (((i + seed * 131) * 7919 % 65) as f64 - 32.0) / 16.0 * factor).collect();
    match dtype {
        DType::F32 => Tensor::from_slice(shape, &x.iter().map(|v| *v as f32).collect::<Vec<_>>()),
        DType::F64 => Tensor::from_slice(shape, &x),
        DType::F16 => Tensor::from_slice(shape, &x.iter().map(|v| f16::from_f64(*v)).collect::<Vec<_>>()),
        DType::BF16 => Tensor::from_slice(shape, &x.iter().map(|v| bf16::from_f64(*v)).collect::<Vec<_>>()),
        DType::I32 => Tensor::from_slice(shape, &x.iter().map(|v| (*v * 16.0) as i32).collect::<Vec<_>>()),
        DType::I64 => Tensor::from_slice(shape, &x.iter().map(|v| (*v * 16.0) as i64).collect::<Vec<_>>()),
        DType::U8 => Tensor::from_slice(shape, &x.iter().map(|v| (*v * 16.0 + 40.0) as u8).collect::<Vec<_>>()),
        DType::Bool => Tensor::from_slice(shape, &x.iter().map(|v| *v > 0.0).collect::<Vec<_>>()),
        other => panic!("no test needs numbers of {other}"),
    }
    .expect("as many as the shape says")
}

/// The elements of a tensor as `f64`.
fn floats(value: &Value) -> Vec<f64> {
    let t = value.tensor().expect("a tensor");
    match t.dtype() {
        DType::F32 => t.slice::<f32>().expect("its type").iter().map(|v| f64::from(*v)).collect(),
        DType::F64 => t.slice::<f64>().expect("its type").to_vec(),
        DType::F16 => t.slice::<f16>().expect("its type").iter().map(|v| v.to_f64()).collect(),
        DType::BF16 => t.slice::<bf16>().expect("its type").iter().map(|v| v.to_f64()).collect(),
        DType::I32 => t.slice::<i32>().expect("its type").iter().map(|v| f64::from(*v)).collect(),
        DType::I64 => t.slice::<i64>().expect("its type").iter().map(|v| *v as f64).collect(),
        DType::U8 => t.slice::<u8>().expect("its type").iter().map(|v| f64::from(*v)).collect(),
        DType::Bool => t.slice::<bool>().expect("its type").iter().map(|v| f64::from(u8::from(*v))).collect(),
        other => panic!("no test looks at {other}"),
    }
}

/// How far results of a type may be apart, as a part of them.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F32 => 2e-5,
        DType::F64 => 1e-12,
        DType::F16 => 1e-2,
        DType::BF16 => 8e-2,
        _ => 0.0,
    }
}

/// Panics unless the provider gives what the CPU gives, running every node itself but those of `on_host`.
fn compare(model: &Builder, feeds: &[(&str, Value)], on_host: &[&str]) -> Session {
    let session = load(model, options(&[], &[])).unwrap_or_else(|e| panic!("{e}"));
    for p in session.placements() {
        let host = on_host.iter().any(|op| p.op.starts_with(op));
        assert_eq!(p.provider == CUDA, !host, "{} ({}): {:?}", p.node, p.op, p.refused);
    }
    let expected = run(&load(model, Options::default()).expect("the CPU runs it"), feeds).expect("the CPU runs it");
    // Twice: memory that was used before has other contents.
    for turn in 0..2 {
        let got = run(&session, feeds).unwrap_or_else(|e| panic!("{e}"));
        for (i, (a, b)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(a.tensor().expect("a tensor").shape(), b.tensor().expect("a tensor").shape());
            let bound = tolerance(b.tensor().expect("a tensor").dtype());
            for (j, (x, y)) in floats(a).into_iter().zip(floats(b)).enumerate() {
                let alike = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= bound * y.abs().max(1.0);
                assert!(alike, "turn {turn}, output {i}, element {j}: {x} on the device, {y} on the CPU\n{}", session.graph_text());
            }
        }
    }
    session
}
