//! Scan: a graph run once for each slice of its scan inputs, carrying states along and gathering outputs.
//!
//! Scan of opset 8, which has a batch axis and lengths of sequences, is in `scan8`.

use std::ops::Range;

use base::threads::Cancel;
use base::{DType, Error, ErrorKind, Result, Shape, Tensor, Value, axis_index, ensure};
use ir::{Dim, Dims, Fact};
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Since, TypeSet, since};

use super::stack::{Stack, Target};
use super::state::{States, enters, outside, planned};
use super::{Body, check_graph, graph, scan8, set_all};
use crate::slices::{dense, slice};
use crate::types::INT64;

const SIGNATURE: &str = "initial_state_and_scan_inputs:V~ -> final_state_and_scan_outputs:V~";
const SIGNATURE_V8: &str = "sequence_lens:I?, initial_state_and_scan_inputs:V~ -> final_state_and_scan_outputs:V~";

const fn version(version: u32, types: &'static [(&'static str, TypeSet)]) -> Since {
    since(version, SIGNATURE, types)
}

/// Scan of `ai.onnx`.
pub static SCAN: OpDef = OpDef {
    name: "Scan",
    versions: &[
        since(8, SIGNATURE_V8, &[("I", INT64), ("V", ANY_V1)]),
        version(9, &[("V", ANY_V1)]),
        version(11, &[("V", ANY_V1)]),
        version(16, &[("V", ANY_V13)]),
        version(19, &[("V", ANY_V19)]),
        version(21, &[("V", ANY_V21)]),
        version(23, &[("V", ANY_V23)]),
        version(24, &[("V", ANY_V24)]),
        version(25, &[("V", ANY_V25)]),
    ],
    load: |a| Scan::load(a).map(|s| Box::new(s) as Box<dyn Op>),
    kernels: Kernels::NONE.cpu::<Scan>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

/// The attributes of a Scan. Lists that are left out are empty here, and stand for zeros.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    pub(super) body: usize,
    /// Whether it is that of opset 8.
    batched: bool,
    scanned: usize,
    input_axes: Vec<i64>,
    pub(super) input_reverse: Vec<bool>,
    output_axes: Vec<i64>,
    output_reverse: Vec<bool>,
}

/// Which inputs of the node are what.
pub(super) struct Inputs {
    /// Initial states.
    pub(super) states: Range<usize>,
    /// What is scanned.
    pub(super) scans: Range<usize>,
}

impl Scan {
    fn load(a: &Attrs<'_>) -> Result<Self> {
        let batched = a.since() < 9;
        let scanned = a.required_int("num_scan_inputs")?;
        let axes = |name: &str| a.opt_ints(name).map(|v| v.unwrap_or_default().to_vec());
        let directions = |name: &str| a.opt_ints(name).and_then(|v| v.unwrap_or_default().iter().map(|&d| reversed(name, d)).collect());
        let given = a.input_count() - usize::from(batched).min(a.input_count());
        let scanned = usize::try_from(scanned).ok().filter(|n| (1..=given).contains(n));
        let Some(scanned) = scanned else {
            base::bail!(InvalidGraph, "num_scan_inputs is {}, but must be within [1, {given}]", a.int("num_scan_inputs", 0)?);
        };
        let body = a.subgraph("body")?;
        let scan = if batched {
            let input_reverse = directions("directions")?;
            Self { body, batched, scanned, input_axes: vec![], input_reverse, output_axes: vec![], output_reverse: vec![] }
        } else {
            let (input_axes, output_axes) = (axes("scan_input_axes")?, axes("scan_output_axes")?);
            let (input_reverse, output_reverse) = (directions("scan_input_directions")?, directions("scan_output_directions")?);
            Self { body, batched, scanned, input_axes, input_reverse, output_axes, output_reverse }
        };
        check_len("scan_input_axes", scan.input_axes.len(), scanned)?;
        check_len("scan_input_directions", scan.input_reverse.len(), scanned)?;
        Ok(scan)
    }

    pub(super) fn inputs(&self, given: usize) -> Inputs {
        let first = usize::from(self.batched);
        let middle = given.saturating_sub(self.scanned).max(first);
        Inputs { states: first..middle, scans: middle..given }
    }

    /// The attributes of scan outputs agree with their number.
    fn check_outputs(&self, count: usize) -> Result<()> {
        check_len("scan_output_axes", self.output_axes.len(), count)?;
        check_len("scan_output_directions", self.output_reverse.len(), count)
    }
}

fn reversed(name: &str, direction: i64) -> Result<bool> {
    ensure!((0..=1).contains(&direction), InvalidGraph, "attribute '{name}' holds {direction}, neither 0 nor 1");
    Ok(direction == 1)
}

