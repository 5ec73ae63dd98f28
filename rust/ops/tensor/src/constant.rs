//! Constant: a value that the node holds, in one of eight forms.

use base::{Result, Shape, Tensor, bail, error};
use ir::{Attribute, Fact};
use op::types::{ANY_V1, ANY_V13, ANY_V19, ANY_V21, ANY_V23, ANY_V24, ANY_V25, FLOATS_V1};
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, since};

const SIGNATURE: &str = " -> output:T";

/// Constant of `ai.onnx`.
pub static CONSTANT: OpDef = OpDef {
    name: "Constant",
    versions: &[
        since(1, SIGNATURE, &[("T", FLOATS_V1)]),
        since(9, SIGNATURE, &[("T", ANY_V1)]),
        since(11, SIGNATURE, &[("T", ANY_V1)]),
        since(12, SIGNATURE, &[("T", ANY_V1)]),
        since(13, SIGNATURE, &[("T", ANY_V13)]),
        since(19, SIGNATURE, &[("T", ANY_V19)]),
        since(21, SIGNATURE, &[("T", ANY_V21)]),
        since(23, SIGNATURE, &[("T", ANY_V23)]),
        since(24, SIGNATURE, &[("T", ANY_V24)]),
        since(25, SIGNATURE, &[("T", ANY_V25)]),
    ],
    load: |a| Ok(Box::new(Constant { value: load(a)? })),
    kernels: Kernels::NONE.stateless::<Constant>(),
    ..OpDef::ONNX
};

#[derive(Clone, Debug)]
struct Constant {
    value: Tensor,
}

const TENSOR: &str = "value";
const SPARSE: &str = "sparse_value";
const SIMPLE: [&str; 6] = ["value_int", "value_ints", "value_float", "value_floats", "value_string", "value_strings"];

fn load(a: &Attrs<'_>) -> Result<Tensor> {
    let known = match a.since() {
        ..11 => vec![TENSOR],
        11 => vec![TENSOR, SPARSE],
        _ => [TENSOR, SPARSE].into_iter().chain(SIMPLE).collect(),
    };
    let given: Vec<&str> = known.into_iter().filter(|name| a.has(name)).collect();
    let [name] = given[..] else { bail!(InvalidGraph, "exactly one of the attributes that hold a value must be given, not {given:?}") };
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map_err(|_| error!(InvalidGraph, "attribute '{name}' is not UTF-8"));
        text.map(str::to_owned)
    };
    match (name, a.get(name)) {
        (TENSOR, Some(Attribute::Tensor(t))) => Ok(t.clone()),
        (SPARSE, Some(Attribute::Sparse(s))) => s.to_dense(),
        ("value_int", Some(Attribute::Int(n))) => Tensor::scalar(*n),
        ("value_ints", Some(Attribute::Ints(list))) => Tensor::from_slice([list.len()], list),
        ("value_float", Some(Attribute::Float(x))) => Tensor::scalar(*x),
        ("value_floats", Some(Attribute::Floats(list))) => Tensor::from_slice([list.len()], list),
        ("value_string", Some(Attribute::String(s))) => Tensor::from_strings(Shape::scalar(), [text(s)?].iter().collect()),
        ("value_strings", Some(Attribute::Strings(list))) => {
            let strings = list.iter().map(|s| text(s)).collect::<Result<Vec<_>>>()?;
            Tensor::from_strings([list.len()], strings.iter().collect())
        }
        (_, other) => bail!(InvalidGraph, "attribute '{name}' is of kind {}", other.map_or("none", Attribute::kind)),
    }
}

impl Op for Constant {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        cx.set(0, Fact::constant(self.value.clone().into()));
        Ok(())
    }
}

impl Stateless for Constant {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        cx.set(0, self.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use testkit::single;

    #[test]
    fn every_form() {
        let of = |name: &str, a: Attribute| single(&CONSTANT, 13).attr(name, a).tensor();
        assert_eq!(of("value_int", Attribute::Int(7)).unwrap().slice::<i64>().unwrap(), [7]);
        assert_eq!(of("value_ints", Attribute::Ints(vec![1, 2])).unwrap().slice::<i64>().unwrap(), [1, 2]);
        assert_eq!(of("value_float", Attribute::Float(0.5)).unwrap().slice::<f32>().unwrap(), [0.5]);
        assert_eq!(&**of("value_floats", Attribute::Floats(vec![])).unwrap().shape(), [0]);
        assert_eq!(of("value_string", "x".into()).unwrap().as_ref().strings().unwrap().get(0), "x");
        let strings = of("value_strings", Attribute::Strings(vec![b"a"[..].into(), b"b"[..].into()])).unwrap();
        assert_eq!(strings.as_ref().strings().unwrap().iter().collect::<String>(), "ab");
        let tensor = Tensor::from_slice([1, 1], &[3u8]).unwrap();
        assert_eq!(&**of("value", Attribute::Tensor(tensor)).unwrap().shape(), [1, 1]);
        assert!(of("value_string", Attribute::Int(1)).is_err());
        assert!(single(&CONSTANT, 13).tensor().is_err());
        assert!(single(&CONSTANT, 13).attr("value_int", 1).attr("value_float", 1f32).tensor().is_err());
        assert!(single(&CONSTANT, 11).attr("value_int", 1).tensor().is_err());
    }

    fn sparse(indices: Tensor) -> Result<Tensor> {
        let values = Tensor::from_slice([2], &[5f32, 6.]).unwrap();
        let value = base::SparseTensor::coo(values, indices, [2, 3].into())?;
        single(&CONSTANT, 12).attr("sparse_value", Attribute::Sparse(Arc::new(value))).tensor()
    }

    #[test]
    fn sparse_values_get_their_zeros() {
        let flat = sparse(Tensor::from_slice([2], &[1i64, 5]).unwrap()).unwrap();
        assert_eq!(flat.slice::<f32>().unwrap(), [0., 5., 0., 0., 0., 6.]);
        let pairs = sparse(Tensor::from_slice([2, 2], &[0i64, 1, 1, 2]).unwrap()).unwrap();
        assert_eq!(pairs.slice::<f32>().unwrap(), flat.slice::<f32>().unwrap());
        assert!(sparse(Tensor::from_slice([2], &[0i64, 6]).unwrap()).is_err());
        assert!(sparse(Tensor::from_slice([2, 2], &[0i64, -1, 1, 2]).unwrap()).is_err());
        assert!(sparse(Tensor::from_slice([1, 2], &[0i64, 1]).unwrap()).is_err());
    }
}
