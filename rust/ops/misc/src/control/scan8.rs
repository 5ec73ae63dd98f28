//! Scan as opset 8 had it: a batch axis first, the scanned axis second, and sequences that may be shorter than the axis.

use base::{DType, Result, Shape, Tensor, Value, ensure};
use ir::{Dim, Fact};
use op::{Infer, Prepare, Prepared, Run};

use super::scan::{Around, Element, Scan, Source, agree, iterate};
use super::stack::{Stack, Target};
use super::state::{States, outside};
use super::{Body, check_graph, graph};
use crate::slices::{dense, slice};

/// A fact of a tensor without its first `axes` axes.
fn inner(fact: &Fact, axes: usize) -> Result<Fact> {
    let shape = match &fact.shape {
        Some(dims) => {
            ensure!(dims.len() >= axes, InvalidGraph, "an input of Scan has shape {dims:?}, but needs {axes} axes");
            Some(dims[axes..].into())
        }
        None => None,
    };
    Ok(Fact { shape, ..Fact::of(fact.ty.clone()) })
}

pub(super) fn infer(scan: &Scan, cx: &mut Infer<'_>) -> Result<()> {
    let graph = graph(cx.node(), scan.body)?;
    let inputs = scan.inputs(cx.input_count());
    let count = inputs.states.len();
    check_graph(graph, count + inputs.scans.len(), count.max(cx.output_count()))?;
    let before = cx.symbols().len();
    let (mut batch, mut len) = (None, None);
    for (i, scanned) in inputs.states.clone().map(|i| (i, false)).chain(inputs.scans.clone().map(|i| (i, true))) {
        let dims = cx.dims(i)?;
        if let Some(d) = dims.and_then(|d| d.first()) {
            agree(&mut batch, d)?;
        }
        if let (true, Some(d)) = (scanned, dims.and_then(|d| d.get(1))) {
            agree(&mut len, d)?;
        }
    }
    let slices = inputs.scans.map(|i| inner(cx.input(i)?, 2)).collect::<Result<Vec<Fact>>>()?;
    let mut states = States::new(inputs.states.map(|i| inner(cx.input(i)?, 1)).collect::<Result<_>>()?);
    let body = |cx: &mut Infer<'_>, states: &[Fact]| cx.subgraph(scan.body, &[states, &slices[..]].concat());
    let leaving = states.settle(cx, graph, 0, &body)?;
    let batch = batch.unwrap_or_else(|| cx.fresh());
    let len = len.unwrap_or_else(|| cx.fresh());
    let states = states.facts.into_iter().map(|f| (vec![batch.clone()], f));
    let scans = leaving.into_iter().skip(count).map(|f| (vec![batch.clone(), len.clone()], f));
    for (i, (axes, fact)) in states.chain(scans).enumerate() {
        let fact = outside(fact, before, cx.symbols());
        let shape = fact.shape.map(|s| axes.into_iter().chain(s).collect());
        cx.set(i, Fact { shape, ..Fact::of(fact.ty) });
    }
    Ok(())
}

pub(super) fn prepare(scan: &Scan, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
    let inputs = scan.inputs(cx.node.inputs.len());
    let count = inputs.states.len();
    let mut facts = Vec::new();
    for i in inputs.states.clone() {
        facts.push(inner(cx.input(i)?, 1)?);
    }
    for i in inputs.scans {
        facts.push(inner(cx.input(i)?, 2)?);
    }
    let sizes = |dims: &[Dim]| dims.iter().map(|d| d.size().unwrap_or(0)).collect::<Shape>();
    let element =
        |f: &Fact, axes: usize| (f.dtype().unwrap_or(DType::F32), sizes(f.shape.as_deref().and_then(|d| d.get(axes..)).unwrap_or(&[])));
    let outputs = (0..graph(cx.node, scan.body)?.outputs.len()).map(|i| cx.output(i).map(|f| element(f, if i < count { 1 } else { 2 })));
    Ok(Box::new(Batches { scan: scan.clone(), body: Body::new(cx, scan.body, &facts)?, outputs: outputs.collect() }))
}

