//! QGemm: the product of quantized matrices plus a bias, as numbers or quantized again.

use base::{DType, Result, Tensor, bail};
use ir::{Attribute, Fact, Graph, Node};
use op::body::Body;
use op::{Attrs, Infer, Op, OpDef, TypeSet, since};

use super::{BYTES, quantize};

/// QGemm of `com.microsoft`.
pub static Q_GEMM: OpDef = OpDef {
    name: "QGemm",
    versions: &[since(
        1,
        "A:TA, a_scale:T, a_zero_point:TA, B:TB, b_scale:T, b_zero_point:TB, C:TC?, y_scale:T?, y_zero_point:TYZ? -> Y:TY",
        &[
            ("T", TypeSet::tensors(&[DType::F32])),
            ("TA", BYTES),
            ("TB", BYTES),
            ("TC", TypeSet::tensors(&[DType::I32])),
            ("TYZ", BYTES),
            ("TY", BYTES.or(TypeSet::tensors(&[DType::F32]))),
        ],
    )],
    load: |a| {
        ["transA", "transB"].iter().try_for_each(|name| a.opt_int(name).map(drop))?;
        a.opt_float("alpha")?;
        Ok(Box::new(QGemm))
    },
    body: Some(body),
    ..OpDef::MICROSOFT
};

#[derive(Debug)]
struct QGemm;

/// The type of the result: that of its zero point, or a float without a scale for it.
fn result(scaled: bool, zero: Option<&Fact>) -> DType {
    if scaled { zero.and_then(Fact::dtype).unwrap_or(DType::U8) } else { DType::F32 }
}

impl Op for QGemm {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = result(cx.optional(7).is_some(), cx.optional(8));
        cx.tensor(0, dtype, None);
        Ok(())
    }
}

fn body(node: &Node, facts: &[Option<&Fact>]) -> Result<Graph> {
    let mut b = Body::of(node);
    let attributes = Attrs::new(node);
    let mut operands = [b.required(0)?, b.required(3)?];
    for (operand, name) in operands.iter_mut().zip(["transA", "transB"]) {
        if attributes.flag(name, false)? {
            *operand = b.node(("Transpose", 13), &[*operand], &[("perm", Attribute::Ints(vec![1, 0]))]);
        }
    }
    let [a, right] = operands;
    let mut sums = b.node_of(("", "MatMulInteger", 10), &[Some(a), Some(right), b.input(2), b.input(5)], &[]);
    if let Some(bias) = b.input(6) {
        sums = b.node(("Add", 14), &[sums, bias], &[]);
    }
    let alpha = b.constant(Tensor::scalar(attributes.float("alpha", 1.0)?)?);
    let (a_scale, b_scale) = (b.required(1)?, b.required(4)?);
    let scale = b.node(("Mul", 14), &[a_scale, b_scale], &[]);
    let scale = b.node(("Mul", 14), &[scale, alpha], &[]);
    let sums = b.cast(sums, DType::F32);
    let y = b.node(("Mul", 14), &[sums, scale], &[]);
    let zero = facts.get(8).copied().flatten();
    Ok(match result(b.input(7).is_some(), zero) {
        DType::F32 if b.input(8).is_some() => bail!(InvalidGraph, "a zero point of the result without a scale"),
        DType::F32 => b.finish(&[y]),
        dtype => {
            let y = quantize(&mut b, facts, y, 7, dtype)?;
            b.finish(&[y])
        }
    })
}
