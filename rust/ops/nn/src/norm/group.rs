//! GroupNormalization and InstanceNormalization: groups of channels of each image are brought to mean 0 and variance 1.

use std::marker::PhantomData;

use base::{DType, Result, Shape, bail, ensure};
use ir::{Attribute, Dim, Fact, Graph, Node};
use op::body::{Body, dtype_of};
use op::types::{FLOATS, FLOATS_V1};
use op::{Attrs, CpuKernel, Infer, Kernels, Op, OpDef, Prepare, Prepared, Run, Sizes, since};

use super::layer::{inverse_root, mean};
use super::row::stash_type;
use crate::chunks::{for_rows, rows_per_chunk, scratch_bytes};
use crate::floats::{Floats, FloatsMut, is_wide};
use crate::real::Real;

const GROUP: &str = "X:T, scale:T, bias:T -> Y:T";
const INSTANCE: &str = "input:T, scale:T, B:T -> output:T";

/// GroupNormalization of `ai.onnx`. Its first version, with one scale for each group, was withdrawn, but exporters wrote it.
pub static GROUP_NORMALIZATION: OpDef = OpDef {
    name: "GroupNormalization",
    versions: &[since(18, GROUP, &[("T", FLOATS)]), since(21, GROUP, &[("T", FLOATS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<GroupNormalization>(),
    body: Some(body),
    ..OpDef::ONNX
};

/// InstanceNormalization of `ai.onnx`: each channel is a group.
pub static INSTANCE_NORMALIZATION: OpDef = OpDef {
    name: "InstanceNormalization",
    versions: &[since(1, INSTANCE, &[("T", FLOATS_V1)]), since(6, INSTANCE, &[("T", FLOATS_V1)]), since(22, INSTANCE, &[("T", FLOATS)])],
    load: |a| Ok(Box::new(load(a)?)),
    kernels: Kernels::NONE.cpu::<GroupNormalization>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct GroupNormalization {
    /// How many groups; each channel is one if `None`.
    groups: Option<usize>,
    epsilon: f32,
    /// Whether scale and bias are given for each group, not for each channel.
    grouped_scale: bool,
    stash: DType,
}

fn load(a: &Attrs<'_>) -> Result<GroupNormalization> {
    let epsilon = a.float("epsilon", 1e-5)?;
    if a.op() == "InstanceNormalization" {
        if a.since() < 6 {
            a.ignore("consumed_inputs");
        }
        return Ok(GroupNormalization { groups: None, epsilon, grouped_scale: false, stash: DType::F32 });
    }
    let groups = a.required_int("num_groups")?;
    let Some(groups) = usize::try_from(groups).ok().filter(|g| *g > 0) else {
        bail!(InvalidGraph, "attribute 'num_groups' is {groups}, which is no number of groups");
    };
    let grouped_scale = a.since() < 21;
    let stash = if grouped_scale { DType::F32 } else { stash_type(a)? };
    Ok(GroupNormalization { groups: Some(groups), epsilon, grouped_scale, stash })
}

/// An input seen as `[images, groups, channels, spatial]`.
#[derive(Clone, Copy, Debug)]
struct Split {
    images: usize,
    groups: usize,
    channels: usize,
    spatial: usize,
}

impl Split {
    fn row(&self) -> usize {
        self.channels * self.spatial
    }
}

impl GroupNormalization {
    fn split(&self, shape: &[usize]) -> Result<Split> {
        let [images, channels, spatial @ ..] = shape else {
            bail!(InvalidArgument, "an input of images and channels is needed, not shape {}", Shape::from(shape));
        };
        let groups = self.groups.unwrap_or(*channels).max(1);
        ensure!(channels % groups == 0, InvalidArgument, "{channels} channels do not make {groups} equal groups");
        Ok(Split { images: *images, groups, channels: channels / groups, spatial: spatial.iter().product() })
    }
}

impl Op for GroupNormalization {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        if let Some(dims) = cx.dims(0)? {
            ensure!(dims.len() >= 2, InvalidGraph, "an input of images and channels is needed, not shape {dims:?}");
            if let (Some(groups), Some(channels)) = (self.groups, dims[1].size()) {
                ensure!(channels % groups == 0, InvalidGraph, "{channels} channels do not make {groups} equal groups");
            }
            let expected = self.groups.filter(|_| self.grouped_scale).map_or(dims[1].clone(), Dim::from);
            for i in 1..3 {
                if let (Some([len]), Some(want)) = (cx.dims(i)?, expected.known()) {
                    let fits = len.known().is_none_or(|len| len == want);
                    ensure!(fits, InvalidGraph, "input {i} has {len} elements, not {want}");
                }
            }
        }
        crate::infer::same(cx, 0, 0)
    }
}

impl CpuKernel for GroupNormalization {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        let plain = matches!(cx.dtype(0)?, DType::F32 | DType::F64);
        Ok(if is_wide(cx.dtype(0)?) {
            Box::new(Kernel::<f64> { op: self.clone(), plain, real: PhantomData })
        } else {
            Box::new(Kernel::<f32> { op: self.clone(), plain, real: PhantomData })
        })
    }
}

struct Kernel<A> {
    op: GroupNormalization,
    /// Whether elements are stored as they are computed.
    plain: bool,
    real: PhantomData<A>,
}

impl<A: Real> Kernel<A> {
    /// Elements of scratch memory for each thread: a row before and after.
    fn buffer(&self, split: Split) -> usize {
        if self.plain { 0 } else { 2 * split.row() }
    }

    fn row(&self, split: Split, row: usize, [x, scale, bias]: [Floats<'_>; 3], y: &FloatsMut<'_>, buffer: &mut [A]) {
        let (before, after) = buffer.split_at_mut(buffer.len() / 2);
        let range = row * split.row()..(row + 1) * split.row();
        let x = x.row(range.clone(), before);
        let (mean, variance) = A::mean_variance(x);
        let inverse = A::one() / (variance + A::of(self.op.epsilon.into())).sqrt();
        let group = row % split.groups;
        let normalize = |y: &mut [A]| {
            for (c, (x, y)) in x.chunks_exact(split.spatial).zip(y.chunks_exact_mut(split.spatial)).enumerate() {
                let at = if self.op.grouped_scale { group } else { group * split.channels + c };
                let factor = inverse * scale.get(at);
                A::affine(x, y, factor, bias.get::<A>(at) - mean * factor);
            }
        };
        // SAFETY: each row belongs to one chunk.
        unsafe { y.fill(range, after, normalize) }
    }
}

impl<A: Real> Prepared for Kernel<A> {
    fn scratch(&self, sizes: &Sizes<'_>) -> usize {
        let split = sizes.input(0).and_then(|shape| self.op.split(shape));
        split.map_or(0, |split| scratch_bytes::<A>(self.buffer(split)))
    }

    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (dtype, shape) = (cx.input(0)?.dtype(), Shape::from(cx.input(0)?.shape()));
        cx.allocate(0, dtype, shape.clone())?;
        let split = self.op.split(&shape)?;
        let inputs = [Floats::of(cx.input(0)?)?, Floats::of(cx.input(1)?)?, Floats::of(cx.input(2)?)?];
        let y = FloatsMut::of(cx.output(0)?)?;
        let params = if self.op.grouped_scale { split.groups } else { split.groups * split.channels };
        let lens = (inputs[1].len(), inputs[2].len());
        let fits = lens == (params, params) || split.row() == 0;
        ensure!(fits, InvalidArgument, "scale and bias have {lens:?} elements, not {params}: the input has shape {shape}");
        ensure!(y.len() == inputs[0].len(), Fail, "the output has {} elements, not {}", y.len(), inputs[0].len());
        let rows = if split.row() == 0 { 0 } else { split.images * split.groups };
        let scratch = cx.scratch::<A>()?;
        for_rows(scratch, self.buffer(split), rows, rows_per_chunk(split.row() * size_of::<A>()), &|buffer, range| {
            range.for_each(|row| self.row(split, row, inputs, &y, buffer));
        })
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let op = load(&Attrs::new(node))?;
    let dtype = dtype_of(facts, 0)?;
    ensure!(!op.grouped_scale, NotImplemented, "the withdrawn version of GroupNormalization has no function body");
    let groups = op.groups.map_or(0, |g| g as i64);
    let mut b = Body::of(node);
    let (Some(x), Some(scale), Some(bias)) = (b.input(0), b.input(1), b.input(2)) else { bail!(InvalidGraph, "an input is missing") };
    let shape = b.node(("Shape", 15), &[x], &[]);
    let reshape = |b: &mut Body, v, to: &[i64]| -> Result<_> {
        let to = b.ints(to)?;
        Ok(b.node(("Reshape", 14), &[v, to], &[]))
    };
    let stashed = b.cast(x, op.stash);
    let rows = reshape(&mut b, stashed, &[0, groups, -1])?;
    let mean_of_x = mean(&mut b, rows, &[2])?;
    let deviation = b.node(("Sub", 14), &[rows, mean_of_x], &[]);
    let square = b.node(("Mul", 14), &[deviation, deviation], &[]);
    let variance = mean(&mut b, square, &[2])?;
    let inverse = inverse_root(&mut b, variance, op.epsilon, op.stash)?;
    let normal = b.node(("Mul", 14), &[deviation, inverse], &[]);
    let normal = b.node(("Reshape", 14), &[normal, shape], &[]);
    let channels = reshape(&mut b, normal, &[0, 0, -1])?;
    let channels = b.cast(channels, dtype);
    let (scale, bias) = (reshape(&mut b, scale, &[1, -1, 1])?, reshape(&mut b, bias, &[1, -1, 1])?);
    let scaled = b.node(("Mul", 14), &[channels, scale], &[]);
    let shifted = b.node(("Add", 14), &[scaled, bias], &[]);
    let y = b.node(("Reshape", 14), &[shifted, shape], &[("allowzero", Attribute::Int(0))]);
    Ok(b.finish(&[y]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;
    use testkit::{assert_close, single};

    fn data(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 29 + 3) % 31) as f32 * 0.3 - 4.0).collect()
    }

    fn plain(x: &[f32], row: usize, spatial: usize, scale: impl Fn(usize) -> (f64, f64)) -> Vec<f64> {
        let mut y = Vec::new();
        for (r, x) in x.chunks(row).enumerate() {
            let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / row as f64;
            let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / row as f64;
            for (i, &v) in x.iter().enumerate() {
                let (a, b) = scale(r * (row / spatial) + i / spatial);
                y.push((f64::from(v) - mean) / (variance + 1e-5).sqrt() * a + b);
            }
        }
        y
    }

    #[test]
    fn groups_with_a_scale_for_each_channel() {
        let x = data(2 * 6 * 35);
        let (scale, bias) = ([1f32, 2.0, 3.0, 4.0, 5.0, 6.0], [0f32, 1.0, 0.0, -1.0, 0.5, 0.0]);
        let op = single(&GROUP_NORMALIZATION, 21).attr("num_groups", 3i64).input([2, 6, 5, 7], &x).input([6], &scale).input([6], &bias);
        let want = plain(&x, 70, 35, |c| (scale[c % 6].into(), bias[c % 6].into()));
        assert_close(&op.tensor().unwrap(), &want, 1e-4, 1e-5);
    }

    #[test]
    fn the_old_version_scales_groups() {
        let x = data(2 * 6 * 5);
        let op = single(&GROUP_NORMALIZATION, 18)
            .attr("num_groups", 2i64)
            .input([2, 6, 5], &x)
            .input([2], &[2f32, 3.0])
            .input([2], &[0f32, 1.0]);
        let want = plain(&x, 15, 5, |c| if c / 3 % 2 == 0 { (2.0, 0.0) } else { (3.0, 1.0) });
        assert_close(&op.tensor().unwrap(), &want, 1e-4, 1e-5);
    }

    #[test]
    fn instances_of_every_type() {
        let x = data(2 * 3 * 9);
        let op = single(&INSTANCE_NORMALIZATION, 6).input([2, 3, 9], &x).input([3], &[1f32; 3]).input([3], &[0.5f32; 3]);
        let want = plain(&x, 9, 9, |_| (1.0, 0.5));
        assert_close(&op.tensor().unwrap(), &want, 1e-4, 1e-5);
        let h = |v: &[f32]| v.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>();
        let op = single(&INSTANCE_NORMALIZATION, 22).input([2, 3, 9], &h(&x)).input([3], &h(&[1.0; 3])).input([3], &h(&[0.5; 3]));
        assert_close(&op.tensor().unwrap(), &want, 3e-3, 3e-3);
    }

    #[test]
    fn sizes_that_disagree_are_refused() {
        let op = single(&GROUP_NORMALIZATION, 21).attr("num_groups", 4i64).input([1, 6, 2], &[0f32; 12]);
        assert!(op.input([6], &[1f32; 6]).input([6], &[0f32; 6]).tensor().unwrap_err().detail().contains("6 channels"));
        let op = single(&INSTANCE_NORMALIZATION, 6).input([1, 2, 2], &[0f32; 4]).input([3], &[1f32; 3]).input([2], &[0f32; 2]);
        assert!(op.tensor().is_err());
    }

    #[test]
    fn nothing() {
        let op = single(&INSTANCE_NORMALIZATION, 6).input([2, 3, 0], &[0f32; 0]).input([3], &[1f32; 3]).input([3], &[0f32; 3]);
        assert_eq!(&**op.tensor().unwrap().shape(), [2, 3, 0]);
    }
}