struct Batches {
    scan: Scan,
    body: Body,
    /// What states and scan outputs hold for one batch and one slice; `None` for those that nobody asks for.
    outputs: Vec<Option<Element>>,
}

/// The inputs, checked against each other.
struct Given {
    states: Vec<Tensor>,
    scans: Vec<Tensor>,
    batch: usize,
    len: usize,
    /// The length of each sequence.
    lens: Vec<usize>,
}

impl Batches {
    fn given(&self, cx: &Run<'_>) -> Result<Given> {
        let inputs = self.scan.inputs(cx.input_count());
        let tensor = |i: usize| Ok(dense(cx.value(i)?.tensor()?)?.into_owned());
        let states = inputs.states.map(tensor).collect::<Result<Vec<Tensor>>>()?;
        let scans = inputs.scans.map(tensor).collect::<Result<Vec<Tensor>>>()?;
        let sizes = scans.first().and_then(|t| t.shape().get(..2)).map(Shape::from);
        let Some((batch, len)) = sizes.map(|s| (s[0], s[1])) else {
            base::bail!(InvalidArgument, "a scan input needs a batch axis and a sequence axis");
        };
        let fits = |t: &Tensor, axes: &[usize]| t.shape().get(..axes.len()) == Some(axes);
        let misfit = scans.iter().find(|t| !fits(t, &[batch, len])).or_else(|| states.iter().find(|t| !fits(t, &[batch])));
        if let Some(t) = misfit {
            base::bail!(InvalidArgument, "an input of shape {} does not fit {batch} batches of {len} slices", t.shape());
        }
        let lens = match cx.optional(0)? {
            None => vec![len; batch],
            Some(lens) => lens.slice::<i64>()?.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect(),
        };
        ensure!(lens.len() == batch, InvalidArgument, "sequence_lens has {} elements for {batch} batches", lens.len());
        if let Some(i) = lens.iter().position(|n| *n > len) {
            base::bail!(InvalidArgument, "element {i} of sequence_lens is not within [0, {len}]");
        }
        Ok(Given { states, scans, batch, len, lens })
    }

    fn batch(&self, around: &Around<'_>, given: &Given, b: usize, stacks: &mut [Option<Stack>]) -> Result<()> {
        let states = given.states.iter().map(|t| slice(t, 0, b).map(Value::Tensor)).collect::<Result<Vec<Value>>>()?;
        let source = |(k, t): (usize, &Tensor)| {
            let reverse = self.scan.input_reverse.get(k).copied().unwrap_or(false);
            Ok(Source { tensor: slice(t, 0, b)?, axis: 0, reverse })
        };
        let sources = given.scans.iter().enumerate().map(source).collect::<Result<Vec<Source>>>()?;
        let (finals, scans) = stacks.split_at_mut(given.states.len());
        let states = iterate(&self.body, around, states, &sources, given.lens[b], scans)?;
        for (stack, value) in finals.iter_mut().zip(&states) {
            if let Some(stack) = stack {
                stack.push(value.tensor()?)?;
            }
        }
        scans.iter_mut().flatten().try_for_each(|s| s.pad(given.len - given.lens[b]))
    }
}

impl Prepared for Batches {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let given = self.given(cx)?;
        let mut stacks: Vec<Option<Stack>> = self.outputs.iter().map(|o| o.as_ref().map(|_| Stack::default())).collect();
        let captures = cx.captures()?;
        let around = Around { captures: &captures, cancel: cx.cancel() };
        for b in 0..given.batch {
            self.batch(&around, &given, b, &mut stacks)?;
        }
        for (output, (stack, element)) in stacks.into_iter().zip(&self.outputs).enumerate() {
            let (Some(stack), Some((dtype, shape))) = (stack, element) else { continue };
            let sizes = [given.batch, given.len];
            let sizes = if output < given.states.len() { &sizes[..1] } else { &sizes[..] };
            let planned = cx.output_shape(output).map(|s| Shape::from(s.get(sizes.len()..).unwrap_or_default()));
            let like = (*dtype, planned.as_deref().unwrap_or(shape));
            stack.write(cx, &Target { output, axis: 0, reverse: false, sizes, like })?;
        }
        Ok(())
    }
}
