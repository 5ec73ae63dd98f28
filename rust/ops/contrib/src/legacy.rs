//! Operators that were tried out in the first versions of ONNX and given up in its opset 10.

use base::{Result, Tensor, bail};
use ir::{Attribute, Fact, Graph, Node, ValueId};
use op::body::{Body, Composed, dtype_of};
use op::types::{ANY_V1, ANY_V25, FLOATS_V1, INDEX};
use op::{Attrs, OpDef, Since, deprecated, since};

/// Affine: `alpha x + beta`.
pub static AFFINE: OpDef = OpDef { versions: LETTERS, ..definition("Affine") };
/// ImageScaler: `scale x + bias`, with a bias for each channel.
pub static IMAGE_SCALER: OpDef = definition("ImageScaler");
/// ParametricSoftplus: `alpha log(1 + exp(beta x))`.
pub static PARAMETRIC_SOFTPLUS: OpDef = OpDef { versions: LETTERS, ..definition("ParametricSoftplus") };
/// Scale: `scale x`.
pub static SCALE: OpDef = definition("Scale");
/// ScaledTanh: `alpha tanh(beta x)`.
pub static SCALED_TANH: OpDef = definition("ScaledTanh");
/// Crop: images without their borders.
pub static CROP: OpDef = definition("Crop");

/// DynamicSlice, which is Slice now.
pub static DYNAMIC_SLICE: OpDef = OpDef {
    name: "DynamicSlice",
    versions: &[since(1, "data:T, starts:Tind, ends:Tind, axes:Tind? -> output:T", &[("T", ANY_V1), ("Tind", INDEX)]), deprecated(10)],
    load: |_| Ok(Box::new(Composed)),
    body: Some(|node, _| {
        let mut b = Body::of(node);
        let y = b.node_of(("", "Slice", 10), &[b.input(0), b.input(1), b.input(2), b.input(3)], &[]);
        Ok(b.finish(&[y]))
    }),
    ..OpDef::ONNX
};

/// MemcpyFromHost: what ONNX Runtime writes between providers.
pub static MEMCPY_FROM_HOST: OpDef = copy("MemcpyFromHost");
/// MemcpyToHost: what ONNX Runtime writes between providers.
pub static MEMCPY_TO_HOST: OpDef = copy("MemcpyToHost");

const LETTERS: &[Since] = &[since(1, "X:T -> Y:T", &[("T", FLOATS_V1)]), deprecated(10)];
const VERSIONS: &[Since] = &[since(1, "input:T -> output:T", &[("T", FLOATS_V1)]), deprecated(10)];

const fn definition(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: VERSIONS,
        load: |a| {
            ["alpha", "beta", "bias", "border", "scale"].iter().for_each(|name| a.ignore(name));
            Ok(Box::new(Composed))
        },
        body: Some(body),
        ..OpDef::ONNX
    }
}

const COPIES: &[Since] = &[since(1, "X:T -> Y:T", &[("T", ANY_V25)])];

const fn copy(name: &'static str) -> OpDef {
    OpDef {
        name,
        versions: COPIES,
        load: |_| Ok(Box::new(Composed)),
        body: Some(|node, _| {
            let mut b = Body::of(node);
            let y = b.node_of(("", "Identity", 25), &[b.input(0)], &[]);
            Ok(b.finish(&[y]))
        }),
        ..OpDef::ONNX
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let (a, dtype, x) = (Attrs::new(node), dtype_of(facts, 0)?, b.required(0)?);
    let with = |b: &mut Body, op: &str, v: ValueId, by: f32| {
        let by = b.float(by)?;
        let by = b.cast(by, dtype);
        Ok::<_, base::Error>(b.node((op, 14), &[v, by], &[]))
    };
    let y = match &*node.key.name {
        "Affine" => {
            let y = with(&mut b, "Mul", x, a.float("alpha", 1.0)?)?;
            with(&mut b, "Add", y, a.float("beta", 0.0)?)?
        }
        "Scale" => with(&mut b, "Mul", x, a.float("scale", 1.0)?)?,
        "ScaledTanh" => {
            let y = with(&mut b, "Mul", x, a.float("beta", 1.0)?)?;
            let y = b.node(("Tanh", 13), &[y], &[]);
            with(&mut b, "Mul", y, a.float("alpha", 1.0)?)?
        }
        "ParametricSoftplus" => {
            let y = with(&mut b, "Mul", x, a.float("beta", 1.0)?)?;
            let y = b.node(("Softplus", 1), &[y], &[]);
            with(&mut b, "Mul", y, a.float("alpha", 1.0)?)?
        }
        "ImageScaler" => {
            let y = with(&mut b, "Mul", x, a.float("scale", 1.0)?)?;
            let bias = a.opt_floats("bias")?.unwrap_or_default();
            let bias = b.constant(Tensor::from_slice([bias.len(), 1, 1], bias)?);
            let bias = b.cast(bias, dtype);
            b.node(("Add", 14), &[y, bias], &[])
        }
        _ => crop(&mut b, x, &a)?,
    };
    Ok(b.finish(&[y]))
}

/// `x` without its borders (left, top, right, bottom), or of the size `scale` where that is given.
fn crop(b: &mut Body, x: ValueId, a: &Attrs<'_>) -> Result<ValueId> {
    let border = a.opt_ints("border")?.unwrap_or(&[0; 4]);
    let &[left, top, right, bottom] = border else { bail!(InvalidGraph, "attribute 'border' is {border:?}") };
    let end = |cut: i64| if cut == 0 { i64::MAX } else { -cut };
    let ends = match a.opt_ints("scale")? {
        None => [end(bottom), end(right)],
        Some(&[height, width]) => [top + height, left + width],
        Some(other) => bail!(InvalidGraph, "attribute 'scale' is {other:?}"),
    };
    let (starts, ends, axes) = (b.ints(&[top, left])?, b.ints(&ends)?, b.ints(&[2, 3])?);
    Ok(b.node(("Slice", 13), &[x, starts, ends, axes], &[] as &[(&str, Attribute)]))
}
