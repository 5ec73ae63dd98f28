//! Loop: a graph run again and again, carrying values from one iteration to the next and gathering others.
//!
//! The body's condition counts even where the node has none, as in the reference implementation and in ONNX Runtime; so a loop that
//! goes on always enters its body with a condition that is true.

use base::{DType, Result, Shape, Tensor, Type, Value, ensure};
use ir::{Dim, Fact};
use op::types::{ANY_V1, BOOL};
use op::{CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, TypeSet, since};

use super::stack::{Stack, Target};
use super::state::{States, convert, enters, outside, planned};
use super::{Body, check_graph, graph, set_all};
use crate::types::{INT64, VALUES_V1, VALUES_V16, VALUES_V19, VALUES_V21, VALUES_V23, VALUES_V24, VALUES_V25};

const SIGNATURE: &str = "M:I?, cond:B?, v_initial:V~ -> v_final_and_scan_outputs:V~";

const fn version(version: u32, types: &'static [(&'static str, TypeSet)]) -> Since {
    since(version, SIGNATURE, types)
}

/// Loop of `ai.onnx`.
pub static LOOP: OpDef = OpDef {
    name: "Loop",
    versions: &[
        version(1, &[("I", INT64), ("B", BOOL), ("V", ANY_V1)]),
        version(11, &[("I", INT64), ("B", BOOL), ("V", ANY_V1)]),
        version(13, &[("I", INT64), ("B", BOOL), ("V", VALUES_V1)]),
        version(16, &[("I", INT64), ("B", BOOL), ("V", VALUES_V16)]),
        version(19, &[("I", INT64), ("B", BOOL), ("V", VALUES_V19)]),
        version(21, &[("I", INT64), ("B", BOOL), ("V", VALUES_V21)]),
        version(23, &[("I", INT64), ("B", BOOL), ("V", VALUES_V23)]),
        version(24, &[("I", INT64), ("B", BOOL), ("V", VALUES_V24)]),
        version(25, &[("I", INT64), ("B", BOOL), ("V", VALUES_V25)]),
    ],
    load: |a| Ok(Box::new(Loop { body: a.subgraph("body")? })),
    kernels: Kernels::NONE.cpu::<Loop>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Loop {
    body: usize,
}

/// Inputs before the loop-carried values: trip count and condition, or iteration number and condition.
const LEADING: usize = 2;

/// The facts of what enters the body before the loop-carried values: scalars.
fn leading() -> [Fact; LEADING] {
    [Fact::tensor(DType::I64, []), Fact::ints(DType::Bool, [Dim::Known(1)], true)]
}

fn is_true(fact: &Fact) -> bool {
    fact.known_ints().is_some_and(|v| v.iter().all(|&c| c != 0))
}

/// How many iterations there will be, if inference knows. `goes_on` is the condition that the body gives.
fn trips(cx: &mut Infer<'_>, goes_on: &Fact) -> Dim {
    let starts = cx.optional(1).map(|c| (is_true(c), c.known_ints().is_some()));
    let count = cx.ints(0).and_then(|v| v.first().cloned());
    match (starts, count) {
        (Some((false, true)), _) => Dim::Known(0),
        // Symbols are sizes, so one alone is never negative.
        (None | Some((true, _)), Some(n)) if is_true(goes_on) && n.as_symbol().is_some() => n,
        (None | Some((true, _)), Some(n)) if is_true(goes_on) => n.larger(&Dim::Known(0)),
        _ => cx.fresh(),
    }
}

impl Op for Loop {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let graph = graph(cx.node(), self.body)?;
        let count = cx.input_count().saturating_sub(LEADING);
        check_graph(graph, LEADING + count, 1 + count.max(cx.output_count()))?;
        let before = cx.symbols().len();
        let leading = leading();
        let given = (0..count).map(|i| cx.input(LEADING + i).map(enters));
        let mut states = States::new(given.collect::<Result<_>>()?);
        let body = |cx: &mut Infer<'_>, states: &[Fact]| cx.subgraph(self.body, &[&leading[..], states].concat());
        let leaving = states.settle(cx, graph, 1, &body)?;

        let trips = trips(cx, &leaving[0]);
        for (i, fact) in states.facts.into_iter().enumerate() {
            let ty = leaving[1 + i].ty.clone();
            cx.set(i, Fact { shape: fact.shape, ..Fact::of(ty) });
        }
        for (i, fact) in leaving.into_iter().enumerate().skip(1 + count) {
            ensure!(fact.dtype().is_some(), InvalidGraph, "scan output {} of the body is no tensor but {}", i - 1, fact.ty);
            let fact = outside(fact, before, cx.symbols());
            let shape = fact.shape.map(|s| std::iter::once(trips.clone()).chain(s).collect());
            cx.set(i - 1, Fact { shape, ..Fact::of(fact.ty) });
        }
        Ok(())
    }
}

