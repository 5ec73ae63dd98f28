//! LabelEncoder and CategoryMapper: other values in place of those that are known.

use base::{DType, Result, Strings, Tensor, ensure};
use ir::Fact;
use op::{Attrs, Infer, Kernels, Op, OpDef, Run, Stateless, TypeSet, since};

use crate::features::{LABELS, ML};
use crate::table::Table;

const SIGNATURE: &str = "X:T1 -> Y:T2";
const V2: TypeSet = TypeSet::tensors(&[DType::String, DType::I64, DType::F32]);
const V4: TypeSet = V2.or(TypeSet::tensors(&[DType::I32, DType::I16, DType::F64]));

/// LabelEncoder of `ai.onnx.ml`.
pub static LABEL_ENCODER: OpDef = OpDef {
    name: "LabelEncoder",
    versions: &[
        since(1, SIGNATURE, &[("T1", LABELS), ("T2", LABELS)]),
        since(2, SIGNATURE, &[("T1", V2), ("T2", V2)]),
        since(4, SIGNATURE, &[("T1", V4), ("T2", V4)]),
    ],
    load: |a| Ok(if a.since() == 1 { Box::new(classes(a)?) } else { Box::new(Mapping(vec![table(a)?])) }),
    kernels: Kernels::NONE.stateless::<Mapping>(),
    ..ML
};

/// CategoryMapper of `ai.onnx.ml`.
pub static CATEGORY_MAPPER: OpDef = OpDef {
    name: "CategoryMapper",
    versions: &[since(1, SIGNATURE, &[("T1", LABELS), ("T2", LABELS)])],
    load: |a| {
        let (ints, strings) = (a.opt_ints("cats_int64s")?.unwrap_or_default(), a.opt_strings("cats_strings")?.unwrap_or_default());
        Ok(Box::new(both(a, strings, ints)?))
    },
    kernels: Kernels::NONE.stateless::<Mapping>(),
    ..ML
};

/// One table; or two: strings to integers, then integers to strings.
#[derive(Clone, Debug)]
struct Mapping(Vec<Table>);

/// The mapping of version 1: strings to their places, or places to strings.
fn classes(a: &Attrs<'_>) -> Result<Mapping> {
    let strings = a.opt_strings("classes_strings")?.unwrap_or_default();
    let places: Vec<i64> = (0..strings.len() as i64).collect();
    both(a, strings, &places)
}

fn both(a: &Attrs<'_>, strings: Vec<String>, ints: &[i64]) -> Result<Mapping> {
    let (strings, ints) = (vector(strings)?, Tensor::from_slice([ints.len()], ints)?);
    let to_ints = Table::new(&strings, ints.clone(), default(a, DType::I64)?)?;
    Ok(Mapping(vec![to_ints, Table::new(&ints, strings, default(a, DType::String)?)?]))
}

fn vector(strings: Vec<String>) -> Result<Tensor> {
    Tensor::from_strings([strings.len()], strings.iter().collect::<Strings>())
}

/// What unknown keys give, by the type of the values.
fn default(a: &Attrs<'_>, dtype: DType) -> Result<Tensor> {
    let (string, int, float) = (a.string("default_string", "_Unused")?, a.int("default_int64", -1)?, a.float("default_float", -0.0)?);
    if a.since() >= 4
        && let Some(t) = a.opt_tensor("default_tensor")?
    {
        return Ok(t.clone());
    }
    match dtype {
        DType::String => Tensor::from_strings([1], [string].into_iter().collect()),
        DType::I64 => Tensor::from_slice([1], &[int]),
        DType::I32 => Tensor::from_slice([1], &[-1i32]),
        DType::I16 => Tensor::from_slice([1], &[-1i16]),
        DType::F64 => Tensor::from_slice([1], &[-0.0f64]),
        _ => Tensor::from_slice([1], &[float]),
    }
}

/// The one list that is given of `{what}_strings`, `{what}_int64s`, `{what}_floats` and, since version 4, `{what}_tensor`.
fn list(a: &Attrs<'_>, what: &str) -> Result<Tensor> {
    let mut given = Vec::new();
    if let Some(l) = a.opt_strings(&format!("{what}_strings"))?.filter(|l| !l.is_empty()) {
        given.push(vector(l)?);
    }
    if let Some(l) = a.opt_ints(&format!("{what}_int64s"))?.filter(|l| !l.is_empty()) {
        given.push(Tensor::from_slice([l.len()], l)?);
    }
    if let Some(l) = a.opt_floats(&format!("{what}_floats"))?.filter(|l| !l.is_empty()) {
        given.push(Tensor::from_slice([l.len()], l)?);
    }
    if a.since() >= 4
        && let Some(t) = a.opt_tensor(&format!("{what}_tensor"))?
    {
        given.push(t.clone());
    }
    ensure!(given.len() == 1, InvalidGraph, "{} lists of {what} are given, not one", given.len());
    Ok(given.remove(0))
}

