//! What the integration tests share.
#![allow(dead_code, unreachable_pub)] // Each test file uses some of it.

use ort_rs::runtime::{Environment, Options, Session, Source};
use ort_rs::{Element, Result, RunOptions, Tensor, Value};
use testkit::Builder;

/// The environment with all operators, for one test.
pub fn environment() -> Environment {
    ort_rs::runtime::environment([]).expect("the built-in operators fit together")
}

/// A session of `model` with default options.
pub fn load(model: Builder) -> Result<Session> {
    Session::load(&environment(), Source::Bytes(&model.bytes()), Options::default())
}

/// A session of `model` that must load.
pub fn session(model: Builder) -> Session {
    load(model).unwrap_or_else(|e| panic!("{e}"))
}

/// All outputs of `session` for `feeds`.
pub fn run(session: &Session, feeds: &[(&str, Value)]) -> Result<Vec<Value>> {
    session.run(feeds, &[], &RunOptions::default())
}

/// A tensor as a value.
pub fn tensor<T: Element>(shape: &[usize], data: &[T]) -> Value {
    Tensor::from_slice(shape, data).expect("elements fill the shape").into()
}

/// The elements of a tensor value.
pub fn elements<T: Element>(value: &Value) -> Vec<T> {
    value.tensor().expect("a tensor").slice::<T>().expect("of that type").to_vec()
}

/// The shape of a tensor value.
pub fn shape(value: &Value) -> Vec<usize> {
    value.tensor().expect("a tensor").shape().to_vec()
}