impl CpuKernel for Loop {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let graph = graph(cx.node, self.body)?;
        let count = cx.node.inputs.len().saturating_sub(LEADING);
        check_graph(graph, LEADING + count, 1 + count)?;
        let mut facts = leading().to_vec();
        let mut names = u32::MAX;
        for i in 0..count {
            facts.push(planned(cx.input(LEADING + i)?, cx.output(i), &mut names));
        }
        let entering = facts[LEADING..].iter().map(|f| f.ty.clone()).collect();
        let scans = (count..graph.outputs.len() - 1).map(|i| cx.output(i).map(Element::new)).collect();
        Ok(Box::new(Iteration {
            body: Body::new(cx, self.body, &facts)?,
            goes_on: Tensor::scalar(true)?,
            entering,
            leaving: (0..count).map(|i| cx.output(i).map(|f| f.ty.clone())).collect(),
            scans,
        }))
    }
}

/// What a scan output gathers, for when there are no iterations; sizes that are not known are zero.
struct Element {
    dtype: DType,
    shape: Shape,
}

impl Element {
    fn new(output: &Fact) -> Self {
        let sizes = output.shape.iter().flatten().skip(1).map(|d| d.size().unwrap_or(0));
        Self { dtype: output.dtype().unwrap_or(DType::F32), shape: sizes.collect() }
    }
}

struct Iteration {
    body: Body,
    /// The condition that enters the body.
    goes_on: Tensor,
    /// The types with which values enter the body.
    entering: Vec<Type>,
    /// The types of the outputs that are asked for.
    leaving: Vec<Option<Type>>,
    /// What the scan outputs gather; `None` for those that nobody asks for.
    scans: Vec<Option<Element>>,
}

impl Iteration {
    /// Trip count and first condition.
    fn bounds(&self, cx: &Run<'_>) -> Result<(i64, bool)> {
        let limit = cx.optional(0)?.map_or(Ok(i64::MAX), |t| t.scalar::<i64>())?;
        let starts = cx.optional(1)?.map_or(Ok(true), |t| t.scalar::<bool>())?;
        Ok((limit, starts))
    }

    /// The iteration number as a tensor; in the memory of the last one, if nobody kept that.
    fn number(last: Option<Value>, n: i64) -> Result<Value> {
        if let Some(Value::Tensor(mut t)) = last
            && let Ok(memory) = t.as_mut()
        {
            memory.slice::<i64>()?.fill(n);
            return Ok(t.into());
        }
        Tensor::scalar(n).map(Value::Tensor)
    }

    fn finish(&self, cx: &mut Run<'_>, states: Vec<Value>, stacks: Vec<Stack>) -> Result<()> {
        let count = self.entering.len();
        let states = states.into_iter().zip(&self.leaving).map(|(v, ty)| ty.as_ref().map_or(Ok(v.clone()), |ty| convert(v, ty)));
        let states = states.collect::<Result<Vec<Value>>>()?;
        set_all(cx, 0, states)?;
        for (k, (stack, scan)) in stacks.into_iter().zip(&self.scans).enumerate() {
            let Some(scan) = scan else { continue };
            let planned: Option<Shape> = cx.output_shape(count + k).map(|s| s.get(1..).unwrap_or_default().into());
            let like = (scan.dtype, planned.as_deref().unwrap_or(&scan.shape));
            let iterations = stack.len();
            stack.write(cx, &Target { output: count + k, axis: 0, reverse: false, sizes: &[iterations], like })?;
        }
        Ok(())
    }
}