fn table(a: &Attrs<'_>) -> Result<Table> {
    let (keys, values) = (list(a, "keys")?, list(a, "values")?);
    let default = default(a, values.dtype())?;
    Table::new(&keys, values, default)
}

impl Mapping {
    fn table(&self, dtype: DType) -> &Table {
        let first = dtype == DType::String || self.0.len() == 1;
        &self.0[usize::from(!first)]
    }
}

impl Op for Mapping {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        let dtype = cx.dtype(0)?;
        let table = self.table(dtype);
        table.check(dtype)?;
        let shape = cx.input(0)?.shape.clone();
        cx.set(0, Fact { shape, ..Fact::of(base::Type::Tensor(table.dtype())) });
        Ok(())
    }
}

impl Stateless for Mapping {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        self.table(cx.input(0)?.dtype()).run(cx)
    }
}

#[cfg(test)]
mod tests {
    use base::Element;
    use ir::Attribute;
    use testkit::{Single, assert_close, single};

    use super::*;

    fn names(n: &[&str]) -> Attribute {
        Attribute::Strings(n.iter().map(|n| n.as_bytes().into()).collect())
    }

    fn tensor<T: Element>(v: &[T]) -> Attribute {
        Attribute::Tensor(Tensor::from_slice([v.len()], v).unwrap())
    }

    fn texts(t: &Tensor) -> Vec<&str> {
        t.as_ref().strings().unwrap().iter().collect()
    }

    #[test]
    fn version_1_goes_both_ways() {
        let s = || single(&LABEL_ENCODER, 1).attr("classes_strings", names(&["a", "b"])).attr("default_int64", 9);
        assert_eq!(s().strings([3], &["b", "c", "a"]).tensor().unwrap().slice::<i64>().unwrap(), [1, 9, 0]);
        let t = s().input([2, 1], &[1i64, 5]).tensor().unwrap();
        assert_eq!((texts(&t), &**t.shape()), (vec!["b", "_Unused"], &[2, 1][..]));
        let s = single(&CATEGORY_MAPPER, 1).attr("cats_strings", names(&["x", "y"])).attr("cats_int64s", Attribute::Ints(vec![7, 8]));
        assert_eq!(s.strings([2], &["y", "z"]).tensor().unwrap().slice::<i64>().unwrap(), [8, -1]);
    }

    #[test]
    fn version_2_maps_lists() {
        let s = single(&LABEL_ENCODER, 2)
            .attr("keys_floats", Attribute::Floats(vec![1., f32::NAN]))
            .attr("values_strings", names(&["one", "none"]));
        assert_eq!(texts(&s.input([3], &[f32::NAN, 2., 1.]).tensor().unwrap()), ["none", "_Unused", "one"]);
        let s = single(&LABEL_ENCODER, 2).attr("keys_strings", names(&["a"])).attr("values_floats", Attribute::Floats(vec![0.5]));
        let t = s.strings([2], &["a", "b"]).tensor().unwrap();
        assert_eq!(t.slice::<f32>().unwrap().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), [0.5f32.to_bits(), (-0f32).to_bits()]);
    }

    #[test]
    fn version_4_maps_tensors() {
        let s = |values: Attribute| single(&LABEL_ENCODER, 4).attr("keys_tensor", tensor(&[3i16, 4])).attr("values_tensor", values);
        let run = |s: Single| s.input([3], &[4i16, 0, 3]).tensor().unwrap();
        assert_close(&run(s(tensor(&[0.25f64, 0.5])).attr("default_tensor", tensor(&[9f64]))), &[0.5, 9., 0.25], 0., 0.);
        assert_eq!(run(s(tensor(&[1i16, 2]))).slice::<i16>().unwrap(), [2, -1, 1]);
        assert_eq!(run(s(tensor(&[1i32, 2])).attr("default_tensor", tensor(&[5i32]))).slice::<i32>().unwrap(), [2, 5, 1]);
        let s = single(&LABEL_ENCODER, 4).attr("keys_tensor", tensor(&[0.5f64])).attr("values_int64s", Attribute::Ints(vec![6]));
        assert_eq!(s.input([2], &[0.5f64, 1.]).tensor().unwrap().slice::<i64>().unwrap(), [6, -1]);
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let fails = |s: Single| s.input([1], &[0i64]).tensor().unwrap_err().detail().to_owned();
        let s = || single(&LABEL_ENCODER, 4).attr("keys_int64s", Attribute::Ints(vec![1, 2]));
        assert!(fails(s()).contains("0 lists of values"));
        assert!(fails(s().attr("values_int64s", Attribute::Ints(vec![1]))).contains("2 keys and 1 values"));
        let values = || s().attr("values_int64s", Attribute::Ints(vec![1, 2]));
        assert!(fails(values().attr("default_tensor", tensor(&[1f32]))).contains("the default is float"));
        assert!(fails(values().attr("keys_floats", Attribute::Floats(vec![1.]))).contains("2 lists of keys"));
        assert!(values().input([1], &[0f32]).tensor().unwrap_err().detail().contains("keys are of type int64"));
    }
}
