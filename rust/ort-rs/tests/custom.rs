//! Operators added at run time.

mod common;

use base::DType::F32;
use common::elements;
use ort_rs::operator::types::FLOATS;
use ort_rs::operator::{Infer, Kernels, Op, OpDef, Run, Stateless, since};
use ort_rs::{Result, Session, inputs};
use testkit::model;

static TRIPLE: OpDef = OpDef {
    domain: "my.domain",
    name: "Triple",
    versions: &[since(1, "x:T -> y:T", &[("T", FLOATS)])],
    load: |_| Ok(Box::new(Triple)),
    kernels: Kernels::NONE.stateless::<Triple>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Triple;

impl Op for Triple {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        cx.set(0, cx.input(0)?.clone());
        Ok(())
    }
}

impl Stateless for Triple {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let x = cx.input(0)?.slice::<f32>()?;
        let y = cx.output(0)?.slice::<f32>()?;
        y.iter_mut().zip(x).for_each(|(y, x)| *y = 3.0 * x);
        Ok(())
    }
}

#[test]
fn a_custom_operator_runs_among_others() {
    let m = model(21).opset("my.domain", 1).input("x", F32, &["n"]);
    let m = m.node_of("my.domain", "Triple", &["x"], &["a"]).node("Neg", &["a"], &["y"]).output("y");
    let s = Session::builder().operator(TRIPLE.clone()).from_bytes(m.bytes()).unwrap();
    let out = s.run(inputs![([2], &[1f32, 2.])]).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [-3., -6.]);
}

#[test]
fn a_name_is_taken_once() {
    let twice = Session::builder().operator(TRIPLE.clone()).operator(TRIPLE.clone()).from_bytes([]);
    assert!(twice.err().unwrap().detail().contains("registered twice"));
}