impl Prepared for Iteration {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (limit, mut goes_on) = self.bounds(cx)?;
        let count = self.entering.len();
        let mut states = (0..count).map(|i| cx.take(LEADING + i)).collect::<Result<Vec<Value>>>()?;
        let captures = cx.captures()?;
        let mut stacks: Vec<Stack> = self.scans.iter().map(|_| Stack::default()).collect();
        let mut inputs: Vec<Value> = Vec::with_capacity(LEADING + count);
        let (mut n, mut number) = (0, None);
        while n < limit && goes_on {
            cx.cancel().check()?;
            let now = Self::number(number, n)?;
            inputs.extend([now.clone(), self.goes_on.clone().into()]);
            number = Some(now);
            for (state, ty) in states.drain(..).zip(&self.entering) {
                inputs.push(convert(state, ty)?);
            }
            let mut outputs = self.body.run(&mut inputs, &captures, cx.cancel())?.into_iter();
            goes_on = outputs.next().map_or(Ok(false), |c| c.tensor()?.as_ref().scalar::<bool>())?;
            states.extend(outputs.by_ref().take(count));
            for ((stack, scan), value) in stacks.iter_mut().zip(&self.scans).zip(outputs) {
                if scan.is_some() {
                    stack.push(value.tensor()?)?;
                }
            }
            n += 1;
        }
        self.finish(cx, states, stacks)
    }
}

#[cfg(test)]
mod tests {
    use base::ErrorKind;

    use super::*;
    use crate::control::mock::{Mock, floats, sequence};

    fn goes_on() -> Fact {
        Fact::ints(DType::Bool, [Dim::Known(1)], true)
    }

    fn int(n: i64) -> Tensor {
        Tensor::scalar(n).unwrap()
    }

    /// Adds the iteration number to the state until it exceeds 5, and gathers the new state.
    fn adding() -> Mock {
        let body = |inputs: &[Value], captures: &[Value]| {
            let n = inputs[0].tensor()?.as_ref().scalar::<i64>()? as f32;
            assert!(inputs[1].tensor()?.as_ref().scalar::<bool>()?);
            let limit = captures[0].tensor()?.as_ref().scalar::<f32>()?;
            let x = inputs[2].tensor()?.slice::<f32>()?.iter().map(|x| x + n).collect::<Vec<f32>>();
            let state = floats(&[x.len()], &x);
            Ok(vec![Tensor::scalar(x[0] <= limit)?.into(), state.clone(), state])
        };
        let infer = |inputs: &[Fact], _: &[&Fact]| vec![Fact::tensor(DType::Bool, []), inputs[2].clone(), inputs[2].clone()];
        Mock::new(&LOOP, 13).graph("body", 3, 1, 3, body).infers(infer).capture(floats(&[], &[5.]))
    }

