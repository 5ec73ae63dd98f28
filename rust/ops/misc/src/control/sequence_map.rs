//! SequenceMap: a graph run for each element of a sequence.

use base::{Result, Sequence, Type, Value, bail, ensure};
use ir::Fact;
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, since};

use super::{Body, check_graph, graph};
use crate::types::{SEQUENCES_V1, VALUES_V1};

/// SequenceMap of `ai.onnx`.
pub static SEQUENCE_MAP: OpDef = OpDef {
    name: "SequenceMap",
    versions: &[since(17, "input_sequence:S, additional_inputs:V~ -> out_sequence:S~", &[("S", SEQUENCES_V1), ("V", VALUES_V1)])],
    load: |a| Ok(Box::new(SequenceMap { body: a.subgraph("body")? })),
    kernels: Kernels::NONE.cpu::<SequenceMap>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct SequenceMap {
    body: usize,
}

/// What is known of what the body gets for an input: an element of a sequence, or the same tensor each time.
fn entering(fact: &Fact) -> Fact {
    match &fact.ty {
        Type::Sequence(element) => Fact::of((**element).clone()),
        _ => fact.clone(),
    }
}

impl Op for SequenceMap {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        check_graph(graph(cx.node(), self.body)?, cx.input_count(), cx.output_count())?;
        let inputs = (0..cx.input_count()).map(|i| cx.input(i).map(entering)).collect::<Result<Vec<Fact>>>()?;
        for (i, fact) in cx.subgraph(self.body, &inputs)?.into_iter().enumerate() {
            cx.set(i, Fact::of(Type::Sequence(Box::new(fact.ty))));
        }
        Ok(())
    }
}

impl CpuKernel for SequenceMap {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let inputs = (0..cx.node.inputs.len()).map(|i| cx.input(i).map(entering)).collect::<Result<Vec<Fact>>>()?;
        let element = |i: usize| match cx.output(i).map(|f| &f.ty) {
            Some(Type::Sequence(element)) => Some((**element).clone()),
            _ => None,
        };
        let outputs = (0..graph(cx.node, self.body)?.outputs.len()).map(element).collect();
        Ok(Box::new(Mapping { body: Body::new(cx, self.body, &inputs)?, outputs }))
    }
}

struct Mapping {
    body: Body,
    /// The element types of the outputs; `None` for those that nobody asks for.
    outputs: Vec<Option<Type>>,
}

impl Prepared for Mapping {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let given = (0..cx.input_count()).map(|i| cx.value(i)).collect::<Result<Vec<Value>>>()?;
        let Some(Value::Sequence(first)) = given.first() else { bail!(InvalidArgument, "input 0 must be a sequence") };
        let len = first.values.len();
        for value in &given {
            if let Value::Sequence(s) = value {
                let other = s.values.len();
                ensure!(other == len, InvalidArgument, "sequences have {len} and {other} elements, but must have equally many");
            }
        }
        let captures = cx.captures()?;
        let mut mapped: Vec<Vec<Value>> = self.outputs.iter().map(|_| Vec::with_capacity(len)).collect();
        for n in 0..len {
            cx.cancel().check()?;
            let element = |v: &Value| match v {
                Value::Sequence(s) => s.values[n].clone(),
                other => other.clone(),
            };
            let mut inputs: Vec<Value> = given.iter().map(element).collect();
            let outputs = self.body.run(&mut inputs, &captures, cx.cancel())?;
            mapped.iter_mut().zip(outputs).for_each(|(list, value)| list.push(value));
        }
        for (i, (values, element)) in mapped.into_iter().zip(&self.outputs).enumerate() {
            if let Some(element) = element {
                cx.set(i, Sequence { element: element.clone(), values })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::DType;

    use super::*;
    use crate::control::mock::{Mock, floats, sequence};

    fn adding() -> Mock {
        let body = |inputs: &[Value], _: &[Value]| {
            let (a, b) = (inputs[0].tensor()?.as_ref().scalar::<f32>()?, inputs[1].tensor()?.as_ref().scalar::<f32>()?);
            Ok(vec![floats(&[], &[a + b])])
        };
        Mock::new(&SEQUENCE_MAP, 17).graph("body", 2, 0, 1, body).infers(|_, _| vec![Fact::tensor(DType::F32, [])])
    }

    fn list(v: &[f32]) -> Value {
        sequence(v.iter().map(|x| floats(&[], &[*x])).collect())
    }

    #[test]
    fn maps_sequences_and_tensors() {
        let out = adding().input(list(&[1., 2.])).input(list(&[10., 20.])).run(1).unwrap();
        testkit::assert_equal(&out[0], &list(&[11., 22.]));
        let out = adding().input(list(&[1., 2.])).input(floats(&[], &[5.])).run(1).unwrap();
        testkit::assert_equal(&out[0], &list(&[6., 7.]));
        let out = adding().input(list(&[])).input(floats(&[], &[5.])).run(1).unwrap();
        testkit::assert_equal(&out[0], &list(&[]));
    }

    #[test]
    fn lengths_must_agree() {
        let e = adding().input(list(&[1., 2.])).input(list(&[10.])).run(1).unwrap_err();
        assert!(e.detail().contains("sequences have 2 and 1 elements"), "{e}");
    }
}
