//! If: one of two graphs, chosen by a boolean.

use base::{Result, ensure};
use ir::Fact;
use op::types::{ANY_V1, BOOL};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, TypeSet, since};

use super::state::outside;
use super::{Body, check_graph, graph, set_all};
use crate::types::{VALUES_V1, VALUES_V16, VALUES_V19, VALUES_V21, VALUES_V23, VALUES_V24, VALUES_V25};

const SIGNATURE: &str = "cond:B -> outputs:V~";

const fn version(version: u32, types: &'static [(&'static str, TypeSet)]) -> Since {
    since(version, SIGNATURE, types)
}

/// If of `ai.onnx`.
pub static IF: OpDef = OpDef {
    name: "If",
    versions: &[
        version(1, &[("B", BOOL), ("V", ANY_V1)]),
        version(11, &[("B", BOOL), ("V", ANY_V1)]),
        version(13, &[("B", BOOL), ("V", VALUES_V1)]),
        version(16, &[("B", BOOL), ("V", VALUES_V16)]),
        version(19, &[("B", BOOL), ("V", VALUES_V19)]),
        version(21, &[("B", BOOL), ("V", VALUES_V21)]),
        version(23, &[("B", BOOL), ("V", VALUES_V23)]),
        version(24, &[("B", BOOL), ("V", VALUES_V24)]),
        version(25, &[("B", BOOL), ("V", VALUES_V25)]),
    ],
    load: |a| Ok(Box::new(If { branches: [a.subgraph("else_branch")?, a.subgraph("then_branch")?] })),
    kernels: Kernels::NONE.cpu::<If>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct If {
    /// The graphs for `false` and `true`.
    branches: [usize; 2],
}

/// Which branch is taken, if inference knows.
fn taken(condition: Option<&Fact>) -> Option<usize> {
    match condition?.known_ints()?[..] {
        [c] => Some(usize::from(c != 0)),
        _ => None,
    }
}

impl Op for If {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        for index in self.branches {
            check_graph(graph(cx.node(), index)?, 0, cx.output_count())?;
        }
        let before = cx.symbols().len();
        // A branch that is never taken may be impossible for the sizes at hand, so it is not looked at.
        let facts = match taken(cx.optional(0)) {
            Some(branch) => cx.subgraph(self.branches[branch], &[])?,
            None => {
                let (a, b) = (cx.subgraph(self.branches[1], &[])?, cx.subgraph(self.branches[0], &[])?);
                ensure!(a.len() == b.len(), InvalidGraph, "the branches give {} and {} outputs", a.len(), b.len());
                a.iter().zip(&b).map(|(a, b)| a.join(b, cx.symbols())).collect::<Result<_>>()?
            }
        };
        for (i, fact) in facts.into_iter().enumerate() {
            let fact = outside(fact, before, cx.symbols());
            cx.set(i, fact);
        }
        Ok(())
    }
}

impl CpuKernel for If {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let taken = taken(cx.optional(0));
        let body = |branch: usize| {
            let needed = taken.is_none_or(|t| t == branch);
            needed.then(|| Body::new(cx, self.branches[branch], &[])).transpose()
        };
        Ok(Box::new(Branches([body(0)?, body(1)?])))
    }
}

/// The branches for `false` and `true`; one that is never taken is not there.
struct Branches([Option<Body>; 2]);

impl Prepared for Branches {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let condition = cx.input(0)?.scalar::<bool>()?;
        let Some(body) = &self.0[usize::from(condition)] else {
            base::bail!(Fail, "the condition is {condition}, which was ruled out");
        };
        let outputs = body.run(&mut Vec::new(), &cx.captures()?, cx.cancel())?;
        set_all(cx, 0, outputs)
    }
}

#[cfg(test)]
mod tests {
    use base::{DType, Tensor, Value};
    use ir::Dim;

    use super::*;
    use crate::control::mock::Mock;

    fn floats(v: &[f32]) -> Value {
        Tensor::from_slice([v.len()], v).unwrap().into()
    }

    fn mock() -> Mock {
        // `then` gives what it captured, `else` a constant of another size.
        Mock::new(&IF, 16)
            .graph("then_branch", 0, 1, 1, |_, captures| Ok(vec![captures[0].clone()]))
            .graph("else_branch", 0, 1, 1, |_, captures| {
                assert_eq!(captures[0].tensor()?.len(), 1);
                Ok(vec![captures[0].clone()])
            })
            .capture(floats(&[1., 2.]))
            .capture(floats(&[3.]))
    }

    #[test]
    fn runs_one_branch_with_its_own_captures() {
        for (cond, expected) in [(true, floats(&[1., 2.])), (false, floats(&[3.]))] {
            let out = mock().input(Tensor::scalar(cond).unwrap()).run(1).unwrap();
            testkit::assert_equal(&out[0], &expected);
        }
    }

    #[test]
    fn a_condition_of_two_elements_is_an_error() {
        let e = mock().input(Tensor::from_slice([2], &[true, false]).unwrap()).run(1).unwrap_err();
        assert!(e.detail().contains("one element is needed, not shape {2}"), "{e}");
    }

    #[test]
    fn facts_of_the_branches_are_joined() {
        let mock = mock().input_fact(Fact::tensor(DType::Bool, []), Tensor::scalar(true).unwrap());
        let facts = mock.infer(1).unwrap();
        assert!(facts[0].shape.as_ref().unwrap()[0].known().is_none());
        let known = mock.input_fact(Fact::ints(DType::Bool, [Dim::Known(1)], true), Tensor::scalar(true).unwrap());
        assert_eq!(known.infer(1).unwrap()[0].shape.as_ref().unwrap()[..], [Dim::Known(2)]);
    }
}