fn check_len(name: &str, len: usize, needed: usize) -> Result<()> {
    ensure!(len == 0 || len == needed, InvalidGraph, "attribute '{name}' has {len} elements, not {needed}");
    Ok(())
}

fn invalid_graph(e: Error) -> Error {
    e.with_kind(ErrorKind::InvalidGraph)
}

/// Adds what is known of the size of one scan input to what is known of the common size.
pub(super) fn agree(common: &mut Option<Dim>, size: &Dim) -> Result<()> {
    match common.as_ref().map(|c| (c.known(), size.known())) {
        Some((Some(a), Some(b))) => ensure!(a == b, InvalidGraph, "scan inputs have {a} and {b} slices"),
        Some((None, Some(_))) | None => *common = Some(size.clone()),
        Some((_, None)) => {}
    }
    Ok(())
}

impl Op for Scan {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if self.batched {
            return scan8::infer(self, cx);
        }
        let graph = graph(cx.node(), self.body)?;
        let inputs = self.inputs(cx.input_count());
        let count = inputs.states.len();
        check_graph(graph, cx.input_count(), count.max(cx.output_count()))?;
        self.check_outputs(graph.outputs.len() - count)?;
        let before = cx.symbols().len();
        let mut len = None;
        let mut slices = Vec::new();
        for (i, k) in inputs.scans.clone().zip(0..) {
            let mut fact = Fact::of(cx.input(i)?.ty.clone());
            if let Some(dims) = cx.dims(i)? {
                let axis = axis_index(self.input_axes.get(k).copied().unwrap_or(0), dims.len()).map_err(invalid_graph)?;
                agree(&mut len, &dims[axis])?;
                fact.shape = Some([&dims[..axis], &dims[axis + 1..]].concat().into());
            }
            slices.push(fact);
        }
        let mut states = States::new(inputs.states.map(|i| cx.input(i).map(enters)).collect::<Result<_>>()?);
        let body = |cx: &mut Infer<'_>, states: &[Fact]| cx.subgraph(self.body, &[states, &slices[..]].concat());
        let leaving = states.settle(cx, graph, 0, &body)?;
        let len = len.unwrap_or_else(|| cx.fresh());
        states.facts.into_iter().enumerate().for_each(|(i, fact)| cx.set(i, fact));
        for (i, fact) in leaving.into_iter().enumerate().skip(count) {
            let fact = outside(fact, before, cx.symbols());
            let axis = self.output_axes.get(i - count).copied().unwrap_or(0);
            let shape = fact.shape.map(|s| inserted(s, axis, len.clone())).transpose()?;
            cx.set(i, Fact { shape, ..Fact::of(fact.ty) });
        }
        Ok(())
    }
}

fn inserted(mut dims: Dims, axis: i64, len: Dim) -> Result<Dims> {
    let axis = axis_index(axis, dims.len() + 1).map_err(invalid_graph)?;
    dims.insert(axis, len);
    Ok(dims)
}

impl CpuKernel for Scan {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let graph = graph(cx.node, self.body)?;
        let inputs = self.inputs(cx.node.inputs.len());
        let count = inputs.states.len();
        check_graph(graph, cx.node.inputs.len() - inputs.states.start, count)?;
        if self.batched {
            return scan8::prepare(self, cx);
        }
        let mut facts = Vec::new();
        let mut names = u32::MAX;
        for (i, k) in inputs.states.zip(0..) {
            facts.push(planned(cx.input(i)?, cx.output(k), &mut names));
        }
        for (i, k) in inputs.scans.zip(0..) {
            let fact = cx.input(i)?;
            let axis = self.input_axes.get(k).copied().unwrap_or(0);
            let shape = fact.shape.as_ref().map(|dims| without(dims, axis)).transpose()?;
            facts.push(Fact { shape, ..Fact::of(fact.ty.clone()) });
        }
        let body = Body::new(cx, self.body, &facts)?;
        let scans = (count..graph.outputs.len()).map(|i| cx.output(i).map(|f| self.element(f, i - count)).transpose());
        Ok(Box::new(ScanKernel { scan: self.clone(), body, outputs: scans.collect::<Result<_>>()? }))
    }
}

fn without(dims: &Dims, axis: i64) -> Result<Dims> {
    let mut dims = dims.clone();
    dims.remove(axis_index(axis, dims.len()).map_err(invalid_graph)?);
    Ok(dims)
}

/// What a scan output gathers, for when there are no slices; sizes that are not known are zero.
pub(super) type Element = (DType, Shape);

