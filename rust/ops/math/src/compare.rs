//! Equal, Less, Greater, LessOrEqual, GreaterOrEqual. Comparisons with NaN are false.

use base::{DType, Result, Shape};
use ir::Dim;
use op::cuda::{Cuda, CudaClaim, CudaKernel};
use op::types::{BOOL, FLOATS_V1, NUMERIC, NUMERIC_V1};
use op::{CpuKernel, Infer, Kernels, Layouts, Op, OpDef, Prepare, Prepared, Run, Since, TypeSet, since};

use crate::elementwise::{Align, Binary, Zip, float_zip, for_integers, indices, pairs, pairs_wide, swapped, test};

const SIGNATURE: &str = "A:T, B:T -> C:T1";
const STRING: TypeSet = TypeSet::tensors(&[DType::String]);
const EQUAL_V1: TypeSet = TypeSet::tensors(&[DType::Bool, DType::I32, DType::I64]);

const ORDER_V1: &[(&str, TypeSet)] = &[("T", FLOATS_V1), ("T1", BOOL)];
const ORDER_V9: &[(&str, TypeSet)] = &[("T", NUMERIC_V1), ("T1", BOOL)];
const ORDER_V13: &[(&str, TypeSet)] = &[("T", NUMERIC), ("T1", BOOL)];

const STRICT: &[Since] =
    &[since(1, SIGNATURE, ORDER_V1), since(7, SIGNATURE, ORDER_V1), since(9, SIGNATURE, ORDER_V9), since(13, SIGNATURE, ORDER_V13)];
const LOOSE: &[Since] = &[since(12, SIGNATURE, ORDER_V9), since(16, SIGNATURE, ORDER_V13)];

const TEST: OpDef = OpDef { kernels: Kernels::NONE.cpu::<Binary>().cuda::<Binary>(), layouts: Layouts::Follows, ..OpDef::ONNX };

/// Equal of `ai.onnx`.
pub static EQUAL: OpDef = OpDef {
    name: "Equal",
    versions: &[
        since(1, SIGNATURE, &[("T", EQUAL_V1), ("T1", BOOL)]),
        since(7, SIGNATURE, &[("T", EQUAL_V1), ("T1", BOOL)]),
        since(11, SIGNATURE, &[("T", NUMERIC_V1.or(BOOL)), ("T1", BOOL)]),
        since(13, SIGNATURE, &[("T", NUMERIC.or(BOOL)), ("T1", BOOL)]),
        since(19, SIGNATURE, &[("T", NUMERIC.or(BOOL).or(STRING)), ("T1", BOOL)]),
    ],
    load: |a| Ok(Box::new(Equal(Binary { function: equal, output: Some(DType::Bool), align: Align::load(a)?, value: same }))),
    kernels: Kernels::NONE.cpu::<Equal>().cuda::<Equal>(),
    ..TEST
};

/// Less of `ai.onnx`.
pub static LESS: OpDef = OpDef { name: "Less", versions: STRICT, load: |a| test(a, less, below), ..TEST };

/// Greater of `ai.onnx`.
pub static GREATER: OpDef =
    OpDef { name: "Greater", versions: STRICT, load: |a| test(a, |d| less(d).map(swapped), |a, b| below(b, a)), ..TEST };

/// LessOrEqual of `ai.onnx`.
pub static LESS_OR_EQUAL: OpDef =
    OpDef { name: "LessOrEqual", versions: LOOSE, load: |a| test(a, less_or_equal, |a, b| below(b, a).map(not)), ..TEST };

/// GreaterOrEqual of `ai.onnx`.
pub static GREATER_OR_EQUAL: OpDef = OpDef {
    name: "GreaterOrEqual",
    versions: LOOSE,
    load: |a| test(a, |d| less_or_equal(d).map(swapped), |a, b| below(a, b).map(not)),
    ..TEST
};

fn equal(dtype: DType) -> Option<Box<dyn Zip>> {
    match dtype {
        // The bits decide, whatever the sign.
        DType::Bool | DType::U8 | DType::I8 => Some(pairs(|a: u8, b: u8| u8::from(a == b))),
        DType::U16 | DType::I16 => Some(pairs(|a: u16, b: u16| u8::from(a == b))),
        DType::U32 | DType::I32 => Some(pairs_wide(|a: u32, b: u32| u8::from(a == b))),
        DType::U64 | DType::I64 => Some(pairs_wide(|a: u64, b: u64| u8::from(a == b))),
        _ => float_zip(dtype, true, pairs_wide(|a: f32, b: f32| u8::from(a == b)), pairs_wide(|a: f64, b: f64| u8::from(a == b))),
    }
}

fn less(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| u8::from(a < b)))
        .or_else(|| float_zip(dtype, true, pairs_wide(|a: f32, b: f32| u8::from(a < b)), pairs_wide(|a: f64, b: f64| u8::from(a < b))))
}

fn less_or_equal(dtype: DType) -> Option<Box<dyn Zip>> {
    for_integers!(dtype, T => pairs(|a: T, b: T| u8::from(a <= b)))
        .or_else(|| float_zip(dtype, true, pairs_wide(|a: f32, b: f32| u8::from(a <= b)), pairs_wide(|a: f64, b: f64| u8::from(a <= b))))
}

