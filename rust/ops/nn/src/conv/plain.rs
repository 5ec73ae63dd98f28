//! Conv and FusedConv: each output channel is the sum of all input channels of its group under a sliding kernel; then, if fused, a
//! residual and an activation. ConvReorder: the same at the beginning of a chain of blocked channels.

use base::{DType, Layout, Result, ensure};
use gemm::Activation;
use ir::{Attribute, Dim, Fact, Graph, Node};
use op::body::Body;
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, TypeSet, since};

use super::{kernel, reorder};
use crate::activation;
use crate::window::WindowAttrs;

const SIGNATURE: &str = "X:T, W:T, B:T? -> Y:T";

/// Conv of `ai.onnx`.
pub static CONV: OpDef = OpDef {
    name: "Conv",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(11, SIGNATURE, &[("T", FLOATS_V1)]),
        since(22, SIGNATURE, &[("T", FLOATS)]),
    ],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<Conv>(),
    layouts: Layouts::Blocked,
    ..OpDef::ONNX
};

/// FusedConv of `com.microsoft`: Conv, plus input `Z`, under an activation.
pub static FUSED_CONV: OpDef = OpDef {
    name: "FusedConv",
    versions: &[since(1, "X:T, W:T, B:T?, Z:T? -> Y:T", &[("T", FLOATS)])],
    load: |a| Ok(Box::new(Conv { activation: activation::of_conv(a)?, residual: true, ..load(a)? })),
    kernels: Kernels::NONE.cpu::<Conv>(),
    body: Some(body),
    layouts: Layouts::Blocked,
    ..OpDef::MICROSOFT
};

/// ConvReorder of `ai.ort_rs`: FusedConv of dense channels whose result is in blocks of `block` channels. A private operator that a pass
/// makes of the convolution of few channels that a chain begins with.
pub static CONV_REORDER: OpDef = OpDef {
    domain: reorder::DOMAIN,
    name: "ConvReorder",
    versions: &[since(1, "X:T, W:T, B:T? -> Y:T", &[("T", TypeSet::tensors(&[DType::F32]))])],
    load: |a| {
        let layout = Some(reorder::blocks(a)?);
        Ok(Box::new(Conv { activation: activation::of_conv(a)?, layout, ..load(a)? }))
    },
    kernels: Kernels::NONE.cpu::<Conv>(),
    body: Some(body_in_blocks),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
pub(super) struct Conv {
    pub(super) window: WindowAttrs,
    pub(super) groups: usize,
    pub(super) activation: Option<Activation>,
    /// Whether input 3 is added.
    pub(super) residual: bool,
    /// The layout of the result, if it is another than that of the input.
    layout: Option<Layout>,
}

fn load(a: &Attrs<'_>) -> Result<Conv> {
    let groups = a.int("group", 1)?;
    ensure!((1..=i64::from(i32::MAX)).contains(&groups), InvalidGraph, "attribute 'group' is {groups}");
    Ok(Conv { window: WindowAttrs::read(a, true, false)?, groups: groups as usize, activation: None, residual: false, layout: None })
}

/// The sizes of a convolution's output.
///
/// # Errors
/// `InvalidGraph` when the shapes disagree.
pub(crate) fn output_dims(window: &WindowAttrs, groups: usize, x: &[Dim], w: &[Dim]) -> Result<ir::Dims> {
    ensure!(x.len() >= 2 && w.len() == x.len(), InvalidGraph, "weights of shape {w:?} for an input of shape {x:?}");
    if let (Some(channels), Some(of_group)) = (x[1].known(), w[1].known()) {
        let want = of_group * groups as i64;
        ensure!(
            channels == want,
            InvalidGraph,
            "Input channels C is not equal to kernel channels * group. C: {x:?} kernel: {w:?} group: {groups}"
        );
    }
    if let Some(out) = w[0].size() {
        ensure!(out % groups == 0, InvalidGraph, "{out} output channels do not make {groups} equal groups");
    }
    let mut kernel = w[2..].to_vec();
    for (i, k) in window.kernel.iter().flatten().enumerate().take(kernel.len()) {
        let fits = kernel[i].size().is_none_or(|w| w == *k);
        ensure!(fits, InvalidGraph, "kernel_shape is {:?}, but the weights have shape {w:?}", window.kernel);
        kernel[i] = Dim::from(*k);
    }
    let spatial = window.output_dims(&x[2..], &kernel)?;
    Ok([x[0].clone(), w[0].clone()].into_iter().chain(spatial).collect())
}

impl Op for Conv {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let (input, dtype) = (cx.input(0)?, cx.dtype(0)?);
        let layout = match (&self.layout, &input.layout) {
            (Some(own), _) => own.clone(),
            (None, Layout::Blocked(block)) if dtype == DType::F32 => Layout::Blocked(*block),
            _ => Layout::Dense,
        };
        let (Some(x), Some(w)) = (cx.dims(0)?, cx.dims(1)?) else {
            let rank = input.rank().or(cx.input(1)?.rank());
            let dims = rank.map(|r| cx.fresh_dims(r));
            cx.set(0, Fact { shape: dims, layout, ..Fact::of(input.ty.clone()) });
            return Ok(());
        };
        let dims = output_dims(&self.window, self.groups, x, w)?;
        if let (Some([len]), Some(channels)) = (cx.optional(2).and_then(|f| f.shape.as_deref()), dims[1].known()) {
            ensure!(len.known().is_none_or(|len| len == channels), InvalidGraph, "a bias of {len} elements for {channels} channels");
        }
        cx.set(0, Fact { layout, ..Fact::tensor(dtype, dims) });
        Ok(())
    }
}

impl CpuKernel for Conv {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        kernel::prepare(self, cx)
    }
}

fn body(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let attributes = Attrs::new(node);
    let activation = activation::of_conv(&attributes)?;
    let mut b = Body::of(node);
    let own = ["activation", "activation_params"];
    let kept: Vec<(&str, Attribute)> =
        node.attributes.iter().filter(|(k, _)| !own.contains(&k.as_str())).map(|(k, v)| (k.as_str(), v.clone())).collect();
    let mut y = b.node_of(("", "Conv", 11), &[b.input(0), b.input(1), b.input(2)], &kept);
    if let Some(z) = b.input(3) {
        y = b.node(("Add", 14), &[y, z], &[]);
    }
    let y = activation::nodes(&mut b, y, activation)?;
    Ok(b.finish(&[y]))
}

fn body_in_blocks(node: &Node, _: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let of = |block: bool| node.attributes.iter().filter(move |(k, _)| (*k == "block") == block).map(|(k, v)| (k.as_str(), v.clone()));
    let inputs = [b.input(0), b.input(1), b.input(2)];
    let y = b.node_of(("com.microsoft", "FusedConv", 1), &inputs, &of(false).collect::<Vec<_>>());
    let y = b.node_of((reorder::DOMAIN, "Reorder", 1), &[Some(y)], &of(true).collect::<Vec<_>>());
    Ok(b.finish(&[y]))
}
