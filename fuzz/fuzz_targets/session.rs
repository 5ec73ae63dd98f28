//! Any bytes are a model that runs on made-up values, or an error: within a deadline, and within the memory that libFuzzer allows.

#![no_main]

mod mutation;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use ort_rs::runtime::{Environment, Options, Session, Source};
use ort_rs::{Cancel, DType, Level, Port, PortDim, RunOptions, Tensor, Type, Value};

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| ort_rs::runtime::environment([]).expect("the operators fit together"));

static OPERATORS: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| ort_rs::runtime::operators().map(|op| (op.domain, op.name)).collect());

/// How long loading and running may take together.
const DEADLINE: Duration = Duration::from_secs(5);
/// Inputs of more elements are not fed.
const MOST: usize = 1 << 14;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, model)) = bytes.split_first() else { return };
    let cancel = Cancel::new().with_deadline(Instant::now() + DEADLINE);
    let level = if first & 1 == 0 { Level::Disabled } else { Level::All };
    let options = Options { level, intra_op_threads: 1, cancel: cancel.clone(), ..Options::default() };
    let Ok(session) = Session::load(&ENVIRONMENT, Source::Bytes(model), options) else { return };
    let sizes = usize::from(first >> 1);
    let feeds: Option<Vec<(&str, Value)>> = session.inputs().iter().map(|p| Some((&*p.name, value(p, sizes)?))).collect();
    if let Some(feeds) = feeds {
        drop(session.run(&feeds, &[], &RunOptions { cancel, ..RunOptions::default() }));
    }
});

// One time in four any bytes change, otherwise parts of the model.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let model = if seed % 4 == 0 { None } else { mutation::mutated(data[..size].get(1..).unwrap_or_default(), seed.into(), &OPERATORS) };
    match model.filter(|model| model.len() < max_size) {
        Some(model) => {
            data[1..=model.len()].copy_from_slice(&model);
            data[0] ^= (seed >> 24) as u8;
            model.len() + 1
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

/// Something to feed to `port`: sizes that the model leaves open follow from `sizes`.
fn value(port: &Port, sizes: usize) -> Option<Value> {
    let Type::Tensor(dtype) = port.ty else { return None };
    let dims = port.shape.iter().flatten().enumerate().map(|(i, d)| match d {
        PortDim::Known(n) => usize::try_from(*n).unwrap_or(0),
        _ => (sizes >> i) % 4,
    });
    let dims: Vec<usize> = dims.collect();
    let len = dims.iter().try_fold(1usize, |len, d| len.checked_mul(*d)).filter(|len| *len <= MOST)?;
    if dtype == DType::String {
        return Tensor::from_strings(dims, (0..len).map(|i| i.to_string()).collect()).ok().map(Value::from);
    }
    let bytes = (0..dtype.bytes_of(len)?).map(|i| if dtype == DType::Bool { i % 2 } else { i * 7 % 5 } as u8).collect::<Vec<u8>>();
    Tensor::from_bytes(dtype, dims, &bytes).ok().map(Value::from)
}