impl Scan {
    fn element(&self, output: &Fact, k: usize) -> Result<Element> {
        let axis = self.output_axes.get(k).copied().unwrap_or(0);
        let dims = output.shape.as_ref().map(|dims| without(dims, axis)).transpose()?.unwrap_or_default();
        Ok((output.dtype().unwrap_or(DType::F32), dims.iter().map(|d| d.size().unwrap_or(0)).collect()))
    }
}

struct ScanKernel {
    scan: Scan,
    body: Body,
    /// What the scan outputs gather; `None` for those that nobody asks for.
    outputs: Vec<Option<Element>>,
}

/// A scan input while it is scanned.
pub(super) struct Source {
    pub(super) tensor: Tensor,
    pub(super) axis: usize,
    pub(super) reverse: bool,
}

/// The surroundings of a body: what it captures and what ends it early.
pub(super) struct Around<'a> {
    pub(super) captures: &'a [Value],
    pub(super) cancel: &'a Cancel,
}

/// Runs `body` for the first `len` slices of `sources`; adds what it gives to `stacks` and gives the final states.
pub(super) fn iterate(
    body: &Body,
    around: &Around<'_>,
    mut states: Vec<Value>,
    sources: &[Source],
    len: usize,
    stacks: &mut [Option<Stack>],
) -> Result<Vec<Value>> {
    let count = states.len();
    for n in 0..len {
        around.cancel.check()?;
        let mut inputs = std::mem::take(&mut states);
        for s in sources {
            inputs.push(slice(&s.tensor, s.axis, if s.reverse { len - 1 - n } else { n })?.into());
        }
        let mut outputs = body.run(&mut inputs, around.captures, around.cancel)?.into_iter();
        states.extend(outputs.by_ref().take(count));
        for (stack, value) in stacks.iter_mut().zip(outputs) {
            if let Some(stack) = stack {
                stack.push(value.tensor()?)?;
            }
        }
    }
    Ok(states)
}

impl ScanKernel {
    fn sources(&self, cx: &Run<'_>, scans: Range<usize>) -> Result<Vec<Source>> {
        let source = |(k, i): (usize, usize)| {
            let tensor = dense(cx.value(i)?.tensor()?)?.into_owned();
            let axis = axis_index(self.scan.input_axes.get(k).copied().unwrap_or(0), tensor.shape().len())?;
            Ok(Source { tensor, axis, reverse: self.scan.input_reverse.get(k).copied().unwrap_or(false) })
        };
        scans.enumerate().map(source).collect()
    }
}

/// How many slices the sources have.
pub(super) fn common_len(sources: &[Source]) -> Result<usize> {
    let mut lens = sources.iter().map(|s| s.tensor.shape()[s.axis]);
    let len = lens.next().unwrap_or(0);
    match lens.find(|l| *l != len) {
        Some(other) => base::bail!(InvalidArgument, "scan inputs have {len} and {other} slices"),
        None => Ok(len),
    }
}

impl Prepared for ScanKernel {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let inputs = self.scan.inputs(cx.input_count());
        let count = inputs.states.len();
        let states = inputs.states.map(|i| cx.value(i)).collect::<Result<Vec<Value>>>()?;
        let sources = self.sources(cx, inputs.scans)?;
        let len = common_len(&sources)?;
        let mut stacks: Vec<Option<Stack>> = self.outputs.iter().map(|o| o.as_ref().map(|_| Stack::default())).collect();
        let captures = cx.captures()?;
        let around = Around { captures: &captures, cancel: cx.cancel() };
        let states = iterate(&self.body, &around, states, &sources, len, &mut stacks)?;
        set_all(cx, 0, states)?;
        for (k, (stack, element)) in stacks.into_iter().zip(&self.outputs).enumerate() {
            let (Some(stack), Some((dtype, shape))) = (stack, element) else { continue };
            let axis = self.scan.output_axes.get(k).copied().unwrap_or(0);
            let reverse = self.scan.output_reverse.get(k).copied().unwrap_or(false);
            let planned = cx.output_shape(count + k).map(|s| planned_element(s, axis)).transpose()?;
            let like = (*dtype, planned.as_deref().unwrap_or(shape));
            stack.write(cx, &Target { output: count + k, axis, reverse, sizes: &[len], like })?;
        }
        Ok(())
    }
}

fn planned_element(shape: &[usize], axis: i64) -> Result<Shape> {
    let mut element = Shape::from(shape);
    element.remove(axis_index(axis, shape.len())?);
    Ok(element)
}

#[cfg(test)]
mod tests {
    use ir::Attribute;

