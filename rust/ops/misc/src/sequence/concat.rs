//! ConcatFromSequence: the tensors of a sequence in one, along one of their axes or a new one.

use std::borrow::Cow;

use base::{DType, Result, Shape, Tensor, Type, axis_index, bail, ensure};
use ir::Fact;
use op::types::ANY_V1;
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, since};

use super::element;
use crate::slices::{dense, join, join_strings};
use crate::types::SEQUENCES_V1;

/// ConcatFromSequence of `ai.onnx`.
pub static CONCAT_FROM_SEQUENCE: OpDef = OpDef {
    name: "ConcatFromSequence",
    versions: &[since(11, "input_sequence:S -> concat_result:T", &[("S", SEQUENCES_V1), ("T", ANY_V1)])],
    load: |a| {
        let new_axis = a.int("new_axis", 0)?;
        ensure!((0..=1).contains(&new_axis), InvalidGraph, "attribute 'new_axis' is {new_axis}, neither 0 nor 1");
        Ok(Box::new(ConcatFromSequence { axis: a.required_int("axis")?, new_axis: new_axis == 1 }))
    },
    kernels: Kernels::NONE.stateless::<ConcatFromSequence>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct ConcatFromSequence {
    axis: i64,
    new_axis: bool,
}

impl Op for ConcatFromSequence {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let fact = Fact::of(element(cx, 0)?);
        cx.set(0, fact);
        Ok(())
    }
}

impl ConcatFromSequence {
    /// The shape of the result, and the axis along which the tensors lie in it.
    fn shape(&self, tensors: &[&Tensor]) -> Result<(Shape, usize)> {
        let Some(first) = tensors.first() else { bail!(InvalidArgument, "an empty sequence cannot be concatenated") };
        let mut shape = first.shape().clone();
        let axis = axis_index(self.axis, shape.len() + usize::from(self.new_axis))?;
        if self.new_axis {
            shape.insert(axis, 0);
        }
        let others = |s: &[usize]| s[..axis].iter().chain(&s[axis + usize::from(!self.new_axis)..]).copied().collect::<Shape>();
        let mut len = 0usize;
        for t in tensors {
            let fits = t.shape().len() == first.shape().len() && others(t.shape()) == others(first.shape());
            ensure!(fits, InvalidArgument, "tensors of shapes {} and {} cannot be joined along axis {axis}", first.shape(), t.shape());
            len = len.saturating_add(if self.new_axis { 1 } else { t.shape()[axis] });
        }
        shape.dims_mut()[axis] = len;
        Ok((shape, axis))
    }
}

impl Stateless for ConcatFromSequence {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = cx.value(0)?;
        let sequence = value.sequence()?;
        let tensors = sequence.values.iter().map(|v| dense(v.tensor()?)).collect::<Result<Vec<Cow<'_, Tensor>>>>()?;
        let tensors: Vec<&Tensor> = tensors.iter().map(|t| &**t).collect();
        let (shape, axis) = self.shape(&tensors)?;
        let outer = Shape::checked_len(&shape[..axis]).unwrap_or(usize::MAX);
        match sequence.element {
            Type::Tensor(DType::String) => cx.set_strings(0, shape, join_strings(&tensors, outer)?),
            Type::Tensor(dtype) => {
                cx.allocate(0, dtype, shape)?;
                join(&tensors, outer, cx.output(0)?)
            }
            ref other => bail!(InvalidArgument, "a sequence of {other} cannot be concatenated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use base::Value;
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    fn run(axis: i64, new_axis: i64, list: Vec<Value>) -> Result<Value> {
        let s = single(&CONCAT_FROM_SEQUENCE, 11).attr("axis", axis).attr("new_axis", new_axis);
        s.value(sequence(list)).run(1).map(|mut v| v.remove(0))
    }

    #[test]
    fn along_an_axis() {
        let list = vec![floats(&[2, 1], &[1., 2.]), floats(&[2, 2], &[3., 4., 5., 6.]), floats(&[2, 0], &[])];
        assert_equal(&run(1, 0, list.clone()).unwrap(), &floats(&[2, 3], &[1., 3., 4., 2., 5., 6.]));
        let e = run(0, 0, list).unwrap_err();
        assert!(e.detail().contains("shapes {2,1} and {2,2} cannot be joined along axis 0"), "{e}");
    }

    #[test]
    fn along_a_new_axis() {
        let list = vec![floats(&[2], &[1., 2.]), floats(&[2], &[3., 4.])];
        assert_equal(&run(0, 1, list.clone()).unwrap(), &floats(&[2, 2], &[1., 2., 3., 4.]));
        assert_equal(&run(-1, 1, list.clone()).unwrap(), &floats(&[2, 2], &[1., 3., 2., 4.]));
        assert!(run(2, 1, list).is_err());
        assert_equal(&run(0, 1, vec![floats(&[], &[1.]), floats(&[], &[2.])]).unwrap(), &floats(&[2], &[1., 2.]));
    }

    #[test]
    fn strings_and_errors() {
        let strings = |v: &[&str]| Value::Tensor(Tensor::from_strings([1, v.len()], v.iter().collect()).unwrap());
        let joined = run(1, 0, vec![strings(&["a"]), strings(&["b", "c"])]).unwrap();
        assert_equal(&joined, &strings(&["a", "b", "c"]));
        assert!(run(0, 0, vec![]).unwrap_err().detail().contains("an empty sequence"));
        assert!(run(0, 0, vec![floats(&[], &[1.])]).is_err());
        assert!(run(0, 2, vec![floats(&[1], &[1.])]).is_err());
    }
}
