//! Optional, OptionalHasElement, OptionalGetElement: values that may be missing.

use std::sync::Arc;

use base::{DType, Result, Tensor, Type, Value, bail, ensure, error};
use ir::{Attribute, Dim, Fact};
use op::types::{ANY, BOOL};
use op::{Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::types::VALUES_V1;

const VALUES: TypeSet = ANY.or(ANY.sequences());
const OPTIONALS_V1: TypeSet = VALUES_V1.optionals();
const OPTIONALS: TypeSet = VALUES.optionals();

/// Optional of `ai.onnx`.
pub static OPTIONAL: OpDef = OpDef {
    name: "Optional",
    versions: &[
        since(15, "input:V? -> output:O", &[("V", VALUES_V1), ("O", OPTIONALS_V1)]),
        since(28, "input:V? -> output:O", &[("V", VALUES), ("O", OPTIONALS)]),
    ],
    load: |a| {
        let ty = match a.get("type") {
            None => None,
            Some(Attribute::Type(ty, _)) => Some(ty.clone()),
            Some(other) => bail!(InvalidGraph, "attribute 'type' must be of kind TYPE_PROTO, not {}", other.kind()),
        };
        ensure!(ty.is_some() || a.has_input(0), InvalidGraph, "Optional needs an input or the attribute 'type'");
        Ok(Box::new(Wrap { ty }))
    },
    kernels: Kernels::NONE.stateless::<Wrap>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

/// OptionalHasElement of `ai.onnx`.
pub static OPTIONAL_HAS_ELEMENT: OpDef = OpDef {
    name: "OptionalHasElement",
    versions: &[
        since(15, "input:O -> output:B", &[("O", OPTIONALS_V1), ("B", BOOL)]),
        since(18, "input:O? -> output:B", &[("O", VALUES_V1.or(OPTIONALS_V1)), ("B", BOOL)]),
        since(28, "input:O? -> output:B", &[("O", VALUES.or(OPTIONALS)), ("B", BOOL)]),
    ],
    load: |_| Ok(Box::new(HasElement)),
    kernels: Kernels::NONE.stateless::<HasElement>(),
    ..OpDef::ONNX
};

/// OptionalGetElement of `ai.onnx`.
pub static OPTIONAL_GET_ELEMENT: OpDef = OpDef {
    name: "OptionalGetElement",
    versions: &[
        since(15, "input:O -> output:V", &[("O", OPTIONALS_V1), ("V", VALUES_V1)]),
        since(18, "input:O -> output:V", &[("O", VALUES_V1.or(OPTIONALS_V1)), ("V", VALUES_V1)]),
        since(28, "input:O -> output:V", &[("O", VALUES.or(OPTIONALS)), ("V", VALUES)]),
    ],
    load: |_| Ok(Box::new(GetElement)),
    kernels: Kernels::NONE.stateless::<GetElement>(),
    keeps_inputs: true,
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Wrap {
    /// The type of the value, should there be none.
    ty: Option<Type>,
}

impl Op for Wrap {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let given = cx.optional(0).map(|f| f.ty.clone());
        let ty = given.or_else(|| self.ty.clone()).ok_or_else(|| error!(InvalidGraph, "an optional has no type"))?;
        cx.set(0, Fact::of(Type::Optional(Box::new(ty))));
        Ok(())
    }
}

impl Stateless for Wrap {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = if cx.has_input(0) { Some(cx.value(0)?) } else { None };
        let element = value.as_ref().map(Value::ty).or_else(|| self.ty.clone());
        let element = element.ok_or_else(|| error!(Fail, "an optional has no type"))?;
        cx.set(0, Value::Optional(Arc::new(base::Optional { element, value })))
    }
}

#[derive(Clone, Debug)]
struct HasElement;

impl Op for HasElement {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let known = match cx.optional(0) {
            None => Some(false),
            Some(Fact { constant: Some(value), .. }) => Some(has_element(value)),
            Some(Fact { ty: Type::Optional(_), .. }) => None,
            Some(_) => Some(true),
        };
        let value = known.map(|b| Arc::from([Dim::Known(b.into())]));
        cx.set(0, Fact { value, ..Fact::tensor(DType::Bool, []) });
        Ok(())
    }
}

fn has_element(value: &Value) -> bool {
    match value {
        Value::Optional(o) => o.value.is_some(),
        _ => true,
    }
}

impl Stateless for HasElement {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let has = cx.has_input(0) && has_element(&cx.value(0)?);
        cx.set(0, Tensor::scalar(has)?)
    }
}

#[derive(Clone, Debug)]
struct GetElement;

impl Op for GetElement {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let given = cx.input(0)?;
        let fact = match &given.ty {
            Type::Optional(element) => Fact::of((**element).clone()),
            _ => given.clone(),
        };
        cx.set(0, fact);
        Ok(())
    }
}

impl Stateless for GetElement {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let value = match cx.value(0)? {
            Value::Optional(o) => o.value.clone().ok_or_else(|| error!(InvalidArgument, "the optional of {} is empty", o.element))?,
            other => other,
        };
        cx.set(0, value)
    }
}

#[cfg(test)]
mod tests {
    use testkit::{assert_equal, single};

    use super::*;
    use crate::control::mock::{floats, sequence};

    fn optional(value: Option<Value>) -> Value {
        let element = value.as_ref().map_or(Type::Tensor(DType::F32), Value::ty);
        Value::Optional(Arc::new(base::Optional { element, value }))
    }

    fn has(s: testkit::Single) -> bool {
        s.tensor().unwrap().as_ref().scalar().unwrap()
    }

    #[test]
    fn wraps_and_unwraps() {
        for value in [floats(&[2], &[1., 2.]), sequence(vec![floats(&[], &[1.])])] {
            let wrapped = single(&OPTIONAL, 15).value(value.clone()).run(1).unwrap().remove(0);
            assert_equal(&wrapped, &optional(Some(value.clone())));
            assert!(has(single(&OPTIONAL_HAS_ELEMENT, 15).value(wrapped.clone())));
            assert_equal(&single(&OPTIONAL_GET_ELEMENT, 15).value(wrapped).run(1).unwrap()[0], &value);
        }
    }

    #[test]
    fn knows_what_is_missing() {
        let ty = Attribute::Type(Type::Tensor(DType::F32), None);
        let empty = single(&OPTIONAL, 28).attr("type", ty).run(1).unwrap().remove(0);
        assert_equal(&empty, &optional(None));
        assert!(!has(single(&OPTIONAL_HAS_ELEMENT, 15).value(empty.clone())));
        assert!(!has(single(&OPTIONAL_HAS_ELEMENT, 18)));
        assert!(!has(single(&OPTIONAL_HAS_ELEMENT, 28).skip()));
        let e = single(&OPTIONAL_GET_ELEMENT, 18).value(empty).run(1).unwrap_err();
        assert!(e.detail().contains("the optional of tensor(float) is empty"), "{e}");
        assert!(single(&OPTIONAL, 15).run(1).is_err());
    }

    #[test]
    fn since_opset_18_takes_plain_values() {
        let t = floats(&[1], &[3.]);
        assert!(has(single(&OPTIONAL_HAS_ELEMENT, 18).value(t.clone())));
        assert_equal(&single(&OPTIONAL_GET_ELEMENT, 18).value(t.clone()).run(1).unwrap()[0], &t);
        assert!(single(&OPTIONAL_GET_ELEMENT, 15).value(t).run(1).is_err());
    }
}