    use super::*;
    use crate::control::mock::{Mock, floats};

    /// Sums up slices and gathers the sums.
    fn summing(opset: u32) -> Mock {
        let body = |inputs: &[Value], _: &[Value]| {
            let (sum, x) = (inputs[0].tensor()?, inputs[1].tensor()?);
            assert_eq!(sum.shape(), x.shape());
            let sums: Vec<f32> = sum.slice::<f32>()?.iter().zip(x.slice::<f32>()?).map(|(a, b)| a + b).collect();
            let sums = floats(sum.shape(), &sums);
            Ok(vec![sums.clone(), sums])
        };
        let infer = |inputs: &[Fact], _: &[&Fact]| vec![inputs[0].clone(), inputs[0].clone()];
        Mock::new(&SCAN, opset).graph("body", 2, 0, 2, body).infers(infer).attr("num_scan_inputs", 1)
    }

    fn ints(v: &[i64]) -> Attribute {
        v.to_vec().into()
    }

    const MATRIX: [f32; 6] = [1., 2., 3., 4., 5., 6.];

    #[test]
    fn scans_the_first_axis() {
        let out = summing(9).input(floats(&[2], &[0., 0.])).input(floats(&[3, 2], &MATRIX)).run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2], &[9., 12.]));
        testkit::assert_equal(&out[1], &floats(&[3, 2], &[1., 2., 4., 6., 9., 12.]));
    }

    #[test]
    fn scans_other_axes_and_backwards() {
        let mock = summing(16).attr("scan_input_axes", ints(&[-1])).attr("scan_input_directions", ints(&[1]));
        let mock = mock.attr("scan_output_axes", ints(&[1])).attr("scan_output_directions", ints(&[1]));
        let mock = mock.input(floats(&[2], &[0., 0.])).input(floats(&[2, 3], &MATRIX));
        assert_eq!(mock.infer(2).unwrap()[1].shape.as_ref().unwrap()[..], [Dim::Known(2), Dim::Known(3)]);
        let out = mock.run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2], &[6., 15.]));
        testkit::assert_equal(&out[1], &floats(&[2, 3], &[6., 5., 3., 15., 11., 6.]));
    }

    #[test]
    fn without_slices_gives_what_it_got() {
        let out = summing(11).input(floats(&[2], &[7., 8.])).input(floats(&[0, 2], &[])).run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2], &[7., 8.]));
        testkit::assert_equal(&out[1], &floats(&[0, 2], &[]));
    }

    #[test]
    fn opset_8_has_batches_and_lengths() {
        let x: Vec<f32> = (1..=12).map(|x| x as f32).collect();
        let lens = Tensor::from_slice([2], &[3i64, 2]).unwrap();
        let mock = || summing(8).input(lens.clone()).input(floats(&[2, 2], &[0., 0., 10., 10.])).input(floats(&[2, 3, 2], &x));
        let out = mock().run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2, 2], &[9., 12., 26., 28.]));
        let sums = [1., 2., 4., 6., 9., 12., 17., 18., 26., 28., 0., 0.];
        testkit::assert_equal(&out[1], &floats(&[2, 3, 2], &sums));
        let out = mock().attr("directions", ints(&[1])).run(2).unwrap();
        testkit::assert_equal(&out[0], &floats(&[2, 2], &[9., 12., 26., 28.]));
        assert_eq!(out[1].tensor().unwrap().slice::<f32>().unwrap()[6..8], [19., 20.]);
        let long = Tensor::from_slice([2], &[4i64, -1]).unwrap();
        let e = summing(8).input(long).input(floats(&[2, 2], &[0.; 4])).input(floats(&[2, 3, 2], &x)).run(2).unwrap_err();
        assert!(e.detail().contains("element 0 of sequence_lens is not within [0, 3]"), "{e}");
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let e = summing(9).attr("scan_input_axes", ints(&[2])).input(floats(&[2], &[0., 0.])).input(floats(&[3, 2], &MATRIX)).run(2);
        assert!(e.unwrap_err().detail().contains("axis 2 is outside [-2, 2)"));
        let e = summing(9).attr("scan_output_directions", ints(&[2])).input(floats(&[2], &[0., 0.])).input(floats(&[3, 2], &MATRIX)).run(2);
        assert!(e.unwrap_err().detail().contains("holds 2, neither 0 nor 1"));
        let e = summing(9).attr("num_scan_inputs", 3).input(floats(&[2], &[0., 0.])).input(floats(&[3, 2], &MATRIX)).run(2);
        assert!(e.unwrap_err().detail().contains("num_scan_inputs is 3, but must be within [1, 2]"));
    }
}