/// Whether `a == b`, where that can be told.
fn same(a: &Dim, b: &Dim) -> Option<Dim> {
    match a.sub(b).range() {
        (0, 0) => Some(Dim::Known(1)),
        (low, high) if low > 0 || high < 0 => Some(Dim::Known(0)),
        _ => None,
    }
}

/// Whether `a < b`, where that can be told.
fn below(a: &Dim, b: &Dim) -> Option<Dim> {
    match a.sub(b).range() {
        (_, high) if high < 0 => Some(Dim::Known(1)),
        (low, _) if low >= 0 => Some(Dim::Known(0)),
        _ => None,
    }
}

fn not(truth: Dim) -> Dim {
    Dim::Known(i64::from(truth.is(0)))
}

/// Equality, of strings too.
#[derive(Clone, Debug)]
struct Equal(Binary);

impl Op for Equal {
    fn infer(&self, cx: &mut Infer<'_>) -> Result<()> {
        self.0.infer(cx)
    }
}

impl CudaKernel for Equal {
    fn claim(&self, cx: &CudaClaim<'_>) -> Result<(), String> {
        self.0.claim(cx)
    }

    fn launch(&self, cx: &mut Cuda<'_, '_>) -> Result<()> {
        self.0.launch(cx)
    }
}

impl CpuKernel for Equal {
    fn prepare(&self, cx: &Prepare<'_>) -> Result<Box<dyn Prepared>> {
        if cx.dtype(0)? == DType::String { Ok(Box::new(Texts(self.0.align))) } else { self.0.prepare(cx) }
    }
}

struct Texts(Align);

impl Prepared for Texts {
    fn run(&self, cx: &mut Run<'_>) -> Result<()> {
        let (a, b) = (Shape::from(cx.input(0)?.shape()), Shape::from(cx.input(1)?.shape()));
        let (b_dims, shape) = self.0.shapes(&a, &b)?;
        cx.allocate(0, DType::Bool, shape.clone())?;
        let (left, right) = (cx.input(0)?.strings()?, cx.input(1)?.strings()?);
        let pairs = indices(&a, &shape)?.zip(indices(&b_dims, &shape)?);
        let output = cx.output(0)?.slice::<bool>()?;
        output.iter_mut().zip(pairs).for_each(|(o, (i, j))| *o = left.get(i) == right.get(j));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Tensor;
    use testkit::single;

    fn bools(t: base::Result<Tensor>) -> Vec<bool> {
        t.unwrap().slice::<bool>().unwrap().to_vec()
    }

    #[test]
    fn order_and_nan() {
        let (a, b) = ([1f32, 2.0, 3.0, f32::NAN, -0.0], [2f32, 2.0, 2.0, 1.0, 0.0]);
        let run = |def: &OpDef| bools(single(def, 16).input([5], &a).input([5], &b).tensor());
        assert_eq!(run(&LESS), [true, false, false, false, false]);
        assert_eq!(run(&GREATER), [false, false, true, false, false]);
        assert_eq!(run(&LESS_OR_EQUAL), [true, true, false, false, true]);
        assert_eq!(run(&GREATER_OR_EQUAL), [false, true, true, false, true]);
        assert_eq!(run(&EQUAL), [false, true, false, false, true]);
    }

    #[test]
    fn every_type_of_number() {
        let i = bools(single(&GREATER, 9).input([2, 1], &[200u8, 3]).input([2], &[100u8, 3]).tensor());
        assert_eq!(i, [true, true, false, false]);
        let f = [1.0f32, 2.0].map(half::f16::from_f32);
        assert_eq!(bools(single(&LESS, 7).input([2], &f).input([], &[f[1]]).tensor()), [true, false]);
        assert_eq!(bools(single(&LESS, 13).input([2], &[i64::MIN, 5]).input([], &[0i64]).tensor()), [true, false]);
        assert_eq!(bools(single(&EQUAL, 1).input([2], &[true, false]).input([2], &[true, true]).tensor()), [true, false]);
        assert!(single(&LESS, 7).input([1], &[1i32]).input([1], &[1i32]).tensor().is_err());
        assert!(single(&LESS_OR_EQUAL, 12).input([1], &[half::bf16::ONE]).input([1], &[half::bf16::ONE]).tensor().is_err());
    }

    #[test]
    fn strings() {
        let t = single(&EQUAL, 19).strings([2, 1], &["a", "ä"]).strings([3], &["ä", "a", ""]).tensor();
        assert_eq!(bools(t), [false, true, false, true, false, false]);
        assert!(single(&EQUAL, 13).strings([1], &["a"]).strings([1], &["a"]).tensor().is_err());
    }

    #[test]
    fn order_of_expressions() {
        let n = ir::Symbols::default().fresh();
        assert_eq!(below(&n, &n.add(&Dim::Known(1))), Some(Dim::Known(1)));
        assert_eq!(below(&n, &Dim::Known(0)), Some(Dim::Known(0)));
        assert_eq!(below(&n, &Dim::Known(5)), None);
        assert_eq!(same(&n, &n), Some(Dim::Known(1)));
        assert_eq!(same(&n, &Dim::Known(-1)), Some(Dim::Known(0)));
    }
}