    #[test]
    fn ends_by_condition_or_trip_count() {
        let out = adding().input(int(100)).skip().input(floats(&[2], &[0., 1.])).run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2], &[6., 7.]));
        testkit::assert_equal(&out[1], &floats(&[4, 2], &[0., 1., 1., 2., 3., 4., 6., 7.]));
        let out = adding().input(int(2)).input(Tensor::scalar(true).unwrap()).input(floats(&[1], &[0.])).run(2).unwrap();
        testkit::assert_equal(&out[1], &floats(&[2, 1], &[0., 1.]));
    }

    #[test]
    fn without_iterations_gives_what_it_got() {
        for (n, starts) in [(0, true), (-3, true), (9, false)] {
            let out = adding().input(int(n)).input(Tensor::scalar(starts).unwrap()).input(floats(&[2], &[0., 1.])).run(2).unwrap();
            testkit::assert_equal(&out[0], &floats(&[2], &[0., 1.]));
            testkit::assert_equal(&out[1], &floats(&[0, 2], &[]));
        }
    }

    /// Appends an element to a tensor and to a sequence.
    fn growing(outputs: usize) -> Result<Vec<Value>> {
        let body = |inputs: &[Value], _: &[Value]| {
            let mut x = inputs[2].tensor()?.slice::<f32>()?.to_vec();
            x.push(x.len() as f32);
            let state = floats(&[x.len()], &x);
            let mut seq = (**inputs[3].sequence()?).clone();
            seq.values.push(state.clone());
            Ok(vec![Tensor::scalar(true)?.into(), state.clone(), seq.into(), state])
        };
        let infer = |inputs: &[Fact], _: &[&Fact]| {
            let dims = inputs[2].shape.as_ref().map(|s| s.iter().map(|d| d.add(&Dim::Known(1))).collect());
            let state = Fact { shape: dims, ..Fact::of(inputs[2].ty.clone()) };
            vec![goes_on(), state.clone(), inputs[3].clone(), state]
        };
        let mock = Mock::new(&LOOP, 13).graph("body", 4, 0, 4, body).infers(infer);
        let mock = mock.input(int(3)).skip().input(floats(&[0], &[])).input(sequence(vec![]));
        let facts = mock.infer(3)?;
        assert!(facts[0].shape.as_ref().unwrap()[0].known().is_none());
        assert!(facts[2].shape.as_ref().unwrap()[0].known().is_none());
        mock.run(outputs)
    }

    #[test]
    fn carries_sequences_and_sizes_that_change() {
        let out = growing(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[3], &[0., 1., 2.]));
        assert_eq!(out[1].sequence().unwrap().values.len(), 3);
    }

    #[test]
    fn scan_outputs_must_keep_their_shape() {
        let e = growing(3).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
        assert!(e.detail().contains("was float{1} in the first iteration and is float{2} in iteration 1"), "{e}");
    }

    #[test]
    fn what_ends_the_body_ends_an_endless_loop() {
        let left = std::sync::atomic::AtomicUsize::new(10);
        let body = move |_: &[Value], _: &[Value]| {
            let before = left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            ensure!(before > 1, Fail, "the body ended");
            Ok(vec![Tensor::scalar(true)?.into()])
        };
        let mock = Mock::new(&LOOP, 25).graph("body", 2, 0, 1, body).infers(|_, _| vec![goes_on()]);
        let e = mock.input(int(i64::MAX)).run(0).unwrap_err();
        assert!(e.detail().contains("the body ended"), "{e}");
    }

    #[test]
    fn known_trip_counts_are_sizes() {
        let infer = |inputs: &[Fact], _: &[&Fact]| vec![goes_on(), inputs[2].clone(), Fact::tensor(DType::I32, [Dim::Known(7)])];
        let mock = || Mock::new(&LOOP, 19).graph("body", 3, 0, 3, |_, _| Ok(vec![])).infers(infer);
        let mut mock = mock().input_fact(Fact::ints(DType::I64, [Dim::Known(4)], true), int(4)).skip().input(floats(&[2], &[1., 2.]));
        let facts = mock.infer(2).unwrap();
        assert_eq!(facts[0].shape.as_ref().unwrap()[..], [Dim::Known(2)]);
        assert_eq!(facts[1].shape.as_ref().unwrap()[..], [Dim::Known(4), Dim::Known(7)]);
        mock = mock.infers(|_, _| vec![Fact::tensor(DType::Bool, []), Fact::tensor(DType::F64, []), Fact::tensor(DType::I32, [])]);
        assert!(mock.infer(2).unwrap_err().detail().contains("loop-carried value 0 enters the body as tensor(float)"));
    }

    #[test]
    fn an_empty_optional_becomes_a_sequence() {
        let ty = Type::Sequence(Box::new(Type::Tensor(DType::F32)));
        let empty = Value::Optional(std::sync::Arc::new(base::Optional { element: ty.clone(), value: None }));
        let body = |inputs: &[Value], _: &[Value]| {
            let Value::Optional(o) = &inputs[2] else { panic!("{:?}", inputs[2]) };
            let mut values = o.value.as_ref().map_or(vec![], |v| v.sequence().unwrap().values.clone());
            values.push(floats(&[], &[1.]));
            Ok(vec![Tensor::scalar(true)?.into(), sequence(values)])
        };
        let mock = Mock::new(&LOOP, 16).graph("body", 3, 0, 2, body).infers(move |_, _| vec![goes_on(), Fact::of(ty.clone())]);
        let out = mock.input(int(3)).skip().input(empty).run(1).unwrap();
        assert_eq!(out[0].sequence().unwrap().values.len(), 3);
    }
}
