//! ConstantOfShape: one value everywhere, under a shape that is an input.

use base::{DType, Result, Shape, Tensor, ensure, error};
use ir::{Dims, Fact, SMALL};
use op::types::{FLOATS, INTEGERS, NUMERIC_V1};
use op::{Attrs, Infer, Kernels, Mask, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::facts::{self, known};
use crate::movement::write;

const SIGNATURE: &str = "input:T1 -> output:T2";
const INT64: TypeSet = TypeSet::tensors(&[DType::I64]);
const V9: TypeSet = NUMERIC_V1.or(op::types::BOOL);
const FLOATS_8: TypeSet = TypeSet::tensors(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]);
const V20: TypeSet = INTEGERS.or(FLOATS).or(op::types::BOOL).or(FLOATS_8);
const V21: TypeSet = V20.or(TypeSet::tensors(&[DType::U4, DType::I4]));
const V23: TypeSet = V21.or(TypeSet::tensors(&[DType::F4E2M1]));
const V24: TypeSet = V23.or(TypeSet::tensors(&[DType::F8E8M0]));
const V25: TypeSet = V24.or(TypeSet::tensors(&[DType::U2, DType::I2]));

/// ConstantOfShape of `ai.onnx`.
pub static CONSTANT_OF_SHAPE: OpDef = OpDef {
    name: "ConstantOfShape",
    versions: &[
        since(9, SIGNATURE, &[("T1", INT64), ("T2", V9)]),
        since(20, SIGNATURE, &[("T1", INT64), ("T2", V20)]),
        since(21, SIGNATURE, &[("T1", INT64), ("T2", V21)]),
        since(23, SIGNATURE, &[("T1", INT64), ("T2", V23)]),
        since(24, SIGNATURE, &[("T1", INT64), ("T2", V24)]),
        since(25, SIGNATURE, &[("T1", INT64), ("T2", V25)]),
    ],
    load: |a| Ok(Box::new(ConstantOfShape { value: value(a)? })),
    kernels: Kernels::NONE.stateless::<ConstantOfShape>(),
    strided: Mask::of(0, 1),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ConstantOfShape {
    /// One element.
    value: Tensor,
}

/// The attribute, or a float zero.
fn value(a: &Attrs<'_>) -> Result<Tensor> {
    let Some(value) = a.opt_tensor("value")? else { return Tensor::scalar(0f32) };
    let types = CONSTANT_OF_SHAPE.at(a.since()).and_then(|s| s.types.get(1)).map_or(V9, |t| t.1);
    let allowed = types.contains(&base::Type::Tensor(value.dtype()));
    ensure!(allowed, InvalidGraph, "'value' is a tensor of {}, which the output cannot be", value.dtype());
    ensure!(value.len() == 1, InvalidGraph, "'value' must have one element, not shape {}", value.shape());
    Ok(value.clone())
}

impl Op for ConstantOfShape {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = self.value.dtype();
        let dims: Option<Dims> = match (cx.ints(0), cx.dims(0)?.and_then(|d| d.first()?.size())) {
            (Some(shape), _) => Some(shape.into()),
            (None, Some(rank)) => Some(cx.ranked(rank)?),
            _ => None,
        };
        let negative = dims.iter().flatten().find(|d| d.known().is_some_and(|d| d < 0));
        ensure!(negative.is_none(), Fail, "the shape {dims:?} has a negative size");
        let len = dims.as_deref().and_then(known).and_then(|shape| Shape::checked_len(&shape)).filter(|&n| n <= SMALL);
        let element = Fact::constant(self.value.clone().into()).value.and_then(|v| v.first().cloned());
        let value = len.zip(element).map(|(n, e)| vec![e; n].into());
        match dims {
            Some(dims) => facts::state(cx, 0, dtype, dims, value),
            None => cx.tensor(0, dtype, None),
        }
        Ok(())
    }
}

impl Stateless for ConstantOfShape {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let sizes = cx.input(0)?.ints()?;
        let shape = sizes.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Shape>>();
        let shape = shape.ok_or_else(|| error!(Fail, "the shape {sizes:?} has a negative size"))?;
        write(cx, 0, self.value.dtype(), shape, |_, out| out.fill_number(&self.value.as_ref(), &out.whole()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::Attribute;
    use testkit::single;

    #[test]
    fn values_and_shapes() {
        let case = |shape: &[i64]| single(&CONSTANT_OF_SHAPE, 9).input([shape.len()], shape);
        assert_eq!(case(&[3]).tensor().unwrap().slice::<f32>().unwrap(), [0.; 3]);
        assert_eq!(&**case(&[]).tensor().unwrap().shape(), [0usize; 0]);
        assert_eq!(&**case(&[2, 0]).tensor().unwrap().shape(), [2, 0]);
        assert!(case(&[-1]).tensor().is_err() && case(&[i64::MAX, 2]).tensor().is_err());
        let one = Tensor::from_slice([1], &[true]).unwrap();
        let t = case(&[2, 2]).attr("value", Attribute::Tensor(one)).tensor().unwrap();
        assert_eq!(t.slice::<bool>().unwrap(), [true; 4]);
        let two = Tensor::from_slice([2], &[1i32, 2]).unwrap();
        assert!(case(&[1]).attr("value", Attribute::Tensor(two)).tensor().is_err());
    }

    #[test]
    fn packed_values() {
        let three = Tensor::from_bytes(DType::U4, [1], &[3]).unwrap();
        let case = |opset| single(&CONSTANT_OF_SHAPE, opset).attr("value", Attribute::Tensor(three.clone())).input([1], &[3i64]);
        assert_eq!(case(21).tensor().unwrap().as_ref().bytes().unwrap(), [0x33, 0x03]);
        assert!(case(20).tensor().is_err());
    }
}
