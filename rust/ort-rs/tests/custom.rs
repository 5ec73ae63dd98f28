//! Operators added at run time.

mod common;

use base::DType::F32;
use common::{elements, run, tensor};
use op::types::FLOATS;
use op::{Infer, Kernels, Op, Run, Stateless, since};
use ort_rs::{Environment, OpDef, Options, Registry, Result, Session, Source};
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
    let mut registry = Registry::new(ort_rs::operators()).unwrap();
    registry.add(TRIPLE.clone()).unwrap();
    assert!(registry.add(TRIPLE.clone()).is_err(), "a name is taken once");
    let environment = Environment::new(registry).unwrap();
    let m = model(21).opset("my.domain", 1).input("x", F32, &["n"]);
    let m = m.node_of("my.domain", "Triple", &["x"], &["a"]).node("Neg", &["a"], &["y"]).output("y");
    let s = Session::load(&environment, Source::Bytes(&m.bytes()), Options::default()).unwrap();
    let out = run(&s, &[("x", tensor(&[2], &[1f32, 2.]))]).unwrap();
    assert_eq!(elements::<f32>(&out[0]), [-3., -6.]);
}
